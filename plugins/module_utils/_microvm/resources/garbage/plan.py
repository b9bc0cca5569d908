# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of packages and images nothing refers to any more. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import FrozenSet, Iterable, Mapping, Tuple


@dataclass(frozen=True)
class Stores:
    """What lies on the host, and what refers to it."""

    packages: Mapping[str, str] = field(default_factory=dict)
    """Directory names of packages in the store, and whose they are."""
    images: Tuple[str, ...] = ()
    """Directory names of images in the store."""
    leftovers: Mapping[str, str] = field(default_factory=dict)
    """Half-made directories of the package store, and whose they are."""
    image_leftovers: Tuple[str, ...] = ()
    roots: Mapping[str, str] = field(default_factory=dict)
    """Links that keep packages from Nix's garbage collection, by path: the packages."""
    linked: FrozenSet[str] = frozenset()
    """Packages that a state directory's link leads to."""
    recorded: FrozenSet[str] = frozenset()
    """Packages of kept generations."""
    images_of: Mapping[str, FrozenSet[str]] = field(default_factory=dict)
    """Images that a package refers to."""
    busy: FrozenSet[str] = frozenset()
    """MicroVMs that another run is at work on."""
    young: FrozenSet[str] = frozenset()
    """Images, and what is half made of one, that a run may just be bringing."""


@dataclass(frozen=True)
class Garbage:
    """What can go."""

    packages: Tuple[str, ...] = ()
    images: Tuple[str, ...] = ()
    leftovers: Tuple[str, ...] = ()
    image_leftovers: Tuple[str, ...] = ()
    roots: Tuple[str, ...] = ()

    @property
    def is_none(self) -> bool:
        """Whether there is nothing."""
        return not (self.packages or self.images or self.leftovers or self.image_leftovers or self.roots)


def plan_garbage(stores: Stores) -> Garbage:
    """Of MicroVMs that are busy nothing goes, and while any is, no image: what it will refer to is not known yet."""
    used = stores.linked | stores.recorded
    kept = {package for package, name in stores.packages.items() if package in used or name in stores.busy}
    needed = _images_of([*kept, *used], stores)
    return Garbage(
        packages=tuple(sorted(set(stores.packages) - kept)),
        images=() if stores.busy else _old(set(stores.images) - needed, stores),
        leftovers=tuple(sorted(entry for entry, name in stores.leftovers.items() if name not in stores.busy)),
        image_leftovers=_old(stores.image_leftovers, stores),
        roots=() if stores.busy else tuple(sorted(root for root, one in stores.roots.items() if one not in used)),
    )


def _images_of(packages: Iterable[str], stores: Stores) -> FrozenSet[str]:
    found: FrozenSet[str] = frozenset()
    return found.union(*(stores.images_of.get(package, found) for package in packages))


def _old(images: Iterable[str], stores: Stores) -> Tuple[str, ...]:
    return tuple(sorted(image for image in images if image not in stores.young))
