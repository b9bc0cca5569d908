# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks of a host: their options, and what must be true of them together."""

from __future__ import annotations

import ipaddress
from typing import Dict, List, Mapping, Sequence, cast

from ...schema.errors import DeclarationError
from ...schema.validation import validate
from ..identity import TAP_PREFIX
from ..types import Network, NetworkDhcpServer
from .guest_names import complete_dns_names, refuse_same_domain
from .ipv6 import complete_ipv6, is_open, refuse_ipv6_clash
from .lan import is_lan, refuse_lan_clash, refuse_lan_options, split_lans
from .macvtap import (
    complete_macvtap,
    is_macvtap,
    refuse_macvtap_options,
    refuse_same_link,
)
from .options import NETWORK_OPTIONS, ROUTED
from .passages import check_passages, complete_passages, refuse_same_port
from .subnets import subnet

_NO_INTERFACE = ("all", "default")
"""Names by which the kernel has the parameters of all interfaces (/proc/sys/net/ipv4/conf)."""


def parse_networks(raw: Sequence[object], path: str = "networks") -> List[Network]:
    """Validate the networks of one host. Raises DeclarationError with the path of what is wrong."""
    networks = [parse_network(element, f"{path}[{index}]") for index, element in enumerate(raw)]
    for index, network in enumerate(networks):
        for other in networks[:index]:
            refuse_clash(network, other, f"{path}[{index}]")
    for index, network in enumerate(networks):
        if not is_macvtap(network):
            check_passages(network, split_lans(networks)[0], f"{path}[{index}]")
    return networks


def parse_network(raw: object, path: str) -> Network:
    """Validate a network by itself; see parse_networks."""
    network = cast(Network, validate(NETWORK_OPTIONS, raw, path))
    if network["name"].startswith(TAP_PREFIX):
        raise DeclarationError(f"{path}.name", f"the prefix {TAP_PREFIX!r} is reserved for taps; choose another name")
    _check_interfaces(network, path)
    if is_macvtap(network):
        default = validate(NETWORK_OPTIONS, {"name": network["name"]}, path)
        complete_macvtap(network, cast(Network, default), path)
        return network
    refuse_macvtap_options(network, path)
    if is_lan(network):
        refuse_lan_options(network, path)
    else:
        _complete_bridge(network, path)
    return network


def _complete_bridge(network: Network, path: str) -> None:
    if network["link"] is not None:
        raise DeclarationError(f"{path}.link", "a routed network has none; leave link out, or set mode to bridge")
    if not network["address"]:
        raise DeclarationError(f"{path}.address", "is required without link; set it, such as to 10.66.1.1/24")
    # In one way of writing: 10.0.0.1/255.255.255.0 is 10.0.0.1/24.
    network["address"] = str(ipaddress.ip_interface(network["address"]))
    if ipaddress.ip_interface(network["address"]).version != 4:
        raise DeclarationError(
            f"{path}.address",
            f"{network['address']} is not an IPv4 address; write it here, and that of IPv6 in ipv6.address",
        )
    if network["leases"] and network["dhcp_server"] is None:
        raise DeclarationError(
            f"{path}.leases", "leases require a DHCP server; set dhcp_server as well, at least to {}"
        )
    _check_effects(network, path)
    _check_address(network, path)
    if network["dhcp_server"] is not None:
        _check_pool(network["dhcp_server"], subnet(network), path)
    _check_leases(network, path)
    complete_passages(network)
    complete_ipv6(network, path)
    complete_dns_names(network, path)


def _check_interfaces(network: Network, path: str) -> None:
    places = [(f"{path}.name", network["name"]), (f"{path}.link", network["link"])]
    places += [(f"{path}.uplinks[{index}]", uplink) for index, uplink in enumerate(network["uplinks"])]
    for place, name in places:
        if name in _NO_INTERFACE:
            raise DeclarationError(
                place, f"{name!r} means all interfaces of the host to the kernel; name one interface, such as eth0"
            )
    if network["name"] in network["uplinks"]:
        index = network["uplinks"].index(network["name"])
        raise DeclarationError(f"{path}.uplinks[{index}]", _own_bridge(network["name"]))


def _own_bridge(uplink: str) -> str:
    return f"{uplink!r} is the bridge of a network of this host; name an interface that leads elsewhere"


def _check_effects(network: Network, path: str) -> None:
    """Refuse options that others leave without effect."""
    if network["mode"] == ROUTED:
        _check_routed(network, path)
    if network["dhcp_server"] is not None and network["host_access"] == "none":
        raise DeclarationError(
            f"{path}.dhcp_server",
            "guests do not reach a DHCP server with host_access: none; leave dhcp_server out, or set host_access "
            "to dns_dhcp",
        )
    for key, is_set in (("metadata", network["metadata"]), ("uplinks", bool(network["uplinks"]))):
        if is_set and not network["nat"] and not is_open(network):
            raise DeclarationError(
                f"{path}.{key}", f"{key} has no effect without nat; leave it out, or set nat to true"
            )


def _check_routed(network: Network, path: str) -> None:
    """Refuse what is of bridges only."""
    remedies = {
        "dhcp_server": "has no DHCP server; leave it and leases out, and declare the addresses of guests",
        "ipv6": "has IPv4 only; leave ipv6 out, or set mode to bridge",
        "forward_ports": "has no forwarded ports; leave them out, or set mode to bridge",
        "allow": "is reached by no other network; leave allow out, or set mode to bridge",
    }
    values: Mapping[str, object] = network
    for key, reason in remedies.items():
        if values[key] not in (None, []):
            raise DeclarationError(f"{path}.{key}", f"a routed network {reason}")


def _check_address(network: Network, path: str) -> None:
    address = ipaddress.IPv4Interface(network["address"])
    if address.network.num_addresses < 4:
        raise DeclarationError(
            f"{path}.address", f"the subnet {address.network} has no addresses for guests; use a larger subnet"
        )
    if address.ip in (address.network.network_address, address.network.broadcast_address):
        raise DeclarationError(
            f"{path}.address",
            f"{address.ip} is the network or broadcast address of {address.network}; use another address of the subnet",
        )


def _check_pool(server: NetworkDhcpServer, addresses: ipaddress.IPv4Network, path: str) -> None:
    """Refuse a pool outside of the subnet: PoolSize= addresses, PoolOffset= after its own (systemd.network(5))."""
    offset, size = server["pool_offset"] or 1, server["pool_size"] or 1
    if offset + size > addresses.num_addresses - 1:
        key = "pool_size" if server["pool_size"] else "pool_offset"
        raise DeclarationError(
            f"{path}.dhcp_server.{key}",
            f"the pool exceeds {addresses}, which has {addresses.num_addresses} addresses; use a smaller pool",
        )


def _check_leases(network: Network, path: str) -> None:
    first_uses: Dict[str, int] = {}
    for index, lease in enumerate(network["leases"]):
        place = f"{path}.leases[{index}]"
        if ipaddress.ip_address(lease["address"]) not in subnet(network):
            raise DeclarationError(
                f"{place}.address",
                f"{lease['address']} is not in the subnet {subnet(network)}; use an address of the subnet",
            )
        if lease["address"] == str(ipaddress.IPv4Interface(network["address"]).ip):
            raise DeclarationError(
                f"{place}.address", f"{lease['address']} is the address of the bridge itself; use another one"
            )
        for key in ("mac", "address"):
            first = first_uses.setdefault(lease[key].lower(), index)
            if first != index:
                raise DeclarationError(
                    f"{place}.{key}",
                    f"{lease[key]} is already used by leases[{first}] of this network; use another one",
                )


def refuse_clash(network: Network, other: Network, path: str) -> None:
    """Raise DeclarationError, with a path below ``path``, where two networks of a host cannot be together."""
    if network["name"] == other["name"]:
        raise DeclarationError(f"{path}.name", f"another network is also called {network['name']!r}; use unique names")
    for index, uplink in enumerate(network["uplinks"]):
        if uplink == other["name"] and not is_lan(other):
            raise DeclarationError(f"{path}.uplinks[{index}]", _own_bridge(uplink))
    if network["name"] in other["uplinks"] and not is_lan(network):
        raise DeclarationError(
            f"{path}.name", f"network {other['name']!r} has an uplink of this name; use different names"
        )
    refuse_same_link(network, other, path)
    refuse_lan_clash(network, other, path)
    if any(is_macvtap(each) or is_lan(each) for each in (network, other)):
        return
    refuse_same_port(network, other, path)
    if subnet(network).overlaps(subnet(other)):
        raise DeclarationError(
            f"{path}.address", f"its subnet overlaps with the subnet of network {other['name']!r}; use another subnet"
        )
    refuse_ipv6_clash(network, other, path)
    refuse_same_domain(network, other, path)
