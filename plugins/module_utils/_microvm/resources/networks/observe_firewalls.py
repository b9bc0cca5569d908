# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at other firewalls of a host."""

from __future__ import annotations

import glob
import os
import re
import shutil
from typing import Dict, FrozenSet, Iterator, List, Mapping, Tuple

from ...host import files
from ...host.commands import HostError, run, search_path
from ...host.systemd import Unit
from .firewalls import CHAIN, COMMENT, DOCKER_CHAIN, ZONE_RECORDS, Firewalls
from .interface_rules import InterfaceRule, parse_ruleset, parse_saved_rules
from .other_chains import DropChain, drop_chains, parse_chains

DOCKER_SERVICES = ("docker.service", "snap.docker.dockerd.service")
FIREWALLD = "firewalld.service"
SERVICES = (*DOCKER_SERVICES, FIREWALLD)
"""Units of other firewalls."""
_LEGACY_TABLES = {"iptables": "/proc/net/ip_tables_names", "ip6tables": "/proc/net/ip6_tables_names"}
LEGACY_TABLES = _LEGACY_TABLES["iptables"]
"""Tables of iptables that has its own rules in the kernel."""

_UFW = "/etc/ufw/ufw.conf"
_UFW_RULES = ("/etc/ufw/user.rules", "/etc/ufw/user6.rules")
_ZONES = "/etc/firewalld/zones"
_IPTABLES = ("iptables", "ip6tables")
_OWN_PLACES = (f"-A {CHAIN} ", f"-A {DOCKER_CHAIN} ")


def observe_firewalls(units: Mapping[str, Unit], own_tables: Tuple[str, ...], reads_rules: bool = False) -> Firewalls:
    """Return the other firewalls; programs are only run of those that the host has.

    All rules are read only if ``reads_rules`` is set, since a host may have very many.
    """
    chains = listed_chains()
    is_enabled, rules, own_rules = _ufw()
    is_firewalld_running = units[FIREWALLD].running and _is_installed("firewall-cmd")
    return Firewalls(
        docker=_docker(chains),
        is_docker_running=any(units[name].running for name in DOCKER_SERVICES),
        is_ufw_enabled=is_enabled,
        ufw_rules=rules,
        own_ufw_rules=own_rules,
        is_firewalld_running=is_firewalld_running,
        zones=parse_zones(run(["firewall-cmd", "--get-active-zones"])) if is_firewalld_running else {},
        permanent_zones=_permanent_zones(),
        recorded_interfaces=recorded_interfaces(ZONE_RECORDS),
        drop_chains=tuple(_drop_chains(chains, own_tables)),
        interface_rules=tuple(_interface_rules(own_tables)) if reads_rules else (),
    )


def _is_installed(program: str) -> bool:
    """Return whether the host has a program."""
    return shutil.which(program, path=search_path()) is not None


def recorded_interfaces(records: str) -> FrozenSet[str]:
    """Return the names of the files of a directory of records."""
    return frozenset(os.listdir(records)) if os.path.isdir(records) else frozenset()


def listed_chains() -> str:
    """Return the chains of nftables without their rules; nothing where there is no nftables."""
    try:
        return run(["nft", "list", "chains"])
    except HostError:
        return ""


def listed_table(table: str) -> str:
    """Return a table with its rules; nothing if it is gone."""
    try:
        return run(["nft", "--terse", "list", "table", *table.split()])
    except HostError:
        return ""


def legacy_tables() -> List[str]:
    """Return the tables of iptables that has its own rules in the kernel."""
    return (files.read_text(LEGACY_TABLES) or "").split() if os.path.exists(LEGACY_TABLES) else []


def _docker(chains: str) -> Dict[str, Tuple[str, ...]]:
    # Not asked for nothing: asking makes the tables of a kernel that has none.
    if f"chain {DOCKER_CHAIN} {{" not in chains and "filter" not in legacy_tables():
        return {}
    listings = {program: _listed_rules(program) for program in _IPTABLES if _is_installed(program)}
    return {
        # Versions of iptables differ in which strings have quotes.
        program: tuple(line.replace('"', "") for line in lines if line.startswith(_OWN_PLACES))
        for program, lines in listings.items()
        if f"-N {DOCKER_CHAIN}" in lines
    }


def _listed_rules(program: str) -> List[str]:
    try:
        return run([program, "-w", "10", "-S"]).splitlines()
    except HostError:
        # Of a kernel without IPv6, or with rules that nobody but nft(8) understands.
        return []


def _ufw() -> Tuple[bool, Tuple[str, ...], Tuple[str, ...]]:
    """Return whether ufw filters packets, its rules, and those of ours."""
    is_enabled = re.search(r"^ENABLED=yes", _read(_UFW), re.MULTILINE) is not None
    is_ours = any(f"comment={COMMENT.encode().hex()}" in _read(path) for path in _UFW_RULES)
    if not _is_installed("ufw") or not (is_enabled or is_ours):
        return False, (), ()
    return (is_enabled, *parse_ufw_rules(run(["ufw", "show", "added"])))


def parse_ufw_rules(text: str) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """Return the rules that `ufw show added` prints, without comments, and those with ours."""
    rules, own_rules = [], []
    for line in text.splitlines():
        words, _quote, comment = line.partition(" comment '")
        if words.startswith("ufw "):
            rules.append(words[len("ufw ") :])
            if comment == f"{COMMENT}'":
                own_rules.append(rules[-1])
    return tuple(rules), tuple(own_rules)


def parse_zones(text: str) -> Dict[str, str]:
    """Return the zones of interfaces that `firewall-cmd --get-active-zones` prints."""
    zones: Dict[str, str] = {}
    zone = ""
    for line in text.splitlines():
        key, _colon, value = line.strip().partition(":")
        if not line.startswith(" "):
            zone = line.split(" ")[0]
        elif key == "interfaces":
            zones.update(dict.fromkeys(value.split(), zone))
    return zones


def _permanent_zones() -> Dict[str, str]:
    if not _is_installed("firewall-cmd"):
        return {}
    zones: Dict[str, str] = {}
    for path in sorted(glob.glob(f"{_ZONES}/*.xml")):
        zone = os.path.basename(path)[: -len(".xml")]
        zones.update(dict.fromkeys(re.findall(r"<interface\s+name=[\"']([^\"']+)[\"']", _read(path)), zone))
    return zones


def _drop_chains(chains: str, own_tables: Tuple[str, ...]) -> Iterator[DropChain]:
    """Yield the chains that drop packets; those of firewalld, which has zones for interfaces, do not count."""
    others = [chain for chain in parse_chains(chains) if chain.hook in ("forward", "input")]
    for table in dict.fromkeys(chain.table for chain in others):
        if table not in (*own_tables, "inet firewalld"):
            yield from drop_chains(listed_table(table))


def _interface_rules(own_tables: Tuple[str, ...]) -> Iterator[InterfaceRule]:
    """Yield the rules that name interfaces: of nftables, and of iptables that has its own in the kernel."""
    yield from parse_ruleset(_listed("nft", "-j", "list", "ruleset"), own_tables)
    for program, tables in _LEGACY_TABLES.items():
        if os.path.exists(tables) and (files.read_text(tables) or "").strip():
            legacy = f"{program}-legacy"
            name = legacy if _is_installed(f"{legacy}-save") else program
            saved = _listed(f"{name}-save")
            # By that name it may be the program that makes rules of nftables.
            if "(nf_tables)" not in saved:
                yield from parse_saved_rules(saved, name)


def _listed(*argv: str) -> str:
    try:
        return run([*argv]) if _is_installed(argv[0]) else ""
    except HostError:
        return ""


def _read(path: str) -> str:
    """Return the content of a file of others; nothing for one that is missing or no text."""
    try:
        return files.read_text(path) or ""
    except files.UnreadableFile:
        return ""
