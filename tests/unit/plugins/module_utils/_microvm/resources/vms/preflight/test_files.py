# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files and directories that a MicroVM cannot use are reported before anything is changed, with their keys."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.crosvm import command as crosvm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import files as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.expected import Expected
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.files import (
    check_directories,
    check_files,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .placed import USER, placed

NOTHING = Expected()


class Closed:
    """Paths that a user may not use, and the questions that were asked."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.asked: list[tuple[str, str, int]] = []

    def __call__(self, owner: Account, path: str, mode: int) -> bool:
        self.asked.append((owner.user, path, mode))
        return path not in self.paths


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Closed:
    """A host that allows every use of what is there."""
    fake = Closed()
    monkeypatch.setattr(module, "is_permitted", fake)
    return fake


def refusal(raw: dict[str, Any], expected: Expected = NOTHING, before: Observed | None = None) -> str:
    """Return why declarations are refused; empty where they are not."""
    try:
        check_files(placed(raw), expected, {raw["name"]: before} if before else {})
    except DeclarationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("key", ["kernel", "initrd_path", "store_disk", "extra_args_script", "credential_files.one"])
def test_files_must_be_there(tmp_path: Path, closed: Closed, key: str) -> None:
    (tmp_path / "kernel").touch()
    file = tmp_path / "file"
    option, _dot, credential = key.partition(".")
    declared = {**USER, "kernel": str(tmp_path / "kernel")}
    declared[option] = {credential: str(file)} if credential else str(file)
    assert refusal(declared).startswith(f"vms[0].{key}: {file} does not exist")
    file.mkdir()
    assert refusal(declared) == f"vms[0].{key}: {file} is a directory; name the file"
    file.rmdir()
    file.touch()
    assert refusal(declared) == ""


def test_files_of_images_may_be_missing_before_the_images_come(closed: Closed) -> None:
    declared = {**USER, "kernel": "/images/none/kernel"}
    assert refusal(declared) == refusal(declared, Expected(images=("/images/other", "/images/non"))) != ""
    assert refusal(declared, Expected(images=("/images/other", "/images/none"))) == ""


def test_directories_that_a_hypervisor_needs_must_be_there(
    tmp_path: Path, closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernel").touch()
    root = tmp_path / "empty"
    monkeypatch.setattr(crosvm, "PIVOT_ROOT", str(root))
    strict = {**USER, "kernel": str(tmp_path / "kernel"), "hypervisor": "crosvm", "interfaces": []}
    compat = {**strict, "profile": "compat"}
    other = {**compat, "crosvm": {"pivot_root": str(tmp_path / "other")}}
    without_sandbox = {**compat, "crosvm": {"extra_args": ["--disable-sandbox"]}}
    assert refusal(strict) == refusal(without_sandbox) == ""
    assert refusal(compat).startswith(f"vms[0].crosvm.pivot_root: {root}, which crosvm needs, is no directory")
    root.mkdir()
    assert refusal(compat) == ""
    assert refusal(other).startswith(f"vms[0].crosvm.pivot_root: {tmp_path}/other, which crosvm needs")


@pytest.mark.parametrize(("key", "mode"), [("initrd_path", os.R_OK), ("extra_args_script", os.R_OK | os.X_OK)])
@pytest.mark.parametrize(("isolation", "user"), [("per_vm", "microvm-one"), ("shared", "microvm")])
def test_the_microvm_s_own_user_must_be_able_to_use_files(
    tmp_path: Path, closed: Closed, key: str, mode: int, isolation: str, user: str
) -> None:
    kernel, file = tmp_path / "kernel", tmp_path / "file"
    kernel.touch()
    file.touch()
    declared = {**USER, "kernel": str(kernel), key: str(file), "isolation": isolation}
    assert refusal(declared) == ""
    assert closed.asked == [(user, str(kernel), os.R_OK), (user, str(file), mode)]
    closed.paths.add(str(file))
    assert refusal(declared).startswith(f"vms[0].{key}: the user '{user}', who runs the hypervisor, cannot ")


def test_the_former_user_is_asked_before_a_rename(tmp_path: Path, closed: Closed) -> None:
    kernel, source = tmp_path / "kernel", tmp_path / "source"
    kernel.touch()
    source.mkdir()
    declared = {**USER, "kernel": str(kernel), "shares": [{"tag": "a", "source": str(source), "proto": "9p"}]}
    assert refusal(declared, before=Observed("db7", exists=True, group="microvm-db7")) == ""
    assert {user for user, _path, _mode in closed.asked} == {"microvm-db7"}


def test_credentials_are_read_by_root_alone(tmp_path: Path, closed: Closed) -> None:
    kernel, secret = tmp_path / "kernel", tmp_path / "secret"
    kernel.touch()
    secret.touch()
    closed.paths.add(str(secret))
    assert refusal({**USER, "kernel": str(kernel), "credential_files": {"key": str(secret)}}) == ""


@pytest.mark.parametrize(("protocol", "is_asked"), [("9p", True), ("virtiofs", False)])
def test_sources_of_shares_are_directories_that_their_server_reads(
    tmp_path: Path, closed: Closed, protocol: str, is_asked: bool
) -> None:
    kernel, source = tmp_path / "kernel", tmp_path / "source"
    kernel.touch()
    share = {"tag": "a", "source": str(source), "proto": protocol}
    declared = {**USER, "kernel": str(kernel), "shares": [{"tag": "b", "source": "inside"}, share]}
    # A missing one is created.
    assert refusal(declared) == ""
    source.touch()
    assert refusal(declared).startswith(f"vms[0].shares[1].source: {source} is no directory")
    source.unlink()
    source.mkdir()
    closed.paths.add(str(source))
    refused = refusal(declared)
    assert refused.startswith("vms[0].shares[1].source: the user 'microvm-one'") if is_asked else refused == ""


def test_a_link_on_the_way_to_a_directory_that_is_to_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    check_directories("vms[2]", Observed("a", missing_directories=(str(tmp_path / "new/data"), str(tmp_path / "x"))))
    with pytest.raises(DeclarationError, match="leads through the link 'link'") as why:
        check_directories("vms[2]", Observed("a", missing_directories=(str(tmp_path / "link/data"),)))
    assert why.value.path == "vms[2]"


@pytest.mark.parametrize(("path", "words"), [("file", "is something else"), ("file/below", "cannot be created")])
def test_a_file_in_the_place_of_a_directory_that_is_to_be_created_is_refused(
    tmp_path: Path, path: str, words: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeclarationError, match=words):
        check_directories("vms[0]", Observed("a", missing_directories=(str(tmp_path / path),)))


def test_a_link_on_the_way_to_a_source_of_virtiofsd_is_refused(tmp_path: Path, closed: Closed) -> None:
    (tmp_path / "kernel").touch()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    declared = {**USER, "kernel": str(tmp_path / "kernel")}
    for protocol, is_refused in (("virtiofs", True), ("9p", False)):
        share = {"tag": "a", "source": str(tmp_path / "link"), "proto": protocol}
        refused = refusal({**declared, "shares": [share]})
        assert ("shares[0].source" in refused and "leads through the link 'link'" in refused) is is_refused


SOCKETS = {
    "root's": ("", True),
    "root's, missing": ("new/newer/", True),
    "sticky": ("sticky/", False),
    "root's in a sticky one": ("sticky/own/", True),
    "missing in a sticky one": ("sticky/new/", False),
    "anybody's": ("open/", False),
    "root's in anybody's": ("open/own/", False),
    "missing in anybody's": ("open/new/", False),
}


@pytest.mark.parametrize(("handles", "is_refused"), [("mandatory", True), ("prefer", False)])
def test_file_handles_are_required_of_file_systems_that_have_them(
    handles: str, is_refused: bool, closed: Closed, tmp_path: Path
) -> None:
    for source, has_none in (("/proc", True), (str(tmp_path), False)):
        share = {"tag": "a", "source": source, "proto": "virtiofs"}
        message = refusal({**USER, "kernel": __file__, "shares": [share], "virtiofsd": {"inode_file_handles": handles}})
        assert ("virtiofsd.inode_file_handles: the file system of /proc" in message) == (is_refused and has_none)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has directories of root's")
@pytest.mark.parametrize(("directory", "is_accepted"), SOCKETS.values(), ids=SOCKETS.keys())
def test_sockets_of_virtiofsd_are_where_only_root_creates_files(
    closed: Closed, directory: str, is_accepted: bool
) -> None:
    place = Path(tempfile.mkdtemp(dir="/var/lib"))
    try:
        place.chmod(0o755)
        for name, mode in (("sticky", 0o1777), ("open", 0o777)):
            (place / name / "own").mkdir(parents=True)
            (place / name).chmod(mode)
        (place / "kernel").touch()
        share = {"tag": "a", "source": "files", "proto": "virtiofs", "socket": f"{place}/{directory}a.sock"}
        refused = refusal({**USER, "kernel": str(place / "kernel"), "shares": [share]})
        assert (refused == "") is is_accepted
        assert is_accepted or refused.startswith("vms[0].shares[0].socket: others than root can create")
    finally:
        shutil.rmtree(place)
