# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A console's log that is moved away and cut, and its FIFO."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands.console import Attachment
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.console import TAIL_BYTES, Console, Log


def test_the_log_begins_with_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"x" * TAIL_BYTES + b"\nlast line\nprompt: ")
    log = Log(str(path))
    assert log.read() == b"last line\nprompt: " and log.read() == b""
    log.close()


def test_the_log_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    log = Log(str(path))
    assert log.read() == b""
    path.write_bytes(b"one ")
    assert log.read() == b"one "
    with path.open("ab") as file:
        file.write(b"two")
    assert log.read() == b"two"
    os.truncate(path, 0)
    with path.open("ab") as file:
        file.write(b"3")
    assert log.read() == b"3"
    path.rename(tmp_path / "console.log.old")
    assert log.read() == b""
    path.write_bytes(b"four")
    assert log.read() == b"four"
    log.close()


def guest(directory: Path) -> int:
    """The end of the guest: a FIFO that it reads."""
    (directory / "web").mkdir()
    os.mkfifo(directory / "web" / "console.in")
    (directory / "web" / "console.log").write_bytes(b"up\n")
    return os.open(directory / "web" / "console.in", os.O_RDONLY | os.O_NONBLOCK)


def test_a_microvm_without_a_console_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="is not running"):
        Console("web", str(tmp_path))
    (tmp_path / "web").mkdir()
    (tmp_path / "secret").write_text("")
    (tmp_path / "web" / "console.in").symlink_to(tmp_path / "secret")
    with pytest.raises(HostError):
        Console("web", str(tmp_path))
    (tmp_path / "web" / "console.in").unlink()
    (tmp_path / "web" / "console.in").write_text("")
    with pytest.raises(HostError, match="is not a FIFO"):
        Console("web", str(tmp_path))


def test_the_end_of_the_guest_is_noticed(tmp_path: Path) -> None:
    listening = guest(tmp_path)
    console = Console("web", str(tmp_path))
    ended_at_once = console.has_ended
    assert not ended_at_once
    assert console.write(b"ls\n") == b"" and os.read(listening, 9) == b"ls\n"
    os.close(listening)
    with pytest.raises(HostError, match="has ended"):
        console.write(b"x")
    has_ended = console.has_ended
    console.close()
    assert has_ended


@pytest.mark.parametrize(("linger", "typed"), [(None, b"hello\x1dnot this"), (0.1, b"hello")])
def test_a_console_copies_both_ways_until_detached_or_silent(
    tmp_path: Path, linger: float | None, typed: bytes
) -> None:
    listening = guest(tmp_path)
    (keyboard, keys), (seen, screen) = os.pipe(), os.pipe()
    console = Console("web", str(tmp_path))
    os.write(keys, typed)
    os.close(keys)
    runs = threading.Thread(target=Attachment(console, keyboard, screen, linger).run, daemon=True)
    runs.start()
    runs.join(60)
    assert not runs.is_alive()
    assert os.read(listening, 99) == b"hello" and os.read(seen, 99) == b"up\n"
    console.close()
    for descriptor in (listening, keyboard, seen, screen):
        os.close(descriptor)


def test_a_guest_that_is_never_silent_can_be_detached_from(tmp_path: Path) -> None:
    listening = guest(tmp_path)
    (keyboard, keys), screen = os.pipe(), os.open(os.devnull, os.O_WRONLY)
    console, stop = Console("web", str(tmp_path)), threading.Event()

    def flood() -> None:
        with (tmp_path / "web" / "console.log").open("ab") as log:
            while not stop.is_set():
                log.write(b"flood\n" * 100_000)
                log.truncate(1 << 24)

    floods = threading.Thread(target=flood, daemon=True)
    floods.start()
    os.write(keys, b"\x1d")
    runs = threading.Thread(target=Attachment(console, keyboard, screen, None).run, daemon=True)
    runs.start()
    runs.join(60)
    stop.set()
    floods.join(60)
    assert not runs.is_alive()
    console.close()
    for descriptor in (listening, keyboard, keys, screen):
        os.close(descriptor)
