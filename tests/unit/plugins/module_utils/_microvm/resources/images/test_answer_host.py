# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's answer to its host.

systemd gives the script the connection as its input and output, and the peer's address in the environment.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import GUEST_PORT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.guest_tree import SCRIPTS

HOST = {"REMOTE_ADDR": "vsock:2", "REMOTE_PORT": "1023"}
REFUSED = "only the host's root is answered"


def answer(directory: Path, peer: dict[str, str], words: str, systemctl: str = "exit 0") -> tuple[str, str]:
    """Return what the script answers, and what it has told systemd."""
    script, fake, log = directory / "answer-host", directory / "systemctl", directory / "log"
    script.write_text(SCRIPTS["answer-host"])
    fake.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{systemctl}\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{directory}:{os.environ['PATH']}", **peer}
    done = subprocess.run(
        ["sh", script], input=words, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout, log.read_text() if log.exists() else ""


@pytest.mark.parametrize(("word", "text"), [("poweroff", "powering off\n"), ("reboot", "rebooting\n")])
def test_root_of_the_host_is_obeyed(word: str, text: str, tmp_path: Path) -> None:
    assert answer(tmp_path, HOST, f"{word}\n") == (text, f"--quiet --no-block --no-wall {word}\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("sync and freeze\n", "unknown word\n"),
        ("poweroff now\n", "unknown word\n"),
        ("*\n", "unknown word\n"),
        ("\n", "unknown word\n"),
        ("", "no word\n"),
        ("poweroff", "no word\n"),
    ],
)
def test_other_words_do_nothing(words: str, text: str, tmp_path: Path) -> None:
    assert answer(tmp_path, HOST, words) == (text, "")


@pytest.mark.parametrize(
    "peer",
    [
        {},
        {"REMOTE_ADDR": "vsock:2"},
        {"REMOTE_PORT": "1023"},
        # Another user of the host, another guest, a program of this guest, and a peer by TCP.
        {"REMOTE_ADDR": "vsock:2", "REMOTE_PORT": "1024"},
        {"REMOTE_ADDR": "vsock:2", "REMOTE_PORT": "4294967294"},
        {"REMOTE_ADDR": "vsock:7", "REMOTE_PORT": "1023"},
        {"REMOTE_ADDR": "vsock:22", "REMOTE_PORT": "1023"},
        {"REMOTE_ADDR": "vsock:1", "REMOTE_PORT": "1023"},
        {"REMOTE_ADDR": "10.0.0.2", "REMOTE_PORT": "1023"},
    ],
)
def test_nobody_else_is_answered(peer: dict[str, str], tmp_path: Path) -> None:
    assert answer(tmp_path, peer, "poweroff\n") == (f"{REFUSED}\n", "")


def test_a_failure_is_no_promise(tmp_path: Path) -> None:
    assert answer(tmp_path, HOST, "poweroff\n", "exit 1")[0] == "failed\n"


def test_the_socket_listens_where_hosts_ask() -> None:
    assert "ListenStream=vsock::$guest_port\n" in SCRIPTS["setup"] and GUEST_PORT < 1024
