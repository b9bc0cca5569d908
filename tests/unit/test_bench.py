# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmarks: a command that fails says why, memory is the guest's or its hypervisor's, speeds are of all bytes."""

from __future__ import annotations

import runpy
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
COMMANDS = runpy.run_path(str(BENCH / "commands.py"))
HYPERVISORS = runpy.run_path(str(BENCH / "hypervisors.py"))
SHARES = runpy.run_path(str(BENCH / "shares.py"))
TRAFFIC = runpy.run_path(str(BENCH / "traffic.py"))

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


class Clock:
    """A clock that goes on by a second whenever it is read, so that no test depends on the speed of the machine."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setitem(TRAFFIC["sent"].__globals__, "time", clock)
    return clock


def test_a_transfer_is_measured_until_all_has_come(clock: Clock) -> None:
    ours, theirs = socket.socketpair()

    def receive_and_take_long() -> None:
        with theirs:
            while theirs.recv(1 << 20):
                pass
            clock.now = 100

    thread = threading.Thread(target=receive_and_take_long)
    thread.start()
    with ours:
        speed = TRAFFIC["sent"](ours, 3)
    thread.join()
    assert speed == 2 * TRAFFIC["CHUNK"] / 100


def test_a_transfer_ends_after_its_time(clock: Clock) -> None:
    ours, theirs = socket.socketpair()

    def send_for_ever() -> None:
        with theirs:
            try:
                while True:
                    theirs.sendall(bytes(1 << 16))
            except OSError:
                pass

    thread = threading.Thread(target=send_for_ever)
    thread.start()
    with ours:
        speed = TRAFFIC["received"](ours, 3)
    thread.join()
    assert speed > 0 and clock.now == 4


def test_a_banner_is_awaited_until_there_is_one() -> None:
    begin = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def show_banner_late() -> None:
            listener.accept()[0].close()
            connection, _peer = listener.accept()
            with connection:
                time.sleep(0.2)
                connection.sendall(b"SSH-2.0-any")

        thread = threading.Thread(target=show_banner_late)
        thread.start()
        address = listener.getsockname()
        seconds = TRAFFIC["banner_seconds"](address, begin, 600)
        thread.join()
    assert seconds >= 0.2
    with pytest.raises(TimeoutError, match=r"no SSH server at 127\.0\.0\.1"):
        TRAFFIC["banner_seconds"](address, time.monotonic(), 0.01)


def test_kvm_and_vhost_net_are_compared_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    devices = runpy.run_path(str(BENCH / "devices.py"))
    speeds = [
        (2e6 if path == "vhost-net" else 1e6) * (3 if direction == "guest to host" else 1)
        for path, direction in TRAFFIC["TRANSFERS"]
    ]
    assert devices["figures"]({"kvm": [2, 4], "tcg": [30, 30]}, speeds) == {
        "KVM: start to SSH banner, s": 3,
        "TCG: start to SSH banner, by KVM's": 10,
        "plain tap: host to guest, MB/s": 1,
        "vhost-net: host to guest, by plain tap's": 2,
        "plain tap: guest to host, MB/s": 3,
        "vhost-net: guest to host, by plain tap's": 2,
    }
    for index, (path, direction) in enumerate(TRAFFIC["TRANSFERS"]):
        verb = "get" if direction == "host to guest" else "put"
        assert f"\n{verb} {devices['SUBNETS'][path]}.1 {7000 + index} " in devices["IN_GUEST"]
