# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths of everything in a bed, derived from names alone, so that the leftovers of a killed run can be found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .commands import BedError

STATE = Path("/run/microvm-fleet-testbed")
"""Locks, keys, namespaces: one directory for each bed."""

DATA = Path("/var/lib/microvm-fleet-testbed")
"""Directory of the data that hosts write, on a real disk instead of in memory."""

CACHE = Path("/var/cache/microvm-fleet/testbed")
"""Root trees and package repositories, shared by all beds."""

NETWORK = "198.18.0"
"""A network of the range for benchmarks (RFC 2544): nobody's real one. Every bed has it to itself."""

MAX_HOSTS = 200


@dataclass(frozen=True)
class Bed:
    """A set of hosts with a network of their own."""

    name: str

    def __post_init__(self) -> None:
        """Refuse names that can't be part of a host name and of a path."""
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", self.name):
            raise BedError(f"bed name {self.name!r}: use up to 20 small letters, digits and dashes, a letter first")

    @property
    def state(self) -> Path:
        """Directory of the lock, the keys and the mount points."""
        return STATE / self.name

    @property
    def data(self) -> Path:
        """Directory of the hosts' root trees."""
        return DATA / self.name

    @property
    def network_namespace(self) -> Path:
        """File that a network namespace is mounted on."""
        return self.state / "network"

    @property
    def cgroup_mount(self) -> Path:
        """Path at which the version 2 hierarchy of control groups is mounted for this bed."""
        return self.state / "cgroup2"

    @property
    def cgroup(self) -> Path:
        """The control group that holds every process of every host."""
        return self.cgroup_mount / f"microvm-fleet-testbed.{self.name}"

    @property
    def ssh_config(self) -> Path:
        """OpenSSH configuration that reaches the hosts."""
        return self.state / "ssh_config"

    def host(self, number: int) -> Host:
        """The host with the given number, from 1."""
        return Host(self, number)

    def hosts(self) -> list[Host]:
        """The hosts that exist, running or not, by number."""
        numbers = (re.fullmatch(r"host(\d+)", path.name) for path in self.data.glob("host*"))
        return [self.host(number) for number in sorted(int(match[1]) for match in numbers if match)]


@dataclass(frozen=True)
class Host:
    """Host of a bed."""

    bed: Bed
    number: int

    @property
    def name(self) -> str:
        """Host name."""
        return f"host{self.number}"

    @property
    def address(self) -> str:
        """IPv4 address in the network of the bed."""
        return f"{NETWORK}.{self.number + 10}"

    @property
    def data(self) -> Path:
        """Directory with the layers of its root tree."""
        return self.bed.data / self.name

    @property
    def upper(self) -> Path:
        """All that differs from the base tree."""
        return self.data / "upper"

    @property
    def cgroup(self) -> Path:
        """The control group that holds all its processes."""
        return self.bed.cgroup / self.name

    @property
    def console(self) -> Path:
        """File with what the container and its systemd print."""
        return self.bed.state / f"{self.name}.console"


def beds() -> Iterator[Bed]:
    """Every bed that left a trace, by name."""
    found = {path.name for parent in (STATE, DATA) if parent.is_dir() for path in parent.iterdir()}
    return (Bed(name) for name in sorted(found))
