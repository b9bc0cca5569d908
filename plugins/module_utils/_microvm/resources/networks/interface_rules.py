# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of other firewalls that name interfaces, of what nft(8) and iptables-save(8) print. Pure."""

from __future__ import annotations

import json
import shlex
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Sequence, Tuple

_FAMILIES = ("inet", "ip", "ip6", "arp")
"""Families of tables that see a bridge instead of its port."""
_INTERFACES = ("iif", "oif", "iifname", "oifname")
_CHANGING = ("counter", "quota")
"""Parts of a rule that change while it is used."""
_ELEMENT_KEYS = ("set", "concat", "elem", "val")
"""Keys of what contains elements of sets, or is one."""
_TableSets = Dict[str, object]
"""Elements of the sets of a table, by name."""


class InterfaceTest(NamedTuple):
    """Comparison of a packet's interface with names; one that ends with an asterisk means all that begin so."""

    names: FrozenSet[str]
    is_negated: bool

    def names_interface(self, interface: str) -> bool:
        """Return whether an interface is one of them."""
        return any(name == interface or (name.endswith("*") and interface.startswith(name[:-1])) for name in self.names)


class InterfaceRule(NamedTuple):
    """Rule of another firewall that names interfaces."""

    chain: str
    table: str
    """Table of nftables with its family, or of iptables."""
    place: str
    """Chain and table, as messages name them, with the command that shows them."""
    text: str
    """The rule as JSON, which has names of interfaces in quotes."""
    tests: Tuple[InterfaceTest, ...]


def parse_ruleset(text: str, own_tables: Sequence[str]) -> List[InterfaceRule]:
    """Return the rules of the output of `nft -j list ruleset` that name interfaces, of tables that are not ours."""
    objects = json.loads(text or "{}").get("nftables", [])
    sets: Dict[str, _TableSets] = {}
    for entry in objects:
        declared = entry.get("set") or entry.get("map")
        if declared is not None:
            table_sets = sets.setdefault(f"{declared['family']} {declared['table']}", {})
            table_sets[declared["name"]] = declared.get("elem", [])
    rules = []
    for entry in objects:
        rule = entry.get("rule")
        if rule is not None and rule["family"] in _FAMILIES:
            table, chain = f"{rule['family']} {rule['table']}", rule["chain"]
            parts = [part for part in rule.get("expr", []) if not {*part} & {*_CHANGING}]
            tests = tuple(_tests(parts, sets.get(table, {})))
            if tests and table not in own_tables:
                place = f"chain {chain} of table {table} (see nft -a list chain {table} {chain})"
                rules.append(InterfaceRule(chain, table, place, json.dumps(parts, sort_keys=True), tests))
    return rules


def _tests(part: object, elements: _TableSets) -> Iterator[InterfaceTest]:
    """Yield the comparisons of interfaces in a part of a rule."""
    if isinstance(part, list):
        for each in part:
            yield from _tests(each, elements)
    elif isinstance(part, dict):
        for key, values in (("left", "right"), ("key", "data")):
            if values in part and _is_of_interface(part.get(key)):
                yield InterfaceTest(frozenset(_names(part[values], elements)), part.get("op") == "!=")
        for each in part.values():
            yield from _tests(each, elements)


def _is_of_interface(part: object) -> bool:
    """Return whether something that is looked up is, or begins or continues with, the interface of a packet."""
    if isinstance(part, dict):
        meta = part.get("meta")
        is_interface = isinstance(meta, dict) and meta.get("key") in _INTERFACES
        return is_interface or _is_of_interface(part.get("concat"))
    return isinstance(part, list) and any(map(_is_of_interface, part))


def _names(values: object, elements: _TableSets) -> Iterator[str]:
    """Yield the strings among values: those of a set that has a name, and of a map those that are looked up."""
    if isinstance(values, str):
        if values.startswith("@"):
            yield from _names(elements.get(values[1:], []), {})
        else:
            yield values
    elif isinstance(values, dict):
        for key in _ELEMENT_KEYS:
            yield from _names(values.get(key, []), elements)
    elif isinstance(values, list):
        # A pair of a map has a verdict or the like as its second part.
        is_pair = len(values) == 2 and isinstance(values[1], dict) and not {*values[1]} & {*_ELEMENT_KEYS}
        for each in values[:1] if is_pair else values:
            yield from _names(each, elements)


def parse_saved_rules(text: str, program: str) -> List[InterfaceRule]:
    """Return the rules of the output of iptables-save(8) that name interfaces; ``program`` shows them."""
    rules = []
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A "):
            words = shlex.split(line)
            tests = tuple(_saved_tests(words))
            if tests:
                place = f"chain {words[1]} of table {table} of {program} (see {program} -t {table} -S {words[1]})"
                patterns = json.dumps([_as_pattern(word) for word in words])
                rules.append(InterfaceRule(words[1], table, place, patterns, tests))
    return rules


def _saved_tests(words: Sequence[str]) -> Iterator[InterfaceTest]:
    for position, word in enumerate(words):
        if word in ("-i", "-o"):
            yield InterfaceTest(frozenset({_as_pattern(words[position + 1])}), words[position - 1] == "!")


def _as_pattern(word: str) -> str:
    return f"{word[:-1]}*" if word.endswith("+") else word
