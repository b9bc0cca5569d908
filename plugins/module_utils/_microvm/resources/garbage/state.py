# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State of a host's stores: what lies there, and what refers to it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import FrozenSet, Mapping, Tuple


@dataclass(frozen=True)
class Stores:
    """Packages and images of a host, with all references to them."""

    packages: Mapping[str, str] = field(default_factory=dict)
    """MicroVMs by the packages of theirs that are in the store."""
    package_leftovers: Mapping[str, str] = field(default_factory=dict)
    """MicroVMs by the half-made directories of theirs in the package store."""
    images: Tuple[str, ...] = ()
    """Names of images in the store."""
    image_leftovers: Tuple[str, ...] = ()
    """Names of half-made directories in the image store."""
    roots: Mapping[str, str] = field(default_factory=dict)
    """Packages by the links that keep them from Nix's garbage collection."""
    closures_of: Mapping[str, FrozenSet[str]] = field(default_factory=dict)
    """Links that keep closures for the guest of a package, by package."""
    linked: FrozenSet[str] = frozenset()
    """Packages that a state directory's link leads to."""
    recorded: FrozenSet[str] = frozenset()
    """Packages of kept generations."""
    images_of: Mapping[str, FrozenSet[str]] = field(default_factory=dict)
    """Images that a package refers to, by package."""
    busy: FrozenSet[str] = frozenset()
    """MicroVMs that another run is at work on."""
    unreadable: FrozenSet[str] = frozenset()
    """MicroVMs whose records are damaged: what they refer to is not known."""
    damaged_packages: FrozenSet[str] = frozenset()
    """Packages that were found to be damaged, and are not marked yet."""
    damaged_images: FrozenSet[str] = frozenset()
    """Images that were found to be damaged, and are not marked yet."""
    young: FrozenSet[str] = frozenset()
    """Images, leftovers of images, and links for Nix that a run may just have made."""
