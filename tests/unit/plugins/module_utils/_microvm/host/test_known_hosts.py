# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host keys of guests in ssh's own file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import known_hosts

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5Q8pTPIpsXMF1FyYjJ3nTbEh8nPTbxd3cUMkPV8mVf"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "known_hosts"
    monkeypatch.setattr(known_hosts, "KNOWN_HOSTS", str(path))
    return path


def test_a_key_is_renamed_and_replaces_the_one_of_an_earlier_guest(file: Path) -> None:
    file.write_text(f"web-1,10.0.0.1 {KEY}\nweb {KEY[:-1]}A\nweb-10 {KEY}\n")
    known_hosts.rename_key("web-1", "web")
    assert file.read_text() == f"web {KEY}\nweb-10 {KEY}\n"
    assert known_hosts.has_key("web") and not known_hosts.has_key("web-1")


def test_no_file_has_no_key(file: Path) -> None:
    assert not known_hosts.has_key("web")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_hashed_names_are_those_of_ssh(file: Path) -> None:
    file.write_text(f"first {KEY}\nsecond {KEY}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "first" not in file.read_text()
    assert known_hosts.has_key("first") and not known_hosts.has_key("third")
    known_hosts.rename_key("first", "third")
    assert file.read_text().splitlines()[0] == f"third {KEY}" and known_hosts.has_key("second")
