# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hypervisors that want a terminal get one as standard input, and stay what they are: the process that ``microvm-run``
was, with its output and its descriptors. A few lines of bash stand for them; they look as these do."""

from __future__ import annotations

import select
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ...examples import SMALL, parse

ON_TERMINAL = [{"hypervisor": "stratovirt"}, {"hypervisor": "alioth", "guest_system": "aarch64-linux"}]
"""Declarations of hypervisors whose console wants a terminal, and which get credentials in their initial RAM disk."""

FAKE = r"""#!/usr/bin/env bash
[ -t 0 ] || exit 90
if [ -t 1 ] || [ -t 2 ]; then exit 91; fi
# By its path, as a program that opens it again.
[ -f /proc/self/fd/3 ] && cpio --quiet --list < /proc/self/fd/3 > names || exit 92
for process in $(cat /proc/$$/task/$$/children); do
    if ls -l "/proc/$process/fd" 2> /dev/null | grep -q initrd; then exit 93; fi
done
[ -e microvm.terminal ] && exit 94
stty raw -echo
echo up
echo "a warning" >&2
while read -r line; do
    echo "heard $line"
    case $line in
        exit) exit 7 ;;
        kill) kill -KILL $$ ;;
    esac
done
exit 95
"""


def begin(directory: Path, **options: Any) -> subprocess.Popen[str]:
    """Start a MicroVM with a credential below a fake hypervisor, and wait until it is up."""
    (directory / "secret").write_text("hidden")
    # An archive without entries but the last one.
    (directory / "initrd").write_bytes(b"")
    declared = {**SMALL, "initrd_path": f"{directory}/initrd", "credential_files": {"a.secret": f"{directory}/secret"}}
    (declaration,) = parse({**declared, "socket": None, **options})
    built = render(declaration, HostFacts("aarch64" if "guest_system" in options else "x86_64"))
    (directory / "bin").mkdir()
    program = directory / "bin" / options["hypervisor"]
    program.write_text(FAKE)
    program.chmod(0o755)
    process = subprocess.Popen(
        ["bash", "-c", built.files["bin/microvm-run"].content.decode()],
        cwd=directory,
        env={"PATH": f"{directory}/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "up\n":
        raise AssertionError(f"status {process.wait(timeout=60)}: {process.communicate()[1]}")
    return process


def await_end_of_reader(process: subprocess.Popen[str]) -> None:
    """Wait until nobody reads what is typed: what gave the hypervisor its terminal has ended."""
    assert process.stdin is not None
    poll = select.poll()
    poll.register(process.stdin, select.POLLERR)
    assert poll.poll(60_000)


@pytest.mark.parametrize("options", ON_TERMINAL, ids=lambda options: options["hypervisor"])
@pytest.mark.parametrize(("word", "status"), [("exit", 7), ("kill", -signal.SIGKILL)])
def test_keys_output_descriptors_and_status_are_the_hypervisors(
    options: dict[str, Any], word: str, status: int, tmp_path: Path
) -> None:
    process = begin(tmp_path, **options)
    assert process.stdin is not None
    process.stdin.write(f"hello\n{word}\n")
    process.stdin.flush()
    assert process.wait(timeout=60) == status
    await_end_of_reader(process)
    assert process.communicate() == (f"heard hello\nheard {word}\n", "a warning\n")
    assert ".extra/system_credentials/a.secret.cred" in (tmp_path / "names").read_text().splitlines()


def test_a_signal_reaches_the_hypervisor_itself(tmp_path: Path) -> None:
    process = begin(tmp_path, hypervisor="stratovirt")
    process.terminate()
    assert process.wait(timeout=60) == -signal.SIGTERM
    await_end_of_reader(process)
    process.communicate()


def test_a_terminal_stays_where_there_is_nothing_to_read(tmp_path: Path) -> None:
    process = begin(tmp_path, hypervisor="stratovirt")
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    with pytest.raises(subprocess.TimeoutExpired):
        # Longer than socat waits at the end of its input by itself.
        process.wait(timeout=0.7)
    process.kill()
    process.communicate()
