# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shares of a host that belong to no MicroVM, as the host has them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Mapping, NamedTuple, Tuple

UnitContents = Dict[str, str]
"""Contents of the files of a share's units by the names of these."""


@dataclass(frozen=True)
class UserNumbers:
    """Numbers of a user, and of the user's own group."""

    uid: int
    gid: int


class Problem(NamedTuple):
    """Option that cannot be as it is declared, and the reason."""

    option: str
    reason: str


@dataclass(frozen=True)
class Observed:
    """What a host has of the declared shares."""

    units: Mapping[str, str] = field(default_factory=dict)
    """Contents of the files of units by the names of these; those that are missing have none."""
    active: FrozenSet[str] = frozenset()
    """Units that are active: sockets that listen, and daemons that a hypervisor is connected to."""
    failed: FrozenSet[str] = frozenset()
    enabled: FrozenSet[str] = frozenset()
    """Sockets that are there after a start of the host."""
    stale: FrozenSet[str] = frozenset()
    """Units that systemd has read before their files changed."""
    accounts: Mapping[str, UserNumbers] = field(default_factory=dict)
    """Declared users that there are, by name or number."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """Paths of the declared programs that there are."""
    owners: Mapping[str, UserNumbers] = field(default_factory=dict)
    """Owners that missing directories get, by the names of shares."""
    sources: FrozenSet[str] = frozenset()
    """Declared directories that exist."""
    problems: Mapping[str, Problem] = field(default_factory=dict)
    """Reasons why shares cannot be served, by their names."""
    lacking: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    """What guests ask for and the file systems of directories do not have, by the names of shares."""
