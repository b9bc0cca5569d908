# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks of MicroVMs: who has one, and what they cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.locks import locked, locked_where_free


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with locked(["a", "b"], str(tmp_path)):
        with pytest.raises(HostError, match="'b'"), locked(["b", "c"], str(tmp_path), patience=0):
            pass
        with locked(["c"], str(tmp_path), patience=0):
            pass
    with locked(["b"], str(tmp_path), patience=0):
        pass


def test_a_refused_run_leaves_no_lock_behind(tmp_path: Path) -> None:
    with locked(["b"], str(tmp_path)), pytest.raises(HostError), locked(["a", "b"], str(tmp_path), patience=0):
        pass
    with locked(["a"], str(tmp_path), patience=0):
        pass


def test_a_killed_run_leaves_no_lock_behind(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with locked(["a"], str(tmp_path)):
            os._exit(0)
    os.waitpid(child, 0)
    with locked(["a"], str(tmp_path), patience=0):
        pass


def test_a_child_process_does_not_keep_a_lock(tmp_path: Path) -> None:
    with locked(["a"], str(tmp_path)):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        with locked(["a"], str(tmp_path), patience=0):
            pass
    finally:
        child.communicate()


def opened(directory: Path) -> list[str]:
    """Return what this process has open in a directory; what else it has open, others may close meanwhile."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    # The directory of the links itself is no longer open.
    targets = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [target for target in targets if target.startswith(f"{directory}/")]


def test_many_locks_need_one_descriptor(tmp_path: Path) -> None:
    with locked([f"vm{number}" for number in range(1000)], str(tmp_path)):
        assert len(opened(tmp_path)) == 1


def test_free_locks_are_taken_and_busy_ones_reported(tmp_path: Path) -> None:
    with locked(["b"], str(tmp_path)), locked_where_free(["a", "b", "c"], str(tmp_path)) as busy:
        assert busy == {"b"}
        with pytest.raises(HostError, match="'a'"), locked(["a"], str(tmp_path), patience=0):
            pass
    with locked(["a", "b", "c"], str(tmp_path), patience=0):
        pass


def test_free_locks_need_one_descriptor(tmp_path: Path) -> None:
    with locked_where_free([f"vm{number}" for number in range(1000)], str(tmp_path)) as busy:
        assert busy == frozenset()
        assert len(opened(tmp_path)) == 1


def test_the_error_names_locks_of_other_subjects(tmp_path: Path) -> None:
    lock = ["@image 12"]
    with (
        locked(lock, str(tmp_path)),
        pytest.raises(HostError, match="working on image 12;"),
        locked(lock, str(tmp_path), patience=0),
    ):
        pass
