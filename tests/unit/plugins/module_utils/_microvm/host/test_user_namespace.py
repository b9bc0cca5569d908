# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds without root: what a user needs, and what becomes of work in a user namespace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import user_namespace
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.user_namespace import Range, subordinate


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", None),
        ("ann:100000:65536\n", Range(100000, 65536)),
        ("anna:100000:65536\n", None),
        ("bob:1:65536\nann:200000:65535\n", Range(200000, 65535)),
        ("1234:300000:131072\n", Range(300000, 131072)),
        # Too few for all users of a Debian system, and lines that are none.
        ("ann:100000:1000\n", None),
        ("ann:100000:1000\nann:500000:65536\n", Range(500000, 65536)),
        ("ann\nann:x:65536\nann:1:2:3\n# ann:7:65536\n", None),
    ],
)
def test_subordinate_ids_are_those_of_the_user_and_enough(content: str, expected: Optional[Range]) -> None:
    assert subordinate(content, "ann", 1234) == expected


@pytest.mark.parametrize(
    ("files", "programs", "expected"),
    [
        ({"subuid": "ann:1:65536", "subgid": "ann:1:65536"}, ["newuidmap", "newgidmap"], []),
        (
            {"subuid": "ann:1:65536", "subgid": "ann:1:65536"},
            ("newgidmap",),
            ["newuidmap of the Debian package uidmap"],
        ),
        (
            {"subuid": "ann:1:65536", "subgid": ""},
            ("newuidmap", "newgidmap"),
            ["65536 subordinate IDs of ann in {}/subgid"],
        ),
        ({}, [], ["newuidmap and newgidmap of", "65536 subordinate IDs of ann in {0}/subuid and {0}/subgid"]),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Dict[str, str], programs: List[str], expected: List[str]
) -> None:
    monkeypatch.setattr(user_namespace, "search_path", lambda: str(tmp_path))
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    for name in programs:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    paths = {str(tmp_path / "subuid"): "newuidmap", str(tmp_path / "subgid"): "newgidmap"}
    lacking = user_namespace.missing("ann", paths)
    assert len(lacking) == len(expected)
    assert all(lacking[index].startswith(text.format(tmp_path)) for index, text in enumerate(expected))


@pytest.fixture
def namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace whose IDs root maps without programs."""

    def assign(process: int) -> None:
        for kind in ("uid", "gid"):
            Path(f"/proc/{process}/{kind}_map").write_text("0 0 1\n1 300000 65535\n")

    monkeypatch.setattr(user_namespace, "_map", assign)
    if os.geteuid() != 0:
        pytest.skip("only root maps IDs without programs")
    try:
        user_namespace.as_root_of_namespace(lambda: None)
    except (HostError, OSError) as error:
        pytest.skip(f"this machine has no user namespaces: {error}")


@pytest.mark.usefixtures("namespace")
def test_work_is_done_by_root_of_the_namespace_who_owns_other_ids(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "file").write_text(f"{os.geteuid()}:{os.getegid()}")
        os.chown(tmp_path / "file", 42, 42)

    user_namespace.as_root_of_namespace(work)
    status = (tmp_path / "file").stat()
    assert ((tmp_path / "file").read_text(), status.st_uid, status.st_gid) == ("0:0", 300041, 300041)


@pytest.mark.usefixtures("namespace")
def test_an_error_of_the_work_is_one_of_the_host(tmp_path: Path) -> None:
    def work() -> None:
        raise HostError("no space left")

    with pytest.raises(HostError, match=r"^no space left$"):
        user_namespace.as_root_of_namespace(work)


def test_without_ids_the_child_ends_and_the_reason_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_process: int) -> None:
        raise HostError("newuidmap failed")

    monkeypatch.setattr(user_namespace, "_map", refuse)
    with pytest.raises(HostError, match=r"newuidmap failed|no user namespace"):
        user_namespace.as_root_of_namespace((tmp_path / "done").touch)
    assert not (tmp_path / "done").exists()
