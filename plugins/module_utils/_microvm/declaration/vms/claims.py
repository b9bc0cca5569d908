# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say what a MicroVM claims of its host, so that no two claim the same.

All but those that are ``absent`` claim all that they declare: a stopped one can be started at any time, by the command
as well as by the next boot, and its disks are its own meanwhile.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Iterator, Optional, Tuple

from ..types import PackagedVm
from .device_identity import device_identity
from .disks import Disks, read_disks

UNIQUE = "it must be unique on a host"
ONE_TO_SSH = "names must differ in more than upper and lower case, which ssh ignores when it verifies host keys"


@dataclass(frozen=True)
class Claim:
    """Claim of one thing of a host: an identity, an image, a port."""

    kind: str
    value: str
    """As it is shown."""
    key: str
    """Option that makes the claim."""
    subject: str
    """The thing, in one way of writing."""
    part: Optional[str] = None
    """Part of it that is claimed; ``None`` for the whole."""
    is_shared: bool = False
    """True if others may claim the same and share it too."""
    rule: str = UNIQUE
    """What must be true, or what to do."""

    def excludes(self, other: Claim) -> bool:
        """Return whether one host cannot satisfy both."""
        if (self.kind, self.subject) != (other.kind, other.subject) or (self.is_shared and other.is_shared):
            return False
        return self.part is None or other.part is None or self.part == other.part


def needs_interface(address: str) -> bool:
    """Return whether an address means nothing without the interface that it is behind."""
    parsed = ipaddress.ip_address(address)
    return parsed.version == 6 and parsed.is_link_local


@lru_cache(maxsize=4096)
def _reachable(interface: str) -> Tuple[str, bool]:
    """Return the address of an interface, and whether it means something without one. It is asked for often."""
    address = str(ipaddress.ip_interface(interface).ip)
    return address, not needs_interface(address)


def reachable_addresses(declaration: PackagedVm) -> Iterator[Tuple[str, str]]:
    """Yield static addresses that the host reaches, each with its key; user networks are each by itself."""
    for index, (interface, network) in enumerate(zip(declaration["interfaces"], declaration["guest"]["networks"])):
        if interface["type"] != "user":
            for position, text in enumerate(network["addresses"]):
                address, is_alone = _reachable(text)
                if is_alone:
                    yield f"guest.networks[{index}].addresses[{position}]", address


def claims(declaration: PackagedVm, disks: Disks) -> Iterator[Claim]:
    """Yield all that a MicroVM claims."""
    yield _identity("name", declaration["name"], "name")
    # Those of recorded declarations have no state.
    if declaration.get("state") == "absent":
        return
    # By this, ssh knows the host key of a guest.
    yield Claim("name", declaration["name"], "name", f"ssh {declaration['name'].lower()}", rule=ONE_TO_SSH)
    if declaration.get("renamed_from"):
        yield _identity("name", str(declaration.get("renamed_from")), "renamed_from")
    yield _identity("machine id", declaration["machine_id"], "machine_id")
    if declaration["vsock"]["cid"] is not None:
        yield _identity("context identifier", str(declaration["vsock"]["cid"]), "vsock.cid")
    for index, device in enumerate(declaration["devices"]):
        yield Claim("device", device["path"], f"devices[{index}].path", device_identity(device))
    for index, interface in enumerate(declaration["interfaces"]):
        if interface["type"] != "user":
            yield _identity("interface", interface["id"], f"interfaces[{index}].id")
            # A package that somebody else has made need not say it.
            if interface["mac"]:
                yield _identity("MAC address", interface["mac"], f"interfaces[{index}].mac")
    yield from image_claims(declaration, disks)
    yield from _sockets(declaration, disks)
    yield from _host_ports(declaration)
    for place, address in reachable_addresses(declaration):
        yield _identity("address", address, place)


def _identity(kind: str, value: str, key: str) -> Claim:
    return Claim(kind, value, key, value)


def image_claims(declaration: PackagedVm, disks: Disks) -> Iterator[Claim]:
    """Yield the files that are disks. Whoever reads one that another writes sees a file system change underneath."""
    name = declaration["name"]
    rule = "an image that one MicroVM writes is its own; use another path, or make both `read_only`"
    for index, volume in enumerate(declaration["volumes"]):
        image, key = volume["image"], f"volumes[{index}].image"
        yield Claim("image", image, key, disks.place(name, image), is_shared=volume["read_only"], rule=rule)
    for key, path in read_disks(declaration):
        yield Claim("image", path, key, disks.place(name, path), is_shared=True, rule=rule)


def _sockets(declaration: PackagedVm, disks: Disks) -> Iterator[Claim]:
    """Yield sockets outside of the working directory: whoever creates one second takes it from the first."""
    graphics = declaration["graphics"]
    sockets = [
        ("socket", declaration["socket"]),
        ("graphics.socket", graphics["socket"] if graphics["enable"] else None),
        *((f"shares[{index}].socket", share["socket"]) for index, share in enumerate(declaration["shares"])),
    ]
    for key, path in sockets:
        if path and path.startswith("/"):
            yield Claim("socket", path, key, disks.place(declaration["name"], path))


def _host_ports(declaration: PackagedVm) -> Iterator[Claim]:
    """Yield the ports of the host that are forwarded: on one of its addresses, or on all of them."""
    for index, port in enumerate(declaration["forward_ports"]):
        if port["from"] == "host":
            host = port["host"]
            address = None if host["address"] in (None, "0.0.0.0") else host["address"]
            value = f"{host['address'] or '*'}:{host['port']}/{port['proto']}"
            rule = "a port of the host is forwarded once; use another port, or another address of the host for each"
            subject = f"{port['proto']} {host['port']}"
            yield Claim("host port", value, f"forward_ports[{index}].host.port", subject, address, rule=rule)
