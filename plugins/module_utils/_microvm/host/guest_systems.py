# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Systems of guests in the store of Nix, which the host shares with them: a running guest is switched to another one.

The steps are those of NixOS: the registration is imported, so that the guest's Nix knows the paths that it sees, the
profile of the system is set, and the system activates itself.
"""

from __future__ import annotations

import os
import tempfile
from typing import IO

from ..declaration.switch_actions import PROFILED
from ..schema.excerpts import excerpt, last_lines
from . import files, nix
from .commands import HostError, run
from .guest_shell import GuestLogin, run_in_guest
from .scripts.sources import ACTIVATE_SYSTEM, SEE_SYSTEM

ACTIVATION = "bin/switch-to-configuration"
"""Program of a system that activates it."""

_BOOTED = ("kernel", "kernel-modules", "initrd")

_PROBE_SECONDS, _ACTIVATION_SECONDS = 30, 1800


def host_name_of(system: str, name: str) -> str:
    """Return the host name of a system; ``name`` where it does not say one."""
    return (files.read_text(os.path.join(system, "etc/hostname")) or "").strip() or name


def boots_alike(before: str, after: str) -> bool:
    """Return whether two systems have the same kernel, modules and initrd, which take effect with a boot only."""
    paths = [[os.path.join(system, part) for part in _BOOTED] for system in (before, after)]
    booted = [[os.path.realpath(path) if os.path.lexists(path) else None for path in parts] for parts in paths]
    return booted[0] == booted[1]


def refusal_of_guest(login: GuestLogin, system: str, host_name: str) -> str:
    """Return why a running guest cannot be switched to a system; empty if it can."""
    activation = os.path.join(system, ACTIVATION)
    try:
        done = run_in_guest(login, ["sh", "-c", SEE_SYSTEM, "sh", activation], _PROBE_SECONDS)
    except HostError as error:
        return str(error)
    own, _line, seen = done.text.strip().partition("\n")
    if own != host_name:
        return f"the host name of the guest that answers is {excerpt(own)}, and the system is for {host_name}"
    if seen != "seen":
        return f"the guest does not see {activation} in its /nix/store"
    return ""


def activate(login: GuestLogin, system: str, action: str) -> str:
    """Let a guest switch to a system, or do what else ``action`` says. Returns its output. Raises HostError."""
    with tempfile.TemporaryFile() as registration:
        is_registered = _write_registration(system, registration)
        profile = "yes" if is_registered and action in PROFILED else ""
        command = ["sh", "-c", ACTIVATE_SYSTEM, "sh", system, os.path.join(system, ACTIVATION), action, profile]
        done = run_in_guest(login, command, _ACTIVATION_SECONDS, registration)
    output = last_lines("\n".join((done.text, done.errors.decode(errors="replace"))))
    if done.status != 0:
        raise HostError(f"{system}/{ACTIVATION} {action} failed in the guest with status {done.status}: {output}")
    return output


def _write_registration(system: str, target: IO[bytes]) -> bool:
    """Write what Nix knows of the paths that a system needs. Returns whether the host has Nix."""
    program = nix.store_program()
    if program is None:
        return False
    paths = run([program, "--query", "--requisites", system]).split()
    target.write(run([program, "--dump-db", *paths]).encode())
    target.seek(0)
    return True
