# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The macvtaps of networks: which a network has, and what the host lacks for them. Pure.

Each has a table of nftables of its own (``runner/scripts/bind_macvtap.bash``).
"""

from __future__ import annotations

import re
from typing import FrozenSet, Iterator, Sequence, Tuple

from ...declaration.networks.macvtap import is_macvtap
from ...declaration.types import Network
from ...schema.errors import DeclarationError
from .configuration import bridge_of
from .state import Observed

FILE_SUFFIX = ".netdev"
"""End of the name of the file with the rules of a macvtap, beside those of taps."""

_TABLE_PREFIX = "microvm_"


def table_of(macvtap: str) -> str:
    """Return the name of the table with the rules of a macvtap."""
    return f"{_TABLE_PREFIX}{macvtap}"


def parse_tables(output: str) -> FrozenSet[str]:
    """Return the macvtaps whose rules are loaded, of the output of ``nft list tables netdev``."""
    return frozenset(re.findall(rf"^table netdev {_TABLE_PREFIX}(\S+)$", output, re.MULTILINE))


def macvtap_members(observed: Observed, network: Network) -> Tuple[str, ...]:
    """Return the macvtaps of a network with mode macvtap."""
    first_line = f"# network {network['name']}"
    macvtaps = (name for name, rules in observed.macvtap_rules.items() if name in observed.links and rules)
    return tuple(name for name in macvtaps if observed.macvtap_rules[name].splitlines()[0] == first_line)


def unloaded_macvtaps(observed: Observed, network: Network) -> Iterator[str]:
    """Yield the macvtaps of a network whose rules somebody has deleted."""
    return (name for name in macvtap_members(observed, network) if name not in observed.loaded_macvtaps)


def former_macvtaps(observed: Observed) -> Iterator[str]:
    """Yield macvtaps that have gone without their units."""
    return (name for name in observed.macvtap_rules if name not in observed.links)


def refuse_missing_link(observed: Observed, former: Sequence[Network], network: Network, path: str) -> None:
    """Refuse a network on an interface that the host does not have, or that cannot be a link of macvtaps.

    A network that the host has already stays when its link goes (``missing_links``). Raises DeclarationError.
    """
    if not is_macvtap(network):
        return
    is_new = all((other["name"], other["link"]) != (network["name"], network["link"]) for other in former)
    if is_new and network["link"] not in observed.links:
        raise DeclarationError(
            f"{path}.link",
            f"the host has no interface {network['link']!r}; correct the name, or bring the interface first",
        )
    own = [bridge_of(file) for file in observed.files]
    for name, link in observed.links.items():
        # A bridge of ours gives the interface back in the same run, or the two networks have been refused.
        if network["link"] in link.ports and name not in own:
            raise DeclarationError(
                f"{path}.link",
                f"{network['link']!r} is a port of the bridge {name!r}, and such an interface cannot have macvtaps; "
                f"use another link, or attach interfaces of type tap to {name!r}",
            )


def refuse_other_link(observed: Observed, former: Sequence[Network], network: Network, path: str) -> None:
    """Refuse another interface or another mode for macvtaps of MicroVMs that run. Raises DeclarationError."""
    for other in former:
        if other["name"] != network["name"] or not is_macvtap(network) or not is_macvtap(other):
            continue
        values = (("link", other["link"], network["link"]), ("macvtap.mode", *_modes(other, network)))
        members = macvtap_members(observed, other)
        for key, before, after in values:
            if before != after and members:
                raise DeclarationError(
                    f"{path}.{key}",
                    f"the {key} of {network['name']!r} cannot change from {before} to {after} while MicroVMs are on it "
                    f"({', '.join(members)}); stop them first, or declare another network",
                )


def _modes(former: Network, network: Network) -> Tuple[str, str]:
    return former["macvtap"]["mode"] or "", network["macvtap"]["mode"] or ""


def missing_links(observed: Observed, networks: Sequence[Network]) -> Iterator[Tuple[str, str]]:
    """Yield the networks whose link the host no longer has, each with that link; new ones have been refused."""
    for network in networks:
        if network["link"] is not None and network["link"] not in observed.links:
            yield network["name"], network["link"]


def down_links(observed: Observed, networks: Sequence[Network]) -> Iterator[Tuple[str, str]]:
    """Yield the networks whose link is switched off, each with that link."""
    for network in filter(is_macvtap, networks):
        link = observed.links.get(network["link"] or "")
        if link is not None and not link.is_up:
            yield network["name"], str(network["link"])
