# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm logs``, ``ssh`` and ``balloon``."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import List, NoReturn, Optional

from ...declaration.names import KNOWN_HOSTS, SSH_KEY, unit_name, unit_names
from ...host import known_hosts, systemd
from ...host.commands import HostError, search_path
from ...host.places import Places
from ...host.store import DamagedPackage
from ...operations.info import Information, inform
from ...operations.lifecycle import require
from ...resources.vms.handlers import BALLOON_SCRIPT, set_balloon
from ...resources.vms.observe_guests import VSOCK_SOCKET_FILE
from ..foreground import run_in_foreground
from ..host import places, require_root
from ..output import complain, say

SSH_PROXY = ("/usr/lib/systemd/systemd-ssh-proxy", "/lib/systemd/systemd-ssh-proxy")
"""Lets ssh reach a vsock (systemd-ssh-proxy(1), systemd 256 or newer)."""

MULTIPLEXER = "vsock-mux/"
"""Begins a destination of that program which is a vsock behind the hypervisor's Unix socket, whose path follows."""

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
    destination = declared_address(vm, where) or _vsock(vm, where)
    options = [*host_key_options(arguments.name, known_hosts.has_key(arguments.name)), "-l", arguments.login]
    options += ["-i", SSH_KEY] if os.geteuid() == 0 and _lets_host_in(vm, where) else []
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


def host_key_options(name: str, is_recorded: bool) -> List[str]:
    """Return the options by which ssh accepts the recorded host key of a guest alone.

    Where none is recorded, ssh asks the person at the terminal and nobody else.
    """
    words = [f"HostKeyAlias={name}", f"StrictHostKeyChecking={'yes' if is_recorded else 'ask'}", "UpdateHostKeys=no"]
    # What other users than root accept is recorded in their own file.
    if is_recorded or os.geteuid() == 0:
        words += [f"UserKnownHostsFile={KNOWN_HOSTS}", "GlobalKnownHostsFile=/dev/null"]
    return [word for option in words for word in ("-o", option)]


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


def multiplexer_options(destination: str) -> List[str]:
    """Return the options for a vsock behind a Unix socket, since the distribution's settings of ssh may lack them.

    Those of systemd 257 name the other destinations of its proxy only.
    """
    program = next(filter(os.path.exists, SSH_PROXY), SSH_PROXY[0])
    words = (f"ProxyCommand={program} %h %p", "ProxyUseFdpass=yes", "CheckHostIP=no")
    return [word for option in words for word in ("-o", option)] if destination.startswith(MULTIPLEXER) else []


def _no_password() -> List[str]:
    """Return the options that keep ssh from asking for the guest's password, and for anything where nobody is there.

    A person may have to unlock a key.
    """
    words = (
        ("PasswordAuthentication=no", "KbdInteractiveAuthentication=no") if sys.stdin.isatty() else ("BatchMode=yes",)
    )
    return [word for option in words for word in ("-o", option)]


def _lets_host_in(vm: Information, where: Places) -> bool:
    """Return whether the guest knows the host's own key."""
    try:
        declaration = where.declaration(vm["booted"] or vm["current"])
    except DamagedPackage:
        return False
    return declaration is not None and declaration["guest"]["host_access"] and os.path.exists(SSH_KEY)


def declared_address(vm: Information, where: Places) -> Optional[str]:
    """Return the address of a guest that is declared for it."""
    record = where.records.read(vm["name"])
    ready = record.ready_of(vm["booted"] or vm["current"]) if record else None
    return (ready["address"] if ready else None) or next(iter(vm["addresses"]), None)


def _vsock(vm: Information, where: Places) -> str:
    socket = where.store.read(vm["booted"] or vm["current"] or "", VSOCK_SOCKET_FILE).strip()
    if not socket and vm["vsock_cid"] is None:
        raise HostError(
            f"the address of {vm['name']} is not known; declare a static address (guest.networks[].addresses, "
            "ready.address) or a vsock (vsock.cid)"
        )
    if not any(os.path.exists(path) for path in SSH_PROXY):
        raise HostError(
            f"{vm['name']} can be reached only by its vsock, for which ssh needs systemd-ssh-proxy (systemd 256); "
            "declare a static address, or use: microvm console"
        )
    return f"{MULTIPLEXER}{where.work(vm['name'], socket)}" if socket else f"vsock/{vm['vsock_cid']}"


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
