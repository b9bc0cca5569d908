# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ways from a host into its guests: where their SSH servers are, and by which host keys they are known."""

from __future__ import annotations

import os
from typing import List, Optional

from ..declaration.names import KNOWN_HOSTS, SSH_KEY
from ..host import known_hosts
from ..host.commands import HostError
from ..host.guest_shell import GuestLogin
from ..host.places import Places
from ..host.store import DamagedPackage
from ..runner.package import VSOCK_SOCKET_FILE
from .info import Information, inform

SSH_PROXY = ("/usr/lib/systemd/systemd-ssh-proxy", "/lib/systemd/systemd-ssh-proxy")
"""Lets ssh reach a vsock (systemd-ssh-proxy(1), systemd 256 or newer)."""

MULTIPLEXER = "vsock-mux/"
"""Begins a destination of that program which is a vsock behind the hypervisor's Unix socket, whose path follows."""


def login_to(name: str, places: Places) -> GuestLogin:
    """Return the way into a guest whose host key is recorded. Raises HostError where there is none."""
    vm = inform(places, [name])[0]
    destination = destination_of(vm, places)
    if not known_hosts.has_key(name):
        raise HostError(
            "no host key of its guest is recorded; connect once at a terminal and compare the fingerprint: "
            f"microvm ssh {name}"
        )
    words = [*host_key_options(name, True), *key_options(vm, places), *multiplexer_options(destination)]
    return GuestLogin(destination, tuple(words))


def destination_of(vm: Information, places: Places) -> str:
    """Return where ssh reaches a guest: at its declared address, or else at its vsock. Raises HostError."""
    return declared_address(vm, places) or _vsock(vm, places)


def host_key_options(name: str, is_recorded: bool) -> List[str]:
    """Return the options by which ssh accepts the recorded host key of a guest alone.

    Where none is recorded, ssh asks the person at the terminal and nobody else.
    """
    words = [f"HostKeyAlias={name}", f"StrictHostKeyChecking={'yes' if is_recorded else 'ask'}", "UpdateHostKeys=no"]
    # What other users than root accept is recorded in their own file.
    if is_recorded or os.geteuid() == 0:
        words += [f"UserKnownHostsFile={KNOWN_HOSTS}", "GlobalKnownHostsFile=/dev/null"]
    return [word for option in words for word in ("-o", option)]


def key_options(vm: Information, places: Places) -> List[str]:
    """Return the option for the host's own key, which only root can read, where the guest may know it."""
    return ["-i", SSH_KEY] if os.geteuid() == 0 and os.path.exists(SSH_KEY) and _may_let_host_in(vm, places) else []


def multiplexer_options(destination: str) -> List[str]:
    """Return the options for a vsock behind a Unix socket, since the distribution's settings of ssh may lack them.

    Those of systemd 257 name the other destinations of its proxy only.
    """
    program = next(filter(os.path.exists, SSH_PROXY), SSH_PROXY[0])
    words = (f"ProxyCommand={program} %h %p", "ProxyUseFdpass=yes", "CheckHostIP=no")
    return [word for option in words for word in ("-o", option)] if destination.startswith(MULTIPLEXER) else []


def _may_let_host_in(vm: Information, places: Places) -> bool:
    """Return whether the guest knows the host's own key, or nobody can tell: its package does not say what it knows."""
    try:
        declaration = places.declaration(vm["booted"] or vm["current"])
    except DamagedPackage:
        return False
    return declaration is None or declaration["guest"]["host_access"]


def declared_address(vm: Information, places: Places) -> Optional[str]:
    """Return the address of a guest that is declared for it."""
    record = places.records.read(vm["name"])
    ready = record.ready_of(vm["booted"] or vm["current"]) if record else None
    return (ready["address"] if ready else None) or next(iter(vm["addresses"]), None)


def _vsock(vm: Information, places: Places) -> str:
    socket = places.store.read(vm["booted"] or vm["current"] or "", VSOCK_SOCKET_FILE).strip()
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
    return f"{MULTIPLEXER}{places.work(vm['name'], socket)}" if socket else f"vsock/{vm['vsock_cid']}"
