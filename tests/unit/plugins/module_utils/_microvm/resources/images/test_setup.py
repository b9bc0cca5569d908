# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``setup`` puts into the tree of an image, and what a declaration can change about it.

Fakes replace the programs that download, unpack and run packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.guest_tree import SCRIPTS

GUESTS = Path(__file__).resolve().parents[7] / "docs" / "guests.md"
DIRECTORIES = (
    *("boot", "etc/ssh", "etc/systemd/system", "usr/lib/systemd/system", "usr/lib/tmpfiles.d", "usr/lib/udev/rules.d"),
    *("etc/tmpfiles.d", "var/lib/dbus", "var/cache/apt/archives"),
)
PROGRAMS = ("apt-cache", "apt-get", "dpkg-deb", "tar", "chroot")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="images are built on hosts with Linux")


@pytest.fixture(name="tree")
def _tree(tmp_path: Path) -> Path:
    """Tree of a guest after ``setup``."""
    tree, fakes = tmp_path / "tree", tmp_path / "fakes"
    for directory in DIRECTORIES:
        (tree / directory).mkdir(parents=True)
    for file in ("boot/vmlinuz-6.1", "usr/lib/tmpfiles.d/provision.conf"):
        (tree / file).touch()
    fakes.mkdir()
    for name in PROGRAMS:
        (fakes / name).write_text("#!/bin/sh\nexit 0\n")
        (fakes / name).chmod(0o755)
    for name in ("setup", "answer-host", "provide-host-key"):
        (tmp_path / name).write_text(SCRIPTS[name])
    environment = {"PATH": f"{fakes}:{os.environ['PATH']}", "MMDEBSTRAP_APT_CONFIG": "none"}
    subprocess.run(["sh", tmp_path / "setup", tree, "linux-image", "901"], env=environment, check=True, timeout=60)
    return tree


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="needs systemctl")
def test_the_documented_command_masks_the_socket(tree: Path) -> None:
    command = re.findall(r"^ +commands: \[systemctl (mask microvm-host.*)\]$", GUESTS.read_text(), re.MULTILINE)
    subprocess.run(["systemctl", f"--root={tree}", *command[0].split()], check=True, timeout=60)
    assert os.readlink(str(tree / "etc/systemd/system/microvm-host.socket")) == "/dev/null"


def test_files_that_an_operator_may_replace_are_not_in_etc(tree: Path) -> None:
    own = {str(path.relative_to(tree)) for path in tree.rglob("*microvm-*") if path.is_file()}
    assert own == {
        "usr/lib/systemd/system/microvm-host.socket",
        "usr/lib/systemd/system/microvm-host@.service",
        "usr/lib/systemd/system/microvm-ssh-host-key.service",
        "usr/lib/udev/rules.d/90-microvm-host.rules",
    }


def test_what_ignores_sigterm_is_killed_soon(tree: Path) -> None:
    unit = (tree / "usr/lib/systemd/system/microvm-host@.service").read_text()
    assert "trap '' TERM" in SCRIPTS["answer-host"]
    assert int(re.findall("^TimeoutStopSec=([0-9]+)$", unit, re.MULTILINE)[0]) < 10
