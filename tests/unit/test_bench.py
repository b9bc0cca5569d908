# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmarks: a command that fails says why, and memory is the guest's or its hypervisor's."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
COMMANDS = runpy.run_path(str(BENCH / "commands.py"))
HYPERVISORS = runpy.run_path(str(BENCH / "hypervisors.py"))
SHARES = runpy.run_path(str(BENCH / "shares.py"))

SMAPS = """\
55d0c0000000-55d0c1000000 r-xp 00000000 fe:01 1234                       /usr/bin/vmm
Size:              16384 kB
Rss:               12000 kB
Pss:                6000 kB
7f0000000000-7f0020000000 rw-s 00000000 00:01 5                          /memfd:guest (deleted)
Size:             524288 kB
Rss:              200000 kB
Pss:              200000 kB
VmFlags: rd wr sh
"""


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("""print('{"failed": true, "msg": "vms[0].mem: too much"}')""", "vms[0].mem: too much"),
        ("import sys; print('a warning'); sys.stderr.write('no route to host')", "a warning\nno route to host"),
    ],
    ids=["a module", "any other command"],
)
def test_a_failed_command_shows_its_message(script: str, reason: str) -> None:
    with pytest.raises(COMMANDS["Failure"]) as failure:
        COMMANDS["output"]([sys.executable, "-c", f"{script}; raise SystemExit(1)"])
    assert str(failure.value).endswith(f"failed with status 1:\n{reason}")


def test_a_command_gets_its_input() -> None:
    assert COMMANDS["output"](["cat"], "text") == "text"


def test_memory_is_divided_between_the_hypervisor_and_its_guest() -> None:
    assert HYPERVISORS["divided"](SMAPS + SMAPS.replace("524288", "8192")) == (212000, 200000)


def test_figures_are_medians_beside_those_of_the_reference() -> None:
    measured = HYPERVISORS["Measured"]
    qemu = measured(seconds=[4, 2, 9], own=[40960, 20480, 81920], guest=[1024] * 3)
    other = measured(seconds=[1, 1, 1], own=[10240] * 3, guest=[2048] * 3)
    seen = HYPERVISORS["figures"]({"qemu": qemu, "other": other})
    assert (seen["qemu: own memory, MiB"], seen["other: memory of its guest, MiB"]) == (40, 2)
    assert (seen["other: start to SSH, by qemu's"], seen["other: own memory, by qemu's"]) == (0.25, 0.25)


def test_a_protocol_is_compared_with_the_other() -> None:
    lines = [
        f"{protocol}:{title}:{time}"
        for protocol in ("virtiofs", "9p")
        for title in SHARES["WORKS"]
        for time in (1, 9, 50)
    ]
    seconds = SHARES["parse"](lines)
    seconds["9p", "64 MiB read"] = [0.3, 0.2, 0.1]
    seen = SHARES["figures"](seconds)
    assert (seen["virtiofs: 64 MiB read, s"], seen["9p: 64 MiB read, by virtiofs's"]) == (0.09, 2.22)
    assert seen["9p: 300 files written, by virtiofs's"] == 1
