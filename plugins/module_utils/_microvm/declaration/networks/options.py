# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of a network of a host."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options
from . import selectors
from .guest_names import DNS_NAMES_OPTIONS
from .ipv6 import IPV6_OPTIONS
from .macvtap import MACVTAP, MACVTAP_OPTIONS

_DHCP_SERVER: Options = (
    Option(
        "pool_offset", "int", "Offset of the pool of addresses from the start of the subnet.", check=checks.positive
    ),
    Option("pool_size", "int", "Number of addresses in the pool.", check=checks.positive),
    Option("dns", "list", "DNS servers to announce to guests.", elements="str", check=checks.ipv4_address),
)

_LEASES: Options = (
    Option("mac", "str", "MAC address of the guest's interface.", required=True, check=checks.mac_address),
    Option("address", "str", "IPv4 address to assign to the guest.", required=True, check=checks.ipv4_address),
)

_FORWARD_HOST: Options = (
    Option(
        "address",
        "str",
        "IPv4 address of the host. Defaults to all but those of the bridges of its networks.",
        check=checks.ipv4_address,
    ),
    Option("port", "int", "Port number on the host.", required=True, check=checks.port),
)

_FORWARD_GUEST: Options = (
    Option("address", "str", "IPv4 address of the guest.", required=True, check=checks.ipv4_address),
    Option("port", "int", "Port number in the guest. Defaults to that on the host.", check=checks.port, derived=True),
)

_FORWARD_PORTS: Options = (
    Option("proto", "str", "Transport protocol.", default="tcp", choices=("tcp", "udp")),
    Option("host", "dict", "Address and port on the host.", required=True, suboptions=_FORWARD_HOST),
    Option("guest", "dict", "Address and port of the guest.", required=True, suboptions=_FORWARD_GUEST),
    Option(
        "sources",
        "list",
        "IPv4 addresses and subnets that may connect, those of guests included. Defaults to all. The host itself "
        "always may.",
        elements="str",
        check=checks.ipv4_subnet,
    ),
)

_ALLOW: Options = (
    Option(
        "from",
        "str",
        (
            "Name of another network with C(nat) of this host, or an IPv4 address or subnet in one.",
            "V(microvm:NAME) is the MicroVM of this name on such a network, and V(tag:TAG) all with this tag, by the "
            "addresses that are declared for them: in C(guest.networks), or in C(leases). Role "
            "P(microvm.fleet.network#role) looks them up in C(microvm_vms); for the module alone, the filter "
            "C(microvm.fleet.with_guest_addresses) does.",
        ),
        required=True,
        check=selectors.allowed_origin,
    ),
    Option(
        "to",
        "str",
        "IPv4 address or subnet of guests of this network, or V(microvm:NAME) or V(tag:TAG) as in C(from). Defaults to "
        "all of them.",
        check=selectors.allowed_destination,
        derived=True,
    ),
    Option(
        "ports",
        "list",
        "Ports of these guests, such as V(tcp/5432).",
        required=True,
        elements="str",
        check=checks.protocol_port,
    ),
)

_LIMITS: Options = (
    Option(
        "connections",
        "int",
        "How many connections that it began each guest may have at once. V(0) is no limit.",
        default=4096,
        check=checks.connection_count,
    ),
    Option(
        "new_connections",
        "int",
        "How many connections a second each guest may begin, and five times as many at once after a pause. Each of its "
        "packets to the DHCP and DNS servers of the host counts as one. V(0) is no limit.",
        default=200,
        check=checks.connection_count,
    ),
)

DNS_DHCP = "dns_dhcp"
LEAVE = "leave"
"""Choice for networks of which other firewalls are told nothing."""
ROUTED = "routed"
"""Mode of networks without a shared segment."""

NETWORK_OPTIONS: Options = (
    Option(
        "name",
        "str",
        "Name of the network and of its bridge, at most 15 characters.",
        required=True,
        check=checks.interface_name,
    ),
    Option(
        "mode",
        "str",
        (
            "How taps are connected. Those whose C(bridge) is the C(name) of the network join it in either case.",
            "With V(bridge) they are ports of the bridge, so guests are neighbours.",
            "With V(routed) guests share no segment: the host has a route to each address of a guest through its tap, "
            "and guests reach each other, unless C(isolate) is set, through the host. Each guest requires static "
            "addresses with the prefix length 32 in C(guest.networks), and C(address) as its C(gateway); there is no "
            "C(dhcp_server). The bridge exists, but remains empty.",
            "With V(macvtap) there is no bridge: interfaces of type V(macvtap) whose C(bridge) is the C(name) of the "
            "network are put on the interface C(link) of the host, so guests are in its network, which gives them "
            "their addresses. Only C(name), C(mode), C(link) and C(macvtap) can be set. The host and its guests do "
            "not reach each other by it.",
            "Does not change while MicroVMs are on the network.",
        ),
        default="bridge",
        choices=("bridge", ROUTED, MACVTAP),
    ),
    Option(
        "link",
        "str",
        (
            "Interface of the host that the network is put on. With C(mode) V(bridge) the bridge takes it as port, so "
            "guests are in its LAN, which gives them their addresses; the host keeps its own there, on the bridge. "
            "Only C(name), C(host_access), C(host_ports), C(isolate), C(limits) and C(other_firewalls) can be set with "
            "it, and the interface must be one that systemd-networkd manages, or that nothing manages. The link does "
            "not change while the network exists.",
            "With C(mode) V(macvtap), which requires it, the macvtap devices are on it. It does not change while "
            "MicroVMs are on the network.",
        ),
        check=checks.interface_name,
    ),
    Option("macvtap", "dict", "Settings of a network with C(mode) V(macvtap).", suboptions=MACVTAP_OPTIONS),
    # Networks of mode macvtap and bridges with link have none; wherever an address is looked at, they are left out.
    Option(
        "address",
        "str",
        (
            "IPv4 address of the host on the bridge, with its prefix length. Required without C(link).",
            "Its subnet must not overlap another network of the host. A route to a larger network, such as one through "
            "a gateway to a whole site, may contain it.",
        ),
        check=checks.interface_address,
        derived=True,
    ),
    Option(
        "nat",
        "bool",
        "Whether guests reach other networks through the host, by source NAT to the address of the host.",
        default=False,
    ),
    Option(
        "ipv6",
        "dict",
        "IPv6 subnet of the network. Without it, IPv6 is switched off on the bridge, and nothing of it passes.",
        suboptions=IPV6_OPTIONS,
        on_demand=True,
    ),
    Option(
        "dhcp_server",
        "dict",
        "DHCP server that assigns addresses to guests. An empty mapping enables it with the default pool. "
        "Guests do not reach it with C(host_access) V(none), which is refused.",
        suboptions=_DHCP_SERVER,
        on_demand=True,
    ),
    Option(
        "leases",
        "list",
        "Static DHCP leases. Require C(dhcp_server).",
        elements="dict",
        suboptions=_LEASES,
    ),
    Option(
        "dns_names",
        "dict",
        (
            "Names of guests: the host answers what guests of the network ask of DNS, at its address on the bridge, "
            "and DHCP and router advertisements announce it. An empty mapping enables it.",
            "While a MicroVM runs, its name, and the same in C(domain), leads to those of its addresses that are of "
            "the network and declared, in C(guest.networks) or C(leases). The host is called V(host).",
        ),
        suboptions=DNS_NAMES_OPTIONS,
        on_demand=True,
    ),
    Option(
        "host_access",
        "str",
        (
            "Services of the host that guests reach. Nothing else of the host answers them, on whichever of its "
            "addresses. Answers to connections that the host begins always pass.",
            "With V(dns_dhcp) these are the DHCP server of the network, DNS and ICMP echo requests on the address of "
            "the bridge; with V(none) nothing; with V(all) everything on all addresses. On a bridge with C(link), "
            "V(dns_dhcp) means DNS and ICMP echo requests on the addresses that it has.",
        ),
        default=DNS_DHCP,
        choices=("none", DNS_DHCP, "all"),
    ),
    Option(
        "host_ports",
        "list",
        "Ports on the address of the bridge that guests reach beside those of C(host_access), such as V(tcp/8080).",
        elements="str",
        check=checks.protocol_port,
    ),
    Option(
        "isolate",
        "bool",
        "Whether the guests of the network are kept from each other, so that each reaches the host and, with C(nat), "
        "what is beyond it.",
        default=False,
    ),
    Option(
        "metadata",
        "bool",
        "Whether guests that reach other networks reach link-local addresses beyond the host (C(169.254.0.0/16)), "
        "C(100.100.100.200) and C(168.63.129.16), and the like of IPv6. There, a cloud gives whoever asks the "
        "credentials of the host. DNS is reached there in any case.",
        default=False,
    ),
    Option(
        "uplinks",
        "list",
        (
            "Interfaces of the host through which guests reach other networks, with C(nat) or C(ipv6.outside).",
            "Defaults to those that default routes lead to, or, on a host without one, all that routes lead to. "
            "Packets that come in by other interfaces, or would leave by them, are not forwarded. An interface that is "
            "missing is a warning: its packets are forwarded as soon as it comes.",
        ),
        elements="str",
        check=checks.interface_name,
    ),
    Option(
        "forward_ports",
        "list",
        (
            "Ports of the host that lead to guests of a network with C(nat), from its C(uplinks), from the host itself "
            "and from guests of networks with C(nat).",
            "A host has each port once. A port is refused if the host itself listens there, or somebody is connected "
            "to the host there by TCP, unless C(host.address) or C(sources) leave its service reachable.",
        ),
        elements="dict",
        suboptions=_FORWARD_PORTS,
    ),
    Option(
        "allow",
        "list",
        "Guests of other networks with C(nat) that reach guests of this one, which needs C(nat) too.",
        elements="dict",
        suboptions=_ALLOW,
    ),
    Option(
        "other_firewalls",
        "str",
        (
            "What becomes of other firewalls of the host that would drop the network's packets.",
            "With V(permit) they are told to let them pass, in the place that each has for it: Docker's chain "
            "C(DOCKER-USER), rules of ufw if it is enabled, the zone C(trusted) of firewalld. What guests reach is "
            "still decided by the rules of the network. With V(leave) nothing is changed.",
        ),
        default="permit",
        choices=("permit", LEAVE),
    ),
    Option(
        "limits",
        "dict",
        "What keeps a guest from filling the table of connections that the kernel tracks, which the whole host shares.",
        suboptions=_LIMITS,
    ),
)
