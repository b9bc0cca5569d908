# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables (nft(8)) for bridges onto an interface of the host: what they add to those of ``rules.py``. Pure.

What comes in by such a bridge may be from a guest or from the LAN. Table ``inet`` tells a guest by its MAC address,
which table ``bridge`` binds its tap to.
"""

from __future__ import annotations

from typing import Iterator, Mapping, Sequence

from ...declaration.names import TAP_RULES_DIRECTORY
from ...declaration.networks.lan import lan_link
from ...declaration.types import Network
from ...schema.quoting import nft_string, nft_value, one_per_line
from .host_rules import host_rules
from .ipv6_rules import NEVER

_GUESTS = """\
    # Guests of bridges onto interfaces of the host.
    set lan_guests {
        type ifname . ether_addr
    }
"""

_NEIGHBOURS = """\
        iifname {bridge} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }} accept
"""

_TO_HOST = "fib daddr . iif type local"

_HOST_REST = """\
        iifname {bridge} counter drop
"""

_PREROUTING = """\
        iifname . ether saddr @lan_guests fib daddr type { local, anycast } jump host
"""

_INPUT = """\
        iifname . ether saddr @lan_guests jump host
"""

# The host is no router for these guests, whatever it is for others; they do answer those whom it is one for.
_FORWARD = """\
        iifname {bridge} oifname != {bridge} iifname . ether saddr @lan_guests ct state != {{ established, related }} \
counter drop
"""

# With br_netfilter, frames within the bridge come here too; what the host routes was sent to its own MAC address.
_FORWARD_WITHIN = """\
        iifname {bridge} oifname {bridge} ether daddr {mac} iifname . ether saddr @lan_guests counter drop
"""

# Guests have addresses of prefixes that the LAN announces: the second half alone is known, bytes 16 to 23 of the header
# for a source, and of messages of neighbours for a target. An address that is declared is known whole.
_SETS = """\
    set lan_taps {
        type ifname
    }
    set lan_taps6 {
        type ifname
    }
    set lan_identifiers {
        typeof iifname . @nh,128,64
    }
    set lan_targets {
        typeof iifname . @th,64,128
    }
    set lan_addresses {
        type ifname . ipv6_addr
    }
"""

_TO_CHAIN = """\
        ether type ip6 iifname @lan_taps6 goto lan_guest_ip6
"""

# Table inet cannot tell a guest whose MAC address is not known from the LAN, so nothing of it is for the host.
_CHAINS = """\
    chain lan_guest_ip6 {{
{never}        icmpv6 type nd-neighbor-advert goto lan_advertisement
        ip6 saddr :: goto lan_without_address
        goto lan_source
    }}
    chain lan_source {{
        meta l4proto != 0 iifname . @nh,128,64 @lan_identifiers accept
        meta l4proto != 0 iifname . ip6 saddr @lan_addresses accept
        counter drop
    }}
    chain lan_advertisement {{
        iifname . @th,128,64 @lan_identifiers goto lan_source
        iifname . @th,64,128 @lan_targets goto lan_source
        counter drop
    }}
    chain lan_without_address {{
        icmpv6 type nd-neighbor-solicit iifname . @th,128,64 @lan_identifiers accept
        icmpv6 type nd-neighbor-solicit iifname . @th,64,128 @lan_targets accept
        icmpv6 type {{ nd-router-solicit, mld-listener-report, mld2-listener-report }} accept
        counter drop
    }}
    chain lan_input {{
        type filter hook input priority filter; policy accept;
        iifname @lan_taps iifname @anonymous counter drop
    }}
"""

_BRIDGE_FORWARD = """\
        iifname @lan_taps oifname {links} accept
        iifname {links} oifname @lan_taps accept
"""


def lan_sets(lans: Sequence[Network]) -> str:
    """Return the sets of table ``inet``."""
    return _GUESTS if lans else ""


def lan_host_rules(lans: Sequence[Network]) -> Iterator[str]:
    """Yield what guests reach of the host."""
    for network in lans:
        yield _filled(_NEIGHBOURS, network)
        yield from host_rules(network, f"iifname {nft_string(network['name'])}", _TO_HOST, ["icmp", "icmpv6"])
        yield _filled(_HOST_REST, network)


def lan_prerouting_rules(lans: Sequence[Network]) -> str:
    """Return what is decided before others' NAT: what is for the host."""
    return _PREROUTING if lans else ""


def lan_input_rules(lans: Sequence[Network]) -> str:
    """Return what is decided of packets for the host, those for many included."""
    return _INPUT if lans else ""


def lan_forward_rules(lans: Sequence[Network], macs: Mapping[str, str]) -> Iterator[str]:
    """Yield what keeps guests from using the host as their router; ``macs`` are the MAC addresses of bridges."""
    for network in lans:
        yield _filled(_FORWARD, network)
        if network["name"] in macs:
            yield _filled(_FORWARD_WITHIN, network, mac=nft_value(macs[network["name"]]))


def lan_tap_sets(lans: Sequence[Network]) -> str:
    """Return the sets of table ``bridge``. Without such bridges there are none: not every nft(8) can read them."""
    return _SETS if lans else ""


def lan_tap_rules(lans: Sequence[Network]) -> str:
    """Return the rule for frames of IPv6."""
    return _TO_CHAIN if lans else ""


def lan_tap_chains(lans: Sequence[Network]) -> str:
    """Return the chains of table ``bridge``."""
    return _CHAINS.format(never=NEVER) if lans else ""


def lan_tap_forward_rules(lans: Sequence[Network]) -> str:
    """Return what passes between guests and the LAN."""
    links = ", ".join(nft_string(lan_link(network)) for network in lans)
    return _BRIDGE_FORWARD.format(links=f"{{ {links} }}") if lans else ""


def lan_tap_files(lans: Sequence[Network]) -> str:
    """Return the inclusion of the elements of taps: those of a network that has no link any more have none."""
    paths = (f"{nft_value(TAP_RULES_DIRECTORY)}/{nft_value(network['name'])}:*.nft6" for network in lans)
    return one_per_line(f'include "{path}"' for path in paths)


def unbound_lan_tap(tap: str, table: str) -> str:
    """Return the further rules of a tap whose guest is not known: it reaches the LAN, and not the host."""
    return one_per_line([f"add element bridge {table} lan_taps {{ {nft_string(tap)} }}"])


def _filled(template: str, network: Network, **values: str) -> str:
    return template.format(bridge=nft_string(network["name"]), **values)
