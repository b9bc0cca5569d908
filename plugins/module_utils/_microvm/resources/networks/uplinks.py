# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interfaces by which guests reach other networks: those of the host, and those that networks name. Pure."""

from __future__ import annotations

from typing import Callable, Iterator, Mapping, Sequence, Tuple

from ...declaration.types import Network
from .configuration import SYSCTLS, bridge_of, forwarding_of, ipv6_forwarding_of, parsed_settings
from .lan_plan import with_bridges_and_links
from .state import Observed


def default_uplinks(observed: Observed, pairs: Mapping[str, str]) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """Return the interfaces behind which the world is for IPv4 and IPv6; ``pairs`` are bridges with links."""
    ipv4 = with_bridges_and_links(_uplinks(observed, observed.uplinks, forwarding_of), pairs)
    ipv6 = with_bridges_and_links(_uplinks(observed, observed.ipv6_uplinks, ipv6_forwarding_of), pairs)
    return ipv4, ipv6 or ipv4


def _uplinks(observed: Observed, current: Sequence[str], parameter_of: Callable[[str], str]) -> Tuple[str, ...]:
    """Return those of now, or those of the last run while the host has no default route."""
    own = {bridge_of(path) for path in observed.files} | {*observed.tap_rules}
    former = parsed_settings(observed.files.get(SYSCTLS, ""))
    return tuple(name for name in current if name not in own) or tuple(
        name for name in observed.links if name not in own and former.get(parameter_of(name)) == "1"
    )


def missing_uplinks(observed: Observed, networks: Sequence[Network]) -> Iterator[Tuple[str, Tuple[str, ...]]]:
    """Yield the networks with uplinks that the host does not have, each with those: nothing passes there meanwhile.

    A bridge that another network brings comes with it.
    """
    present = {*observed.links, *(network["name"] for network in networks)}
    for network in networks:
        missing = tuple(uplink for uplink in network["uplinks"] if uplink not in present)
        if missing:
            yield network["name"], missing
