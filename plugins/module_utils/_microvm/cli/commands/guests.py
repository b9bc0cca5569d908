# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm logs``, ``ssh`` and ``balloon``."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import List, NoReturn

from ...declaration.names import KNOWN_HOSTS, unit_name, unit_names
from ...host import known_hosts, systemd
from ...host.commands import HostError, search_path
from ...operations.guest_login import destination_of, host_key_options, key_options, multiplexer_options
from ...operations.info import inform
from ...operations.lifecycle import require
from ...resources.vms.handlers import BALLOON_SCRIPT, set_balloon
from ..foreground import run_in_foreground
from ..host import places, require_root
from ..output import complain, say

NOT_VERIFIED = "Host key verification failed"
"""Error of ssh where the host key of a server is not the recorded one, or nobody has said that it is right."""

SSH_FAILED, KEYS_REFUSED = 255, "Permission denied ("
"""Exit status of ssh for an error of its own, and what it says where a server accepts nothing that it has to offer."""


def become(argv: List[str]) -> NoReturn:
    """Run a program in place of this one. Raises HostError where it is not installed."""
    sys.stdout.flush()
    try:
        os.execvpe(argv[0], argv, {**os.environ, "PATH": search_path()})
    except FileNotFoundError:
        raise HostError(f"{argv[0]} is not installed on this host") from None


def logs(arguments: Namespace) -> int:
    """``microvm logs``."""
    require(arguments.name, places(arguments))
    words = [word for unit in unit_names(arguments.name) for word in ("--unit", unit)]
    words += ["--follow"] if arguments.follow else []
    words += ["--lines", str(arguments.lines)] if arguments.lines is not None else []
    become(["journalctl", *words])


def ssh(arguments: Namespace) -> int:
    """``microvm ssh``."""
    where = places(arguments)
    require(arguments.name, where)
    vm = inform(where, [arguments.name])[0]
    destination = destination_of(vm, where)
    options = [*host_key_options(arguments.name, known_hosts.has_key(arguments.name)), "-l", arguments.login]
    options += key_options(vm, where)
    options += multiplexer_options(destination)
    options += [] if arguments.password else _no_password()
    ended = run_in_foreground(["ssh", *options, destination, *arguments.words])
    if ended.status == SSH_FAILED and NOT_VERIFIED in ended.errors:
        complain(unverified(arguments.name, known_hosts.has_key(arguments.name)))
    if ended.status == SSH_FAILED and KEYS_REFUSED in ended.errors and not arguments.password:
        complain(
            f"microvm: {arguments.name} accepts no key that ssh has; declare a public key of yours in "
            "guest.authorized_keys, or guest.host_access: true for the key of this host's root. To log in with a "
            f"password: microvm ssh --password {arguments.name}"
        )
    return ended.status


def unverified(name: str, is_recorded: bool) -> str:
    """Return what to do where ssh has not verified the host key of a guest."""
    if is_recorded:
        return (
            f"microvm: the guest that answers has another host key than the one recorded for {name}; if it was made "
            f"anew and makes its own key, delete the old one: ssh-keygen -f {KNOWN_HOSTS} -R {name}"
        )
    return (
        f"microvm: no host key of {name} is recorded; let the host give it one (guest.host_key: true), or compare "
        f"fingerprints at a terminal: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key in microvm console {name}"
    )


def _no_password() -> List[str]:
    """Return the options that keep ssh from asking for the guest's password, and for anything where nobody is there.

    A person may have to unlock a key.
    """
    words = (
        ("PasswordAuthentication=no", "KbdInteractiveAuthentication=no") if sys.stdin.isatty() else ("BatchMode=yes",)
    )
    return [word for option in words for word in ("-o", option)]


def balloon(arguments: Namespace) -> int:
    """``microvm balloon``."""
    require_root(arguments)
    where = places(arguments)
    require(arguments.name, where)
    script = where.state(arguments.name, BALLOON_SCRIPT)
    if not arguments.size.lstrip("-").isdigit():
        raise HostError(f"{arguments.size!r} is not a size; write a number of MiB")
    if not systemd.show([unit_name(arguments.name)])[unit_name(arguments.name)].running:
        raise HostError(f"{arguments.name} is not running; declare initial_balloon_mem for its next start")
    if not os.path.exists(script):
        raise HostError(f"{arguments.name} has no balloon; declare `balloon: true` and restart it")
    text = set_balloon(arguments.name, arguments.size, where).strip()
    say(text or f"{arguments.name}: the balloon holds {arguments.size} MiB")
    return 0
