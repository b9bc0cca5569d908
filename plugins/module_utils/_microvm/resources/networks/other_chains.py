# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chains of nftables that are not ours, of what nft(8) prints. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import FrozenSet, Iterator, List, Tuple

_TABLE = re.compile(r"table (\S+ \S+) \{")
_CHAIN = re.compile(r"\tchain (\S+) \{")
_BASE = re.compile(r"\t\ttype \w+ hook (\w+) .*; policy (\w+);")
_FAMILIES = ("ip", "ip6", "inet")
_IPTABLES = re.compile(r"ip6? filter")
_LAST_WORDS = re.compile(r"^(counter( packets \d+ bytes \d+)? )?(drop|reject|xt target \"(REJECT|DROP)\")")


@dataclass(frozen=True)
class Chain:
    """A chain; ``hook`` is empty for one that others lead to."""

    table: str
    """Family and name of its table."""
    name: str
    hook: str = ""
    policy: str = "accept"
    rules: Tuple[str, ...] = ()


@dataclass(frozen=True)
class DropChain:
    """A chain that drops what it does not permit."""

    table: str
    name: str
    hook: str
    mentioned: FrozenSet[str] = frozenset()
    """Words in quotes in its table, such as the names of interfaces."""

    @property
    def is_of_iptables(self) -> bool:
        """Return whether it is one that iptables makes."""
        return _IPTABLES.fullmatch(self.table) is not None and self.name.isupper()


def parse_chains(text: str) -> List[Chain]:
    """Return the chains of the output of `nft list chains`, or of `nft list table` with their rules."""
    chains: List[Chain] = []
    table = ""
    lines: List[str] = []
    for line in text.splitlines():
        if _TABLE.match(line):
            table = line[len("table ") :].rstrip(" {")
        elif _CHAIN.match(line):
            lines = [line]
        elif line == "\t}" and lines:
            chains.append(_chain(table, lines))
            lines = []
        elif lines:
            lines.append(line)
    return chains


def _chain(table: str, lines: List[str]) -> Chain:
    name = lines[0].split()[1]
    base = _BASE.match(lines[1]) if len(lines) > 1 else None
    if base is None:
        return Chain(table, name, rules=tuple(line.strip() for line in lines[1:]))
    return Chain(table, name, base.group(1), base.group(2), tuple(line.strip() for line in lines[2:]))


def drop_chains(text: str) -> Iterator[DropChain]:
    """Yield the chains of a table, of the output of `nft list table`, that drop what they do not permit."""
    words = frozenset(re.findall(r'"([^"]+)"', text))
    for chain in parse_chains(text):
        ends_so = chain.rules and _LAST_WORDS.match(chain.rules[-1]) is not None
        is_of_packets = chain.hook in ("forward", "input") and chain.table.split()[0] in _FAMILIES
        if is_of_packets and (chain.policy == "drop" or ends_so):
            yield DropChain(chain.table, chain.name, chain.hook, words)


def does_nothing(text: str) -> bool:
    """Return whether no chain for forwarded packets of a table decides anything, as Debian's nftables.conf has it."""
    chains = [chain for chain in parse_chains(text) if chain.hook in ("forward", "postrouting")]
    return all(not chain.rules and chain.policy == "accept" for chain in chains)
