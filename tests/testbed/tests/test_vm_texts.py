# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of what virtual machines are made of, without any of them."""

from __future__ import annotations

import base64
import io
import json
import os
import platform
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path

import pytest

from ..commands import BedError
from ..paths import Bed
from ..vm import base, hardware, supervisor
from ..vm.hardware import Machine
from ..vm.line import Line, encoded
from ..vm.monitor import Monitor
from ..vm.sockets import Lines

MACHINE = Machine(Path("/tree"), Path("/disk"), Path("/machine"), Path("/console"), "tap")


def options(*, is_frozen: bool) -> list[tuple[str, str]]:
    """Return the options of QEMU with their values; those without one are left out."""
    return [pair for pair in pairwise(MACHINE.command(is_frozen=is_frozen)) if pair[0].startswith("-")]


def test_qemu_runs_with_the_libraries_of_its_tree() -> None:
    words = MACHINE.command(is_frozen=False)
    assert words[0] == "/tree/lib64/ld-linux-x86-64.so.2"
    assert words[words.index("--library-path") + 1] == "/tree/usr/lib/x86_64-linux-gnu"
    assert words[3] == "/tree/usr/bin/qemu-system-x86_64"


def test_a_machine_thaws_as_it_was_frozen_but_for_its_disk() -> None:
    """The devices and their order are those of the state; only where writes go differs."""
    frozen, thawed = set(options(is_frozen=False)), set(options(is_frozen=True))
    assert thawed - frozen == {
        ("-incoming", "defer"),
        ("-drive", "if=none,id=disk,file=/disk,format=raw,cache=unsafe,snapshot=on"),
    }
    assert {name for name, _value in frozen - thawed} == {"-drive"}


def test_a_machine_has_one_processor_and_one_thread() -> None:
    chosen = dict(options(is_frozen=True))
    assert (chosen["-smp"], chosen["-accel"]) == ("1", "tcg,thread=single")


def test_every_spare_card_has_a_network_of_its_own() -> None:
    used = [part for device in hardware.SPARE_DEVICES for part in device.split(",") if part.startswith("netdev=")]
    there = [network.split(",")[1].replace("id=", "netdev=") for network in hardware.SPARE_NETWORKS]
    assert used == there


def test_cards_have_different_addresses() -> None:
    words = " ".join([*hardware.SPARE_DEVICES, f"mac={hardware.MAC}"])
    spare = [part.removeprefix("mac=") for part in words.replace(" ", ",").split(",") if part.startswith("mac=")]
    own = [base.mac(Bed("default").host(number)) for number in range(1, 201)]
    assert len({*spare, *own}) == len(spare) + len(own)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (base, "MACHINE_PACKAGES", ("hello",)),
        (base, "DISK_GIBIBYTES", 7),
        (base, "SETTLE", "true\n"),
        (hardware, "BASICS", ("-m", "1")),
        (hardware, "SPARE_DEVICES", ()),
        (hardware, "KERNEL_PARAMETERS", ("quiet",)),
    ],
)
def test_a_base_is_named_by_all_that_determines_it(
    module: object, name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = base.digest()
    assert before == base.digest()
    monkeypatch.setattr(module, name, value)
    assert base.digest() != before


def test_roles_find_all_packages_that_containers_would_install() -> None:
    assert {"linux-image-amd64", "python3-apt", "qemu-system-x86", "virtiofsd", "nftables"} <= set(base.packages())


def test_only_a_suite_and_a_processor_that_can_run_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BedError, match="bookworm is there as --kind container"):
        base.check("bookworm")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(BedError, match="need a machine of x86-64, this is aarch64"):
        base.check(base.SUITE)


def test_more_memory_than_the_machine_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(BedError, match=r"^1000 virtual machines need 4608000 MiB of memory, and [0-9]+ MiB are"):
        base.check(base.SUITE, 1000)


def test_an_identity_is_an_archive_of_files_that_root_owns(tmp_path: Path) -> None:
    (tmp_path / "etc/ssh").mkdir(parents=True)
    (tmp_path / "etc/hostname").write_text("host1\n", encoding="ascii")
    (tmp_path / "etc/ssh/key").write_text("secret\n", encoding="ascii")
    (tmp_path / "etc/ssh/key").chmod(0o600)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(supervisor.archive(tmp_path)))) as archive:
        members = {member.name: (member.uid, member.uname, member.mode & 0o777) for member in archive}
    assert members == {"etc/hostname": (0, "root", 0o644), "etc/ssh/key": (0, "root", 0o600)}


@contextmanager
def answering(*answers: object) -> Iterator[tuple[Lines, list[str]]]:
    """Lines whose other end answers each line that it gets, after a first answer at once; and what it got."""
    ours, theirs = socket.socketpair()
    received = list[str]()

    def serve() -> None:
        with theirs, theirs.makefile("rw", encoding="utf-8") as stream:
            for number, answer in enumerate(answers):
                if number:
                    received.append(stream.readline())
                words = answer if isinstance(answer, list) else [answer]
                stream.writelines(f"{word if isinstance(word, str) else json.dumps(word)}\n" for word in words)
                stream.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    ours.settimeout(60)
    with ours:
        yield Lines(ours), received
    thread.join(60)


GREETING: object = {"QMP": {}}
DONE: object = {"return": {}}


def status(name: str, **more: str) -> dict[str, object]:
    """Return the answer to ``query-migrate``."""
    return {"return": {"status": name, **more}}


def test_freezing_waits_until_the_state_is_written() -> None:
    """Events between answers are passed over."""
    answers = (
        GREETING,
        DONE,
        [{"event": "STOP"}, DONE],
        DONE,
        DONE,
        DONE,
        status("active"),
        status("completed"),
    )
    with answering(*answers) as (lines, received):
        Monitor(lines).freeze(Path("/state"))
    commands = [json.loads(line) for line in received]
    assert [command["execute"] for command in commands] == [
        *("qmp_capabilities", "stop", "migrate-set-capabilities", "migrate"),
        *("query-migrate", "query-migrate", "query-migrate"),
    ]
    assert commands[3]["arguments"] == {"uri": "file:/state"}


def test_thawing_goes_on_only_from_a_whole_state() -> None:
    answers: tuple[object, ...] = (GREETING, DONE, DONE, DONE, status("failed", **{"error-desc": "it is cut off"}))
    with answering(*answers) as (lines, received), pytest.raises(BedError, match="it is cut off"):
        Monitor(lines).thaw(Path("/state"))
    assert [json.loads(line)["execute"] for line in received][-1] == "query-migrate"


def test_refusals_of_the_monitor_are_passed_on() -> None:
    answers: tuple[object, ...] = (GREETING, DONE, {"error": {"desc": "no such thing"}})
    with answering(*answers) as (lines, _received), pytest.raises(BedError, match="refuses stop: no such thing"):
        Monitor(lines).freeze(Path("/state"))


def test_an_end_of_qemu_is_an_error_that_says_so() -> None:
    with answering(GREETING) as (lines, _received), pytest.raises(BedError, match=r"QEMU (has ended|does not listen)"):
        Monitor(lines)


def test_an_end_of_qemu_with_a_command_unread_is_an_end_too() -> None:
    """The kernel reports a reset then, instead of an end of what there is to read."""
    ours, theirs = socket.socketpair()
    with ours:
        lines = Lines(ours)
        lines.send("unread")
        theirs.close()
        with pytest.raises(BedError, match="QEMU has ended"):
            lines.receive("answer")


@pytest.fixture
def terminal() -> Iterator[TextIOWrapper]:
    """Terminal at whose other end the host's program reads."""
    ours, theirs = os.openpty()
    process = subprocess.Popen([base.HOST_LINE, os.ttyname(theirs)])
    with TextIOWrapper(os.fdopen(ours, "r+b", buffering=0), encoding="ascii", write_through=True) as stream:
        yield stream
        process.kill()
        process.wait()
    os.close(theirs)


def test_a_host_runs_the_scripts_that_come_by_its_serial_line(terminal: TextIOWrapper, tmp_path: Path) -> None:
    """A long one arrives whole; one that fails is answered with its status and what it has written."""
    assert terminal.readline() == "ready\n"
    for script in (f"touch {tmp_path}/short", f"touch {tmp_path}/long # {'x' * 2800}"):
        terminal.write(encoded(script) + "\n")
        assert terminal.readline() == "0\n"
    terminal.write(encoded("echo some words; exit 7") + "\n")
    status, output = terminal.readline().split()
    assert (status, base64.b64decode(output)) == ("7", b"some words\n")
    assert {path.name for path in tmp_path.iterdir()} == {"short", "long"}


def test_a_script_that_the_line_would_cut_is_refused() -> None:
    with pytest.raises(BedError, match="too long for the serial line"):
        encoded("x" * 4000)


def test_errors_of_scripts_say_what_the_host_wrote() -> None:
    with answering("ready", f"7 {base64.b64encode(b'no such unit').decode()}") as (lines, _received):
        host_line = Line(lines)
        host_line.wait_until_ready()
        with pytest.raises(BedError, match=r"status 7:\nsystemctl reload it\nno such unit"):
            host_line.run("systemctl reload it")
