# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that Nix builds, and keeps for as long as a link of ours leads to them."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Optional, Sequence

from ..declaration.names import GARBAGE_ROOTS
from . import files
from .commands import HostError, run, search_path

STORE = "/nix/store/"

RUNNER = "nixosConfigurations.{name}.config.microvm.declaredRunner"
"""microvm.nix's runner of a MicroVM, in a flake."""

_PROGRAM_DIRECTORIES = "/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin"
"""Directories of Nix's programs that shells of users have in PATH, and sessions of Ansible lack."""

_NIX = ("nix", "--extra-experimental-features", "nix-command flakes", "build")
_NEXT = ".next"


def build_rooted(flake: str, name: str, roots: str) -> str:
    """Path of the runner that a flake has for a MicroVM; a link in ``roots`` keeps it. What Nix says is shown.

    Raises HostError.
    """
    os.makedirs(roots, exist_ok=True)
    link = os.path.join(roots, _NEXT)
    _build(f"{flake}#{RUNNER.format(name=name)}", link)
    path = os.path.realpath(link)
    # Nix knows links by their paths, so a renamed one would keep nothing.
    _build(path, os.path.join(roots, os.path.basename(path)))
    files.remove(link)
    return path


def build_unrooted(flake: str, name: str) -> str:
    """Build as ``build`` does, for whoever only looks: no link keeps the runner. Returns its path. Raises HostError."""
    return _nix([f"{flake}#{RUNNER.format(name=name)}", "--no-link", "--print-out-paths"]).strip()


def is_collectable(name: str, package: str) -> bool:
    """Return whether the host has Nix, and no link of a MicroVM keeps a path in the store of Nix.

    Where Nix is not installed, nobody collects garbage in its store, and nobody knows links.
    """
    is_kept = files.link_target(_root(name, package)) == package
    return os.path.dirname(package) + "/" == STORE and not is_kept and store_program() is not None


def keep(name: str, package: str) -> None:
    """Let a link keep a package for a MicroVM. Raises HostError for a path that Nix does not know."""
    program, link = store_program(), _root(name, package)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    run([program or "nix-store", "--realise", package, "--add-root", link, "--indirect"])


def store_program() -> Optional[str]:
    """Return the program that manages the store of Nix; ``None`` where it is not installed."""
    return shutil.which("nix-store", path=f"{search_path()}:{_PROGRAM_DIRECTORIES}")


def _root(name: str, package: str) -> str:
    return os.path.join(GARBAGE_ROOTS, name, os.path.basename(package))


def _build(what: str, link: str) -> None:
    _nix([what, "--out-link", link])


def _nix(words: Sequence[str]) -> str:
    """Run `nix build`, whose progress is shown. Returns its output."""
    try:
        done = subprocess.run([*_NIX, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    except FileNotFoundError:
        raise HostError(
            "nix is not installed on this host; install it, or build elsewhere and pass the package by --package"
        ) from None
    if done.returncode != 0:
        raise HostError(f"`nix build {words[0]}` failed, see above")
    return done.stdout.decode()
