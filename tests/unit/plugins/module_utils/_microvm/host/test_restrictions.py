# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restrictions on a host: they cannot be evaded by a damaged file, by links, or by directories of others."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.restrictions.parse import (
    UNRESTRICTED,
    parse_restrictions,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import files, restrictions
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import SMALL, parse

LIMITS = parse_restrictions({"path_prefixes": ["/boot"]})


def test_a_host_without_the_file_has_no_restrictions(tmp_path: Path) -> None:
    assert restrictions.read(str(tmp_path / "absent")) == UNRESTRICTED
    assert not UNRESTRICTED["enable"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "null", "[]", '{"enable": 7}', '{"later": true}', '{"bridges": {"all": 1}}', "[" * 99999, "\x00"],
)
def test_a_damaged_file_closes_everything(content: str, tmp_path: Path) -> None:
    file = tmp_path / "restrictions.json"
    file.write_text(content)
    with pytest.raises(HostError, match=f"nothing is installed: {file}"):
        restrictions.read(str(file))


def test_bytes_that_are_no_text_and_directories_close_everything(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for path in ("bytes", "."):
        with pytest.raises(HostError, match="nothing is installed"):
            restrictions.read(str(tmp_path / path))


def test_keys_that_are_not_written_are_closed(tmp_path: Path) -> None:
    file = tmp_path / "restrictions.json"
    file.write_text("{}")
    read = restrictions.read(str(file))
    assert read["enable"] and [key for key, value in read.items() if value] == ["enable"]


def test_those_of_the_host_and_given_ones_both_hold_but_for_predictions(tmp_path: Path) -> None:
    file = tmp_path / "restrictions.json"
    file.write_text(json.dumps({"scripts": True}))
    of_host, given = restrictions.read(str(file)), parse_restrictions({"enable": False})
    assert restrictions.in_force(None, False, str(file)) == [of_host]
    assert restrictions.in_force(None, True, str(file)) == [of_host]
    assert restrictions.in_force(given, False, str(file)) == [of_host, given]
    assert restrictions.in_force(given, True, str(file)) == [given]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory in which everything seems to be root's, up to the top, unless its name begins with ``foreign``."""
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        status = real(path)
        kind = stat.S_IFMT(status.st_mode)
        name = os.path.basename(path)
        mode, user = (status.st_mode, 0) if str(path).startswith(f"{tmp_path}/") else (kind | 0o755, 0)
        values = list(status)
        values[:1], values[4:6] = [mode], [1000 if name.startswith("foreign") else user, 0]
        return os.stat_result(values)

    monkeypatch.setattr(os, "lstat", lstat)
    return tmp_path


def test_paths_whose_directories_are_root_s_are_accepted(root: Path) -> None:
    (root / "a").mkdir(mode=0o755)
    for path in ("a/file", "a", "absent/deep/file", "a//file", "a/./file"):
        assert restrictions.path_problem(f"{root}/{path}") is None


def test_paths_through_links_are_refused(root: Path) -> None:
    (root / "a").mkdir()
    (root / "link").symlink_to(root / "a")
    (root / "a" / "file").symlink_to("/etc/shadow")
    (root / "dangling").symlink_to("/nowhere")
    (root / "loop").symlink_to("loop")
    for path in ("link/file", "link", "a/file", "a/file/x", "dangling", "dangling/x", "loop/../loop/x", "a/../link"):
        problem = restrictions.path_problem(f"{root}/{path}")
        assert problem is not None and ("symbolic link" in problem or "replaced" in problem), path


@pytest.mark.parametrize("mode", [0o757, 0o777, 0o1777])
def test_paths_below_a_directory_that_others_write_are_refused(root: Path, mode: int) -> None:
    (root / "shared" / "deep").mkdir(parents=True)
    (root / "shared").chmod(mode)
    for path in ("shared/x", "shared/deep/x", "shared/absent/x"):
        problem = restrictions.path_problem(f"{root}/{path}")
        assert problem is not None and f"{root}/shared" in problem


def test_paths_below_a_directory_of_others_are_refused_and_the_directory_is_not(root: Path) -> None:
    """A source belongs to the user of its MicroVM; one below it could be replaced by the guest."""
    (root / "foreign").mkdir()
    assert restrictions.path_problem(f"{root}/foreign") is None
    assert restrictions.path_problem(f"{root}/foreign/inside") is not None


def test_the_directory_of_a_volume_may_belong_to_the_user_who_opens_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "foreign" / "deep").mkdir(parents=True)
    monkeypatch.setattr(files, "owner", lambda path: "microvm-small" if "foreign" in path else "root")
    assert restrictions.path_problem(f"{root}/foreign/a.img", "microvm-small") is None
    for path, user in (
        ("foreign/a.img", "microvm-web"),
        ("foreign/deep/a.img", "microvm-small"),
        ("foreign/a.img", None),
    ):
        assert restrictions.path_problem(f"{root}/{path}", user) is not None
    limits = parse_restrictions({"path_prefixes": [str(root), "/boot"]})
    volume, source = {"image": f"{root}/foreign/a.img", "size": 8}, {"tag": "a", "source": f"{root}/foreign/a"}
    restrictions.check(parse({**SMALL, "volumes": [volume]})[0], limits, "vms[0]")
    with pytest.raises(DeclarationError, match=r"shares\[0\].source"):
        restrictions.check(parse({**SMALL, "shares": [source]})[0], limits, "vms[0]")


def test_a_file_is_no_directory(root: Path) -> None:
    (root / "file").touch()
    assert restrictions.path_problem(f"{root}/file/x") is not None


def test_the_error_names_the_option_and_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "link").symlink_to("/etc")
    limits = parse_restrictions({"path_prefixes": [str(root)]})
    [declaration] = parse({**SMALL, "kernel": f"{root}/link/shadow"})
    with pytest.raises(DeclarationError, match=r"^vms\[0\].kernel: .*symbolic link.*microvm_restrictions") as error:
        restrictions.check(declaration, limits, "vms[0]")
    assert error.value.message.endswith("use a path whose directories belong to root")
    restrictions.check(declaration, UNRESTRICTED, "vms[0]")


def test_packages_are_accepted_only_where_their_declaration_is() -> None:
    [declaration] = parse({**SMALL, "pre_start": "id"})
    assert restrictions.package_problem(declaration, UNRESTRICTED, True) == ""
    assert "external_packages" in restrictions.package_problem(declaration, LIMITS, True)
    assert "pre_start" in restrictions.package_problem(declaration, LIMITS, False)
    assert restrictions.package_problem(parse(SMALL)[0], LIMITS, False) == ""
    recorded = {**declaration, "pre_start": "", "kernel": "/boot/\0"}
    assert "null" in restrictions.package_problem(recorded, LIMITS, False)  # type: ignore[arg-type]
    opened = parse_restrictions({**LIMITS, "external_packages": True})
    assert "pre_start" in restrictions.package_problem(declaration, opened, True)
    assert restrictions.package_problem(None, opened, True) == ""
