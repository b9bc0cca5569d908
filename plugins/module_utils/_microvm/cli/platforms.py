# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that packages are made for, as Nix calls them."""

from __future__ import annotations

import platform

from ..hypervisors.facts import HostFacts

PLATFORMS = ("x86_64-linux", "aarch64-linux", "aarch64-darwin")

_ARCHITECTURES = {"AMD64": "x86_64", "arm64": "aarch64"}


def own_platform() -> str:
    """Return this machine's platform, or the most common one where packages for this machine's are not made."""
    machine = platform.machine()
    name = f"{_ARCHITECTURES.get(machine, machine)}-{platform.system().lower()}"
    return name if name in PLATFORMS else PLATFORMS[0]


def facts(name: str, accel: str) -> HostFacts:
    """Return the facts of a host that is only known by its platform."""
    architecture, _dash, system = name.partition("-")
    return HostFacts(architecture, accel, system)
