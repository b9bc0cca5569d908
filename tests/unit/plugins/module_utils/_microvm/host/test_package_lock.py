# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real locks, taken by another process, in the place of those of dpkg and apt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import package_lock
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.package_lock import Holder

HOLD = """
import fcntl, sys
files = [open(path, "a") for path in sys.argv[1:]]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


class Other:
    """Process that holds locks until it is ended."""

    def __init__(self, *paths: str) -> None:
        self.argv = [sys.executable, "-c", HOLD, *paths]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "held\n"

    def end(self) -> None:
        """End it, and with it its locks."""
        self.process.kill()
        self.process.communicate()

    def holder(self, *paths: str) -> Holder:
        """Return what is to be seen of it."""
        return Holder(self.process.pid, " ".join(self.argv), paths)


@pytest.fixture(name="locks")
def _locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setattr(package_lock, "POLL_INTERVAL", 0.05)
    return tuple(str(tmp_path / name) for name in ("frontend", "dpkg", "lists"))


@pytest.fixture(name="others")
def _others() -> Iterator[list[Other]]:
    others: list[Other] = []
    yield others
    for other in others:
        other.end()


def end_when_seen(others: list[Other], monkeypatch: pytest.MonkeyPatch) -> None:
    """End the first of the others as soon as a look has found it."""
    holders = package_lock.holders

    def look(paths: Sequence[str]) -> list[Holder]:
        seen = holders(paths)
        if seen:
            others[0].end()
        return seen

    monkeypatch.setattr(package_lock, "holders", look)


def seen_by_others(paths: Sequence[str]) -> bool:
    """Return whether another process finds one of the locks taken."""
    done = subprocess.run(
        [sys.executable, "-c", HOLD, *paths], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode != 0


@pytest.mark.parametrize("files_exist", [False, True])
def test_locks_that_nobody_holds_are_not_waited_for(locks: tuple[str, ...], files_exist: bool) -> None:
    for path in locks if files_exist else ():
        Path(path).touch()
    assert package_lock.holders(locks) == []
    with package_lock.frontend_locked(0, locks) as waited_for:
        assert waited_for == []
        assert seen_by_others(locks[:1])
        assert not seen_by_others(locks[1:])
    assert not seen_by_others(locks)


@pytest.mark.parametrize("held", [0, 1, 2])
def test_a_lock_that_is_released_is_waited_for(
    locks: tuple[str, ...], others: list[Other], held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    others.append(Other(locks[held]))
    other = others[0]
    assert package_lock.holders(locks) == [other.holder(locks[held])]
    end_when_seen(others, monkeypatch)
    with package_lock.frontend_locked(600, locks) as waited_for:
        assert waited_for == [other.holder(locks[held])]
        assert seen_by_others(locks[:1])


def test_a_lock_that_is_never_released_names_its_holder(locks: tuple[str, ...], others: list[Other]) -> None:
    others.append(Other(locks[0], locks[2]))
    with pytest.raises(HostError) as raised, package_lock.frontend_locked(0.2, locks):
        pass
    expected = f"process {others[0].process.pid} (`{' '.join(others[0].argv)}`) holds {locks[0]}, {locks[2]}"
    assert expected in str(raised.value)
    assert "after 0.2 s" in str(raised.value)


def test_a_lock_that_another_process_takes_between_a_look_and_the_taking_is_waited_for(
    locks: tuple[str, ...], others: list[Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = package_lock._take
    taken: list[Optional[int]] = []

    def late(path: str) -> Optional[int]:
        if not others:
            others.append(Other(path))
        taken.append(take(path))
        return taken[-1]

    monkeypatch.setattr(package_lock, "_take", late)
    end_when_seen(others, monkeypatch)
    with package_lock.frontend_locked(600, locks) as waited_for:
        assert waited_for == [others[0].holder(locks[0])]
    assert taken[0] is None and taken[1] is not None and len(taken) == 2


def test_unfinished_packages_are_configured_while_nobody_else_can(
    locks: tuple[str, ...], others: list[Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[Any] = []

    def run(argv: Sequence[str], **_options: Any) -> str:
        assert seen_by_others(locks[:1])
        commands.append(tuple(argv))
        return "installed bash\nunpacked socat\nhalf-configured qemu-system-x86:amd64\nconfig-files vim\n"

    monkeypatch.setattr(package_lock, "run", run)
    others.append(Other(locks[1]))
    end_when_seen(others, monkeypatch)
    waited_for, packages = package_lock.finish_interrupted(600, locks)
    assert packages == ["socat", "qemu-system-x86:amd64"]
    assert waited_for == [others[0].holder(locks[1])]
    assert [command[0] for command in commands] == ["dpkg-query", "env"]
    assert commands[1] == package_lock.CONFIGURE


def test_a_process_without_a_command_line_is_named_by_its_name() -> None:
    process = subprocess.Popen(["sleep", "0"])
    # A process that has ended and that nobody has asked for its status.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert package_lock._command_line(process.pid) == "sleep"
    process.wait()
    assert package_lock._command_line(process.pid) == "unknown"
