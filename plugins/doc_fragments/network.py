# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of the networks of a host."""

    DOCUMENTATION = r"""
options:
  networks:
    description:
      - All networks of the host. A network that is no longer listed is removed once no MicroVM uses its bridge.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the network and of its bridge, at most 15 characters.
        type: str
        required: true
      mode:
        description:
          - How taps are connected. Those whose C(bridge) is the C(name) of the network join it in either case.
          - With V(bridge) they are ports of the bridge, so guests are neighbours.
          - 'With V(routed) guests share no segment: the host has a route to each address of a guest through its
            tap, and guests reach each other, unless C(isolate) is set, through the host. Each guest requires static
            addresses with the prefix length 32 in C(guest.networks), and C(address) as its C(gateway); there is
            no C(dhcp_server). The bridge exists, but remains empty.'
          - 'With V(macvtap) there is no bridge: interfaces of type V(macvtap) whose C(bridge) is the C(name) of
            the network are put on the interface C(link) of the host, so guests are in its network, which gives
            them their addresses. Only C(name), C(mode), C(link) and C(macvtap) can be set. The host and its guests
            do not reach each other by it.'
          - Does not change while MicroVMs are on the network.
        type: str
        default: bridge
        choices:
          - bridge
          - routed
          - macvtap
      link:
        description:
          - Interface of the host that the network is put on. With C(mode) V(bridge) the bridge takes it as port,
            so guests are in its LAN, which gives them their addresses; the host keeps its own there, on the bridge.
            Only C(name), C(host_access), C(host_ports), C(isolate), C(limits) and C(other_firewalls) can be set
            with it, and the interface must be one that systemd-networkd manages, or that nothing manages. The link
            does not change while the network exists.
          - With C(mode) V(macvtap), which requires it, the macvtap devices are on it. It does not change while
            MicroVMs are on the network.
        type: str
      macvtap:
        description:
          - Settings of a network with C(mode) V(macvtap).
        type: dict
        suboptions:
          mode:
            description:
              - Mode of the macvtap devices, as described in ip-link(8). Defaults to V(bridge).
              - With V(bridge) guests on the same C(link) reach each other through the host, with V(private) not
                at all, with V(vepa) only if the switch sends their frames back.
            type: str
            choices:
              - bridge
              - private
              - vepa
      address:
        description:
          - IPv4 address of the host on the bridge, with its prefix length. Required without C(link).
          - Its subnet must not overlap another network of the host. A route to a larger network, such as one through
            a gateway to a whole site, may contain it.
        type: str
      nat:
        description:
          - Whether guests reach other networks through the host, by source NAT to the address of the host.
        type: bool
        default: false
      ipv6:
        description:
          - IPv6 subnet of the network. Without it, IPv6 is switched off on the bridge, and nothing of it passes.
        type: dict
        suboptions:
          address:
            description:
              - IPv6 address of the host on the bridge, with the prefix length 64, such as V(fd00:66:1::1/64).
              - Its prefix is announced to guests by router advertisements, of which they make their addresses.
            type: str
            required: true
          outside:
            description:
              - How guests reach other networks by IPv6, which only answers come in from.
              - With V(none) they reach none, and are told that the host is not their router. With V(nat) they reach
                them by source NAT to the address of the host. With V(routed) they keep their addresses; others
                must route the prefix to the host.
              - V(nat) and V(routed) require Linux 6.17, which forwards by interface, or a host that forwards IPv6
                already (C(net.ipv6.conf.all.forwarding)).
            type: str
            default: none
            choices:
              - none
              - nat
              - routed
          dns:
            description:
              - DNS servers to announce to guests. Defaults to those of the host, or with C(outside) V(none) to
                none.
            type: list
            elements: str
      dhcp_server:
        description:
          - DHCP server that assigns addresses to guests. An empty mapping enables it with the default pool. Guests
            do not reach it with C(host_access) V(none), which is refused.
        type: dict
        suboptions:
          pool_offset:
            description:
              - Offset of the pool of addresses from the start of the subnet.
            type: int
          pool_size:
            description:
              - Number of addresses in the pool.
            type: int
          dns:
            description:
              - DNS servers to announce to guests.
            type: list
            elements: str
      leases:
        description:
          - Static DHCP leases. Require C(dhcp_server).
        type: list
        elements: dict
        suboptions:
          mac:
            description:
              - MAC address of the guest's interface.
            type: str
            required: true
          address:
            description:
              - IPv4 address to assign to the guest.
            type: str
            required: true
      dns_names:
        description:
          - 'Names of guests: the host answers what guests of the network ask of DNS, at its address on the bridge,
            and DHCP and router advertisements announce it. An empty mapping enables it.'
          - While a MicroVM runs, its name, and the same in C(domain), leads to those of its addresses that are
            of the network and declared, in C(guest.networks) or C(leases). The host is called V(host).
        type: dict
        suboptions:
          domain:
            description:
              - Domain of the names. Defaults to the name of the network in the domain V(internal), such as V(microvm0.internal).
            type: str
          servers:
            description:
              - DNS servers that are asked for all other names. Defaults to those of the host; on a network whose
                guests reach no other networks, to none, so that nothing leaves it by DNS.
            type: list
            elements: str
          host:
            description:
              - Whether programs of the host resolve the names with their domain too, by systemd-resolved, which
                must serve the host.
            type: bool
            default: false
      host_access:
        description:
          - Services of the host that guests reach. Nothing else of the host answers them, on whichever of its addresses.
            Answers to connections that the host begins always pass.
          - With V(dns_dhcp) these are the DHCP server of the network, DNS and ICMP echo requests on the address
            of the bridge; with V(none) nothing; with V(all) everything on all addresses. On a bridge with C(link),
            V(dns_dhcp) means DNS and ICMP echo requests on the addresses that it has.
        type: str
        default: dns_dhcp
        choices:
          - none
          - dns_dhcp
          - all
      host_ports:
        description:
          - Ports on the address of the bridge that guests reach beside those of C(host_access), such as V(tcp/8080).
        type: list
        elements: str
      isolate:
        description:
          - Whether the guests of the network are kept from each other, so that each reaches the host and, with
            C(nat), what is beyond it.
        type: bool
        default: false
      metadata:
        description:
          - Whether guests that reach other networks reach link-local addresses beyond the host (C(169.254.0.0/16)),
            C(100.100.100.200) and C(168.63.129.16), and the like of IPv6. There, a cloud gives whoever asks the
            credentials of the host. DNS is reached there in any case.
        type: bool
        default: false
      uplinks:
        description:
          - Interfaces of the host through which guests reach other networks, with C(nat) or C(ipv6.outside).
          - 'Defaults to those that default routes lead to, or, on a host without one, all that routes lead to.
            Packets that come in by other interfaces, or would leave by them, are not forwarded. An interface that
            is missing is a warning: its packets are forwarded as soon as it comes.'
        type: list
        elements: str
      forward_ports:
        description:
          - Ports of the host that lead to guests of a network with C(nat), from its C(uplinks), from the host itself
            and from guests of networks with C(nat).
          - A host has each port once. A port is refused if the host itself listens there, or somebody is connected
            to the host there by TCP, unless C(host.address) or C(sources) leave its service reachable.
        type: list
        elements: dict
        suboptions:
          proto:
            description:
              - Transport protocol.
            type: str
            default: tcp
            choices:
              - tcp
              - udp
          host:
            description:
              - Address and port on the host.
            type: dict
            required: true
            suboptions:
              address:
                description:
                  - IPv4 address of the host. Defaults to all but those of the bridges of its networks.
                type: str
              port:
                description:
                  - Port number on the host.
                type: int
                required: true
          guest:
            description:
              - Address and port of the guest.
            type: dict
            required: true
            suboptions:
              address:
                description:
                  - IPv4 address of the guest.
                type: str
                required: true
              port:
                description:
                  - Port number in the guest. Defaults to that on the host.
                type: int
          sources:
            description:
              - IPv4 addresses and subnets that may connect, those of guests included. Defaults to all. The host
                itself always may.
            type: list
            elements: str
      allow:
        description:
          - Guests of other networks with C(nat) that reach guests of this one, which needs C(nat) too.
        type: list
        elements: dict
        suboptions:
          from:
            description:
              - Name of another network with C(nat) of this host, or an IPv4 address or subnet in one.
              - 'V(microvm:NAME) is the MicroVM of this name on such a network, and V(tag:TAG) all with this tag,
                by the addresses that are declared for them: in C(guest.networks), or in C(leases). Role P(microvm.fleet.network#role)
                looks them up in C(microvm_vms); for the module alone, the filter C(microvm.fleet.with_guest_addresses)
                does.'
            type: str
            required: true
          to:
            description:
              - IPv4 address or subnet of guests of this network, or V(microvm:NAME) or V(tag:TAG) as in C(from).
                Defaults to all of them.
            type: str
          ports:
            description:
              - Ports of these guests, such as V(tcp/5432).
            type: list
            elements: str
            required: true
      other_firewalls:
        description:
          - What becomes of other firewalls of the host that would drop the network's packets.
          - 'With V(permit) they are told to let them pass, in the place that each has for it: Docker''s chain C(DOCKER-USER),
            rules of ufw if it is enabled, the zone C(trusted) of firewalld. What guests reach is still decided
            by the rules of the network. With V(leave) nothing is changed.'
        type: str
        default: permit
        choices:
          - permit
          - leave
      limits:
        description:
          - What keeps a guest from filling the table of connections that the kernel tracks, which the whole host
            shares.
        type: dict
        suboptions:
          connections:
            description:
              - How many connections that it began each guest may have at once. V(0) is no limit.
            type: int
            default: 4096
          new_connections:
            description:
              - How many connections a second each guest may begin, and five times as many at once after a pause.
                Each of its packets to the DHCP and DNS servers of the host counts as one. V(0) is no limit.
            type: int
            default: 200
  confirm:
    description:
      - Whether this run confirms what an earlier one has changed of the host's own connection, by a connection
        that was made since. Without it, such a change is taken back after O(return_seconds). A local connection
        says nothing about how the host is reached.
    type: bool
    default: false
  return_seconds:
    description:
      - Time after which a change of the host's own connection that nobody has confirmed is taken back.
    type: int
    default: 60
"""
