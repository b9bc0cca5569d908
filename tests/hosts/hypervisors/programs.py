# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of hypervisors: those of the host's packages, and those in a directory of this machine."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from _microvm.hypervisors.profiles import PROFILES

from ..host import Host
from .guest import PROGRAMS, program

ON_LINUX = tuple(name for name, profile in PROFILES.items() if "x86_64-linux" in profile.systems)
"""Hypervisors that run on hosts of the test bed."""

_VERSION = re.compile(r"^[A-Za-z][\w -]* v?(\d+(?:\.\d+)+[\w.+-]*)", re.MULTILINE)
"""Pattern of the line that a program prints about itself; lines of its log begin otherwise."""


def found(directory: str | None) -> dict[str, Path | None]:
    """Return the hypervisors whose programs are there: in a directory, or, as ``None``, in packages of hosts."""
    paths: dict[str, Path | None] = {}
    for name in ON_LINUX:
        path = Path(directory or os.devnull, program(name))
        if PROFILES[name].packages:
            paths[name] = None
        elif os.access(path, os.X_OK):
            paths[name] = path
    return paths


def send(host: Host, paths: Mapping[str, Path | None]) -> None:
    """Bring programs to a host, unless it has the same."""
    for path in filter(None, paths.values()):
        content = path.read_bytes()
        there = host.run(f"sha256sum {PROGRAMS}/bin/{path.name} 2> /dev/null || true").partition(" ")[0]
        if there != hashlib.sha256(content).hexdigest():
            host.send(f"{PROGRAMS}/bin", {path.name: content})


def parse_version(output: str) -> str | None:
    """Return the version in what a program prints about itself."""
    match = _VERSION.search(output)
    return match[1] if match else None


def version(host: Host, hypervisor: str) -> str:
    """Return the version that a program on a host prints, asked in the ways that programs know."""
    name = program(hypervisor) if PROFILES[hypervisor].packages else f"{PROGRAMS}/bin/{program(hypervisor)}"
    for words in ("--version", "-version", "version"):
        seen = parse_version(host.run(f"timeout 20 {name} {words} 2>&1 || true"))
        if seen:
            return seen
    return "unknown"
