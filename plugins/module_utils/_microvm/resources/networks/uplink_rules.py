# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables that keep guests to the uplinks of their network, whatever else the host forwards to. Pure."""

from __future__ import annotations

from typing import Iterator, Sequence

from ...declaration.networks.ipv6 import is_open
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network
from ...schema.quoting import nft_string, nft_value

_BRIDGE = """\
        iifname {bridge} oifname != {{ {others} }} meta nfproto {family} counter drop
"""

_ROUTED = """\
        iifname @routed ip saddr {subnet} oifname != @routed oifname != {{ {others} }} counter drop
"""


def uplink_rules(
    bridges: Sequence[Network], routed: Sequence[Network], uplinks: Sequence[str], ipv6_uplinks: Sequence[str]
) -> Iterator[str]:
    """Yield what drops packets that leave by other interfaces than uplinks; where there is no uplink, nothing does.

    What passes between bridges is decided by the network that is reached.
    """
    names = [network["name"] for network in bridges]
    for network in bridges:
        for family, is_needed, default in (
            ("ipv4", network["nat"], uplinks),
            ("ipv6", is_open(network), ipv6_uplinks or uplinks),
        ):
            others = network["uplinks"] or default
            if is_needed and others:
                bridge = nft_string(network["name"])
                yield _BRIDGE.format(bridge=bridge, others=_listed([*others, *names]), family=nft_value(family))
    for network in routed:
        others = network["uplinks"] or uplinks
        if network["nat"] and others:
            yield _ROUTED.format(subnet=nft_value(subnet(network)), others=_listed(others))


def _listed(interfaces: Sequence[str]) -> str:
    return ", ".join(map(nft_string, sorted({*interfaces})))
