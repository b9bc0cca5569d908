# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Closures in the host's store of Nix that guests use: kept from its garbage collector, and written down for guests.

What a guest loads into its own database is a file in the store. That file refers to the paths, so one link to it keeps
both.
"""

from __future__ import annotations

import os
import tempfile
from typing import FrozenSet, List, Sequence

from ..declaration.vms.guest_store import CLOSURE_PREFIX, closure_link, registration_file
from ..schema.quoting import one_per_line
from . import files, nix
from .commands import HostError, run

_REGISTRATION = """\
paths: file: builtins.toFile "microvm-registration" (
  builtins.concatStringsSep "" ([ (builtins.readFile file) ]
    ++ map (path: builtins.substring 0 0 (builtins.storePath path)) paths)
)
"""
"""Makes the file, whose string has the paths in its context: so it refers to them, whatever is in it."""


def kept_closures(name: str) -> FrozenSet[str]:
    """Return the names of the closures that are kept and written down for a MicroVM."""
    directory = nix.roots_directory(name)
    try:
        entries = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    return frozenset(entry for entry in entries if entry.startswith(CLOSURE_PREFIX) and _is_whole(directory, entry))


def _is_whole(directory: str, entry: str) -> bool:
    link = os.path.join(directory, entry)
    target = files.link_target(link)
    if target is None or not os.path.exists(target):
        return False
    return files.read_text(registration_file(link)) == one_per_line([target])


def keep_closure(name: str, store_paths: Sequence[str]) -> None:
    """Let a link keep the closure of store paths for a MicroVM, and write it down for its guest. Raises HostError."""
    link = closure_link(name, store_paths)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    registration = _written(store_paths)
    run([_program("nix-store"), "--realise", registration, "--add-root", link, "--indirect"])
    files.replace_file(registration_file(link), one_per_line([registration]).encode())


def remove_closure(link: str) -> None:
    """Remove the link of a closure. Whoever is killed between leaves one that is not whole, and is removed again."""
    files.remove(registration_file(link))
    files.remove(link)


def release_closure(name: str, closure: str) -> None:
    """Let Nix collect a closure, as far as this MicroVM is concerned."""
    directory = nix.roots_directory(name)
    remove_closure(os.path.join(directory, closure))
    files.remove_if_empty(directory)


def release_all(name: str) -> None:
    """Let Nix collect whatever links keep for a MicroVM: packages and closures."""
    directory = nix.roots_directory(name)
    for entry in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        link = os.path.join(directory, entry)
        if files.link_target(link) is not None:
            remove_closure(link)
    files.remove_if_empty(directory)


def missing_paths(store_paths: Sequence[str]) -> List[str]:
    """Return those paths that the host's store does not have."""
    valid = nix.valid_paths(store_paths)
    return [path for path in store_paths if path not in valid]


def _written(store_paths: Sequence[str]) -> str:
    """Write the registration of a closure into the store. Returns its path, which no link keeps yet."""
    closure = run([_program("nix-store"), "--query", "--requisites", *store_paths]).split()
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "registration")
        files.write_new(file, run([_program("nix-store"), "--dump-db", *closure]).encode(), 0o600)
        paths = " ".join(f'"{path}"' for path in sorted(set(store_paths)))
        expression = f'({_REGISTRATION}) [ {paths} ] "{file}"'
        # Without the option, evaluation only says which path the file would have.
        output = run([_program("nix-instantiate"), "--eval", "--read-write-mode", "--expr", expression])
    return output.strip().strip('"')


def _program(name: str) -> str:
    program = nix.find_program(name)
    if program is None:
        raise HostError(
            f"{nix.MISSING}, whose store the guest is to use; let role `host` install it (`microvm_nix: true`)"
        )
    return program
