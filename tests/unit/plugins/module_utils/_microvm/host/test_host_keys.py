# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recorded host keys against the answers of ssh, which fakes print."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import host_keys, known_hosts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.deadline import Deadline

ANSWERS: dict[str, tuple[str, str | None]] = {
    "the recorded key": ("echo 'root@192.0.2.9: Permission denied (publickey).' >&2; exit 255", None),
    "a login without a key": ("exit 0", None),
    "no connection": ("echo 'ssh: connect to host 192.0.2.9: No route to host' >&2; exit 255", "No route"),
    "no word": ("exit 3", "status 3"),
}


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File with the hashed key of ``db``, and a directory for programs."""
    key, file = tmp_path / "key", tmp_path / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    kind, blob = (tmp_path / "key.pub").read_text().split()[:2]
    file.write_text(f"web,10.0.0.1 {kind} {blob}\ndb {kind} {blob}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    monkeypatch.setattr(host_keys, "KNOWN_HOSTS", str(file))
    monkeypatch.setattr(known_hosts, "KNOWN_HOSTS", str(file))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return file


def answer(recorded: Path, script: str) -> None:
    """Let ``ssh`` be a script, which writes its arguments down first."""
    ssh = recorded.with_name("ssh")
    ssh.write_text(f'#!/bin/sh\necho "$@" > {recorded.with_name("words")}\n{script}\n')
    ssh.chmod(0o755)


@pytest.mark.parametrize(("script", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_without_a_key_is_reported(recorded: Path, script: str, expected: str | None) -> None:
    answer(recorded, script)
    assert (expected or "None") in str(host_keys.check("db", "192.0.2.9", 2222, Deadline(60)))
    words = recorded.with_name("words").read_text()
    assert "HostKeyAlias=db -p 2222" in words and "StrictHostKeyChecking=yes" in words


def test_no_answer_is_not_waited_for_longer_than_it_may_take(recorded: Path) -> None:
    answer(recorded, "exec sleep 600")
    assert "in time" in str(host_keys.check("db", "192.0.2.9", 22, Deadline(1)))


def test_another_key_is_an_error(recorded: Path) -> None:
    answer(recorded, "echo 'Host key verification failed.' >&2; exit 255")
    with pytest.raises(host_keys.OtherHostKey, match=f"192.0.2.9 has another .*ssh-keygen -f {recorded} -R db"):
        host_keys.check("db", "192.0.2.9", 22, Deadline(60))


@pytest.mark.parametrize("is_file", [True, False])
def test_a_guest_without_a_recorded_key_is_not_asked(recorded: Path, is_file: bool) -> None:
    if not is_file:
        recorded.unlink()
    assert host_keys.check("app", "192.0.2.9", 22, Deadline(1)) is None
    assert not recorded.with_name("words").exists()
