# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's script for its SSH host key, in a directory in the place of the root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import HOST_KEY_CREDENTIAL
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.guest_tree import SCRIPTS

OWN = "/etc/ssh/ssh_host_ed25519_key"


def provide(root: Path) -> list[str]:
    """Run the script, and return the settings of the SSH server that it writes."""
    (root / "etc" / "ssh").mkdir(parents=True, exist_ok=True)
    script = root / "provide-host-key"
    script.write_text(SCRIPTS["provide-host-key"])
    subprocess.run(["sh", script, root], check=True, timeout=60)
    return (root / "run/microvm-ssh-host-key/sshd_config").read_text().splitlines()


def give(root: Path, content: str, source: str = "@system") -> str:
    directory = root / "run" / "credentials" / source
    directory.mkdir(parents=True, exist_ok=True)
    (directory / HOST_KEY_CREDENTIAL).write_text(content)
    return f"/run/credentials/{source}/{HOST_KEY_CREDENTIAL}"


@pytest.mark.parametrize("source", ["@system", "@initrd"])
def test_a_guest_shows_the_key_that_its_host_gives_and_makes_none(tmp_path: Path, source: str) -> None:
    given = give(tmp_path, "given", source)
    assert provide(tmp_path) == [f"HostKey {given}"]
    assert list((tmp_path / "etc/ssh").iterdir()) == []


def test_a_guest_keeps_the_key_that_it_has_on_a_volume(tmp_path: Path) -> None:
    given = give(tmp_path, "given")
    (tmp_path / "etc/ssh").mkdir(parents=True)
    (tmp_path / OWN[1:]).write_text("own")
    assert provide(tmp_path) == [f"HostKey {given}", f"HostKey {OWN}"]
    assert (tmp_path / OWN[1:]).read_text() == "own"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_guest_that_is_given_none_makes_one_once(tmp_path: Path) -> None:
    give(tmp_path, "")
    assert provide(tmp_path) == [f"HostKey {OWN}"]
    made = (tmp_path / OWN[1:]).read_text()
    assert (
        "PRIVATE KEY" in made and provide(tmp_path) == [f"HostKey {OWN}"] and (tmp_path / OWN[1:]).read_text() == made
    )


def test_the_ssh_server_reads_what_the_script_writes() -> None:
    assert "\nInclude /run/microvm-ssh-host-key/sshd_config\n" in SCRIPTS["setup"]
    assert "\nHostKey " not in SCRIPTS["setup"]
