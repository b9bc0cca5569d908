# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script of the boot queue, with a fake ``systemctl``: MicroVMs start in order, and a stop leaves nothing behind,
whichever comes first, systemd's SIGTERM or the script's own look at the job."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.files import unit_files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.scripts import sources

SCRIPT = Path(sources.__file__).with_name("microvm-boot-queue.bash")

SYSTEMCTL = """#!/bin/sh
case $1 in
    is-system-running) cat "$RUNTIME_DIRECTORY/system" ;;
    show)
        # A FIFO: the test knows that the script looks at its job, and decides what it sees.
        if [ -p "$RUNTIME_DIRECTORY/looks" ]; then echo > "$RUNTIME_DIRECTORY/looks"; fi
        cat "$RUNTIME_DIRECTORY/job"
        ;;
esac
"""

KILL_AT = """set -T
trap 'if [ "$LINENO" = "$KILL_LINE" ] && [ ! -e "$RUNTIME_DIRECTORY/sent" ]; then
    : > "$RUNTIME_DIRECTORY/sent"; kill -TERM $$; fi' DEBUG
"""
"""Script for BASH_ENV that sends SIGTERM before a line of the script is carried out for the first time."""

LEAVES = "leaving the boot queue: MicroVM {}\n"


class Queue:
    """A boot queue in a directory, on a host that starts, with its slot free and a start job for every MicroVM."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "bin").mkdir()
        (directory / "bin" / "systemctl").write_text(SYSTEMCTL)
        (directory / "bin" / "systemctl").chmod(0o755)
        (directory / "queue").mkdir()
        (directory / "slots").mkdir()
        (directory / "system").write_text("starting\n")
        self.set_job("17")
        self.processes: list[subprocess.Popen[str]] = []

    def set_job(self, number: str) -> None:
        """Decide what systemd says of a MicroVM's job; nothing if it has none."""
        (self.directory / "job").write_text(number + "\n")

    def take_slot(self) -> None:
        """Make the one slot taken, for as long as the test may last."""
        (self.directory / "slots" / "1").write_text(Path("/proc/uptime").read_text().partition(".")[0] + "\n")

    def start(self, name: str, **environment: str) -> subprocess.Popen[str]:
        """Run the script for a MicroVM."""
        settings = {"BOOT_PARALLEL": "1", "BOOT_SETTLE": "3600", "RUNTIME_DIRECTORY": str(self.directory)}
        path = f"{self.directory / 'bin'}:{os.environ['PATH']}"
        process = subprocess.Popen(
            ["bash", SCRIPT, name],
            env={**os.environ, "PATH": path, **settings, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def entries(self) -> list[str]:
        """Return the queue's entries, in its order."""
        return sorted(os.listdir(self.directory / "queue"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the queue's lock, as another MicroVM's script does."""
        with (self.directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@pytest.fixture(name="queue")
def _queue(tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(tmp_path)
    yield queue
    for process in queue.processes:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds, for a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the script: its status, and what it printed."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def test_microvms_leave_the_queue_by_order_and_name(queue: Queue) -> None:
    queue.take_slot()
    names = {"c": "50", "b": "050", "a": "90"}
    processes = {name: queue.start(name, BOOT_ORDER=order) for name, order in names.items()}
    wait_for(lambda: queue.entries() == ["000050-b", "000050-c", "000090-a"])
    for name in ("b", "c", "a"):
        assert all(process.poll() is None for process in processes.values())
        (queue.directory / "slots" / "1").write_text("")
        assert end(processes.pop(name)) == (0, LEAVES.format(name), "")
    assert queue.entries() == []


@pytest.mark.parametrize(("system", "parallel"), [("running", "1"), ("degraded", "1"), ("starting", "0")])
def test_nobody_waits_on_a_host_that_runs_or_without_a_bound(queue: Queue, system: str, parallel: str) -> None:
    queue.take_slot()
    (queue.directory / "system").write_text(system + "\n")
    assert end(queue.start("web", BOOT_PARALLEL=parallel)) == (0, "", "")


def test_sigterm_comes_while_it_waits(queue: Queue) -> None:
    queue.take_slot()
    process = queue.start("web")
    wait_for(lambda: queue.entries() == ["000050-web"])
    process.send_signal(signal.SIGTERM)
    assert end(process) == (0, "", "")
    assert queue.entries() == []


def test_the_job_is_gone_before_any_sigterm(queue: Queue) -> None:
    queue.take_slot()
    process = queue.start("web")
    wait_for(lambda: queue.entries() == ["000050-web"])
    queue.set_job("")
    assert end(process) == (0, "", "")
    assert queue.entries() == []


@pytest.mark.parametrize("job", ["17", ""])
def test_sigterm_comes_while_it_looks_at_its_job(queue: Queue, job: str) -> None:
    os.unlink(queue.directory / "job")
    os.mkfifo(queue.directory / "job")
    os.mkfifo(queue.directory / "looks")
    process = queue.start("web")
    descriptor = os.open(queue.directory / "looks", os.O_RDWR)
    assert select.select([descriptor], [], [], 60)[0] == [descriptor]
    process.send_signal(signal.SIGTERM)
    queue.set_job(job)
    os.close(descriptor)
    assert end(process) == (0, "", "")
    assert queue.entries() == []


@pytest.mark.parametrize("registered", [False, True])
def test_sigterm_comes_while_another_has_the_lock(queue: Queue, registered: bool) -> None:
    queue.take_slot()
    if registered:
        process = queue.start("web")
        wait_for(lambda: queue.entries() == ["000050-web"])
    with queue.locked():
        process = process if registered else queue.start("web")
        wait_for(lambda: "flock" in children(process))
        process.send_signal(signal.SIGTERM)
    assert end(process) == (0, "", "")
    assert queue.entries() == []


def children(process: subprocess.Popen[str]) -> list[str]:
    """Return the names of the programs that the script runs."""
    numbers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [file.read_text().strip() for number in numbers if (file := Path(f"/proc/{number}/comm")).exists()]


def lines() -> list[int]:
    """Return the numbers of the script's lines that can be carried out."""
    numbered = enumerate(SCRIPT.read_text().splitlines(), 1)
    return [number for number, line in numbered if re.match(r" *[a-z#'\[]", line) and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("job", ["17", ""])
def test_sigterm_before_whatever_line_leaves_no_entry_and_no_failure(tmp_path: Path, job: str) -> None:
    (tmp_path / "environment").write_text(KILL_AT)
    queues, processes = {}, {}
    for line in lines():
        (tmp_path / str(line)).mkdir()
        queues[line] = Queue(tmp_path / str(line))
        queues[line].set_job(job)
        processes[line] = queues[line].start("web", BASH_ENV=str(tmp_path / "environment"), KILL_LINE=str(line))
    ends = {line: end(process) for line, process in processes.items()}
    sent = [line for line, queue in queues.items() if (queue.directory / "sent").exists()]
    assert len(sent) > len(ends) / 2
    # Before its trap is set, SIGTERM ends it, and SuccessExitStatus= makes that no failure.
    trap = next(number for number, line in enumerate(SCRIPT.read_text().splitlines(), 1) if line.endswith("TERM"))
    killed = [line for line, (status, _output, _errors) in ends.items() if status == -signal.SIGTERM]
    assert killed and max(killed) == trap
    assert {status for status, _output, _errors in ends.values()} == {0, -signal.SIGTERM}
    assert [line for line, queue in queues.items() if queue.entries()] == []
    assert {errors for _status, _output, errors in ends.values()} == {""}


def test_the_unit_takes_no_stop_for_a_failure() -> None:
    """SIGTERM goes to the script alone, and may end it before it has set its trap."""
    unit = unit_files(names.STATE_DIRECTORY)["microvm-boot-queue@.service"].splitlines()
    directory = names.BOOT_QUEUE_DIRECTORY.replace("/run/", "RuntimeDirectory=")
    assert {"Type=oneshot", "KillMode=mixed", "SuccessExitStatus=SIGTERM", directory} <= set(unit)
