# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at what lies in the stores of a host, and what refers to it."""

from __future__ import annotations

import os
import time
from typing import Callable, Collection, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from ...declaration.names import GARBAGE_ROOTS
from ...declaration.vms.guest_store import CLOSURE_PREFIX, closure_name
from ...host import files
from ...host.content_store import ContentStore
from ...host.image_store import ImageStore
from ...host.places import Places
from ...host.records import Record
from ...host.store import DamagedPackage
from ..vms.state import LINKS
from .state import Stores


class Damage(NamedTuple):
    """Packages and images that are not what their names say, with the reason of each."""

    packages: Dict[str, str]
    images: Dict[str, str]


PATIENCE = 3600.0
"""Seconds that an image or a link is kept without a MicroVM: the run that made it may not have installed any yet."""

SYSTEM_LINK = "share/microvm/system"


def observe(
    places: Places, images: ImageStore, names: Iterable[str], busy: FrozenSet[str], roots: str = GARBAGE_ROOTS
) -> Stores:
    """Look at the stores of a host; ``names`` are the MicroVMs of its state directory."""
    # Before the references to them: a package that is installed meanwhile is not taken for garbage.
    packages = {package: name for name, all_of in places.store.contents().items() for package in all_of}
    leftovers = package_leftovers(places.store)
    records = places.records.read_all()
    recorded, linked = _references(places, names, records.usable.values())
    links, every = dict(_roots(roots)), {*packages, *recorded, *linked}
    in_images = [*images.names(), *images.leftovers()]
    return Stores(
        packages=packages,
        package_leftovers=leftovers,
        images=tuple(images.names()),
        image_leftovers=tuple(images.leftovers()),
        roots=links,
        closures_of={package: _closures_of(package, places, links, roots) for package in every},
        linked=linked,
        recorded=recorded,
        images_of={package: _images_of(package, places, images) for package in every},
        busy=busy,
        unreadable=frozenset(records.damaged),
        young=frozenset(entry for entry in in_images if _is_young(images.path(entry))) | {*filter(_is_young, links)},
    )


def package_leftovers(store: ContentStore) -> Dict[str, str]:
    """Return MicroVMs by the half-made directories of theirs: ``.partial-DIGEST-NAME``."""
    return {entry: entry.split("-", 2)[-1] for entry in store.leftovers()}


def find_damage(places: Places, images: ImageStore, busy: FrozenSet[str]) -> Damage:
    """Compare all packages and images with their digests; those of busy MicroVMs are not looked at."""
    contents = places.store.contents()
    packages = [package for name, all_of in contents.items() if name not in busy for package in all_of]
    return Damage(_damaged(places.store.damage, packages), _damaged(images.damage, images.names()))


def _damaged(look: Callable[[str], Optional[str]], names: Iterable[str]) -> Dict[str, str]:
    found = ((name, look(name)) for name in names)
    return {name: damage for name, damage in found if damage is not None}


def _references(
    places: Places, names: Iterable[str], records: Collection[Record]
) -> Tuple[FrozenSet[str], FrozenSet[str]]:
    """Return packages of generations, and those that links lead to, wherever the state directories are."""
    directories = {os.path.join(record.state_directory, record.name) for record in records}
    directories |= {places.state(name) for name in names}
    recorded = frozenset(generation.package for record in records for generation in record.generations)
    targets = (files.link_target(os.path.join(directory, link)) for directory in directories for link in LINKS)
    return recorded, frozenset(places.store.owns(target) or target for target in targets if target)


def _images_of(package: str, places: Places, images: ImageStore) -> FrozenSet[str]:
    try:
        declaration = places.declaration(package)
    except DamagedPackage:
        # Whatever it refers to stays.
        return frozenset(images.names())
    paths: List[Optional[str]] = [files.link_target(os.path.join(places.store.path(package), SYSTEM_LINK))]
    if declaration is not None:
        paths += [declaration["kernel"], declaration["initrd_path"], declaration["store_disk"]]
    beginning = f"{images.directory}/"
    inside = (path[len(beginning) :] for path in paths if path and path.startswith(beginning))
    return frozenset(path.partition("/")[0] for path in inside)


def _closures_of(package: str, places: Places, links: Iterable[str], roots: str) -> FrozenSet[str]:
    """Return the links that keep what the guest of a package uses of the host's store."""
    try:
        declaration = places.declaration(package)
    except DamagedPackage:
        # Whatever it refers to stays.
        return frozenset(link for link in links if os.path.basename(link).startswith(CLOSURE_PREFIX))
    if declaration is None or not declaration["store_paths"]:
        return frozenset()
    return frozenset((os.path.join(roots, declaration["name"], closure_name(declaration["store_paths"])),))


def _roots(directory: str) -> Iterator[Tuple[str, str]]:
    """Yield the links that keep packages from Nix's garbage collection, with the packages."""
    for name in _entries(directory):
        for entry in _entries(os.path.join(directory, name)):
            path = os.path.join(directory, name, entry)
            target = files.link_target(path)
            if target is not None:
                yield path, target


def _entries(directory: str) -> List[str]:
    try:
        return sorted(name for name in os.listdir(directory) if name.isprintable())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_young(path: str) -> bool:
    try:
        return os.lstat(path).st_mtime > time.time() - PATIENCE
    except FileNotFoundError:
        # Another run has just put it into place.
        return True
