# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bed's SSH keys: one that opens all hosts, and one for each host to be known by."""

from __future__ import annotations

from pathlib import Path

from .commands import delete, run
from .paths import Bed


def private(bed: Bed) -> Path:
    """File of the key that root's account accepts on every host of the bed."""
    return bed.state / "keys" / "id_ed25519"


def public(bed: Bed) -> str:
    """The line for ``authorized_keys``."""
    return private(bed).with_suffix(".pub").read_text(encoding="ascii")


def make(path: Path, comment: str) -> None:
    """Make a pair of keys: ``path`` and ``path.pub``."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)


def ensure(bed: Bed) -> None:
    """Make the bed's key unless it is there."""
    directory = private(bed).parent
    if directory.is_dir():
        return
    aside = bed.state / "keys.partial"
    delete(aside)
    aside.mkdir(mode=0o700)
    make(aside / "id_ed25519", f"testbed-{bed.name}")
    aside.rename(directory)
