# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes away what nothing refers to; see garbage."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, replace
from typing import Dict, FrozenSet, Iterator, List, Optional, Set, Tuple

from ..declaration.names import GARBAGE_ROOTS, IMAGE_STORE
from ..host import files
from ..host.commands import HostError
from ..host.locks import LOCK_DIRECTORY, locked
from ..host.places import Places
from ..resources.garbage.plan import Garbage, Stores, plan_garbage
from ..resources.vms.state import LINKS
from .info import names

IMAGE_PATIENCE = 3600.0
"""Seconds that an image is kept without a MicroVM: the run that brings it may not have come to its MicroVMs yet."""

SYSTEM_LINK = "share/microvm/system"

_LEFTOVER = (".partial-", ".staging-")


@dataclass(frozen=True)
class Collected:
    """What was found, with its size in bytes, and what was left alone."""

    paths: Tuple[Tuple[str, int], ...]
    busy: Tuple[str, ...]
    """MicroVMs that another run is at work on."""


def collect(places: Places, check: bool, images: str = IMAGE_STORE, locks: str = LOCK_DIRECTORY) -> Collected:
    """Remove, or with ``check`` only find, packages, images and leftovers. Raises HostError."""
    with contextlib.ExitStack() as stack:
        # Whoever only looks waits for nobody, and nobody for him.
        busy = frozenset() if check else _lock(places, stack, locks)
        stores = _observe(places, images, busy)
        garbage = plan_garbage(stores)
        paths = tuple((path, size(path)) for path in _paths(garbage, places, images))
        if not check:
            _remove(garbage, places, images)
    return Collected(paths, tuple(sorted(busy)))


def _lock(places: Places, stack: contextlib.ExitStack, directory: str) -> FrozenSet[str]:
    """Hold what locks can be had at once; returns whose cannot."""
    busy = set()
    for name in sorted({*places.store.contents(), *_owners(places).values(), *places.records.names()}):
        try:
            stack.enter_context(locked([name], directory, patience=0))
        except HostError:
            busy.add(name)
    return frozenset(busy)


def _owners(places: Places) -> Dict[str, str]:
    """Half-made packages, and whose they are: ``.partial-DIGEST-NAME``."""
    entries = _entries(places.store.directory)
    return {entry: entry.split("-", 2)[-1] for entry in entries if entry.startswith(_LEFTOVER)}


def _observe(places: Places, images: str, busy: FrozenSet[str]) -> Stores:
    packages = {package: name for name, all_of in places.store.contents().items() for package in all_of}
    recorded, linked = _references(places)
    stores = Stores(packages=packages, leftovers=_owners(places), linked=linked, recorded=recorded, busy=busy)
    found = [entry for entry in _entries(images) if os.path.isdir(os.path.join(images, entry))]
    return replace(
        stores,
        images=tuple(entry for entry in found if not entry.startswith(".")),
        image_leftovers=tuple(entry for entry in found if entry.startswith(_LEFTOVER)),
        roots=dict(_roots()),
        images_of={one: _images_of(one, places, images) for one in {*packages, *recorded, *linked}},
        young=frozenset(entry for entry in found if _is_young(os.path.join(images, entry))),
    )


def _references(places: Places) -> Tuple[FrozenSet[str], FrozenSet[str]]:
    """Packages of generations, and those that links lead to, wherever the MicroVMs have their state directories."""
    records = [one for one in map(places.records.read, places.records.names()) if one is not None]
    directories = {os.path.join(one.state_directory, one.name) for one in records}
    directories |= {places.state(name) for name in names(places)}
    recorded = frozenset(one.package for record in records for one in record.generations)
    targets = (files.link_target(os.path.join(directory, link)) for directory in directories for link in LINKS)
    return recorded, frozenset(places.store.owns(target) or target for target in targets if target)


def _images_of(package: str, places: Places, images: str) -> FrozenSet[str]:
    declaration = places.declaration(package)
    paths: List[Optional[str]] = []
    if declaration is not None:
        paths += [declaration["kernel"], declaration["initrd_path"], declaration["store_disk"]]
    paths.append(files.link_target(os.path.join(places.store.path(package), SYSTEM_LINK)))
    inside = (path[len(images) + 1 :] for path in paths if path and path.startswith(f"{images}/"))
    return frozenset(path.partition("/")[0] for path in inside)


def _roots() -> Iterator[Tuple[str, str]]:
    for name in _entries(GARBAGE_ROOTS):
        for entry in _entries(os.path.join(GARBAGE_ROOTS, name)):
            path = os.path.join(GARBAGE_ROOTS, name, entry)
            target = files.link_target(path)
            if target is not None:
                yield path, target


def _entries(directory: str) -> List[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_young(path: str) -> bool:
    return os.stat(path).st_mtime > time.time() - IMAGE_PATIENCE


def _paths(garbage: Garbage, places: Places, images: str) -> Iterator[str]:
    yield from (places.store.path(one) for one in (*garbage.packages, *garbage.leftovers))
    yield from (os.path.join(images, one) for one in (*garbage.images, *garbage.image_leftovers))
    yield from garbage.roots


def _remove(garbage: Garbage, places: Places, images: str) -> None:
    for package in garbage.packages:
        places.store.remove(package)
    for path in garbage.roots:
        files.remove(path)
        with contextlib.suppress(OSError):
            # Of the last one.
            os.rmdir(os.path.dirname(path))
    for leftover in garbage.leftovers:
        files.remove(places.store.path(leftover))
    for image in garbage.image_leftovers:
        files.remove(os.path.join(images, image))
    for image in garbage.images:
        # Under another name first: half of an image is never taken for one.
        aside = os.path.join(images, f".partial-{image}")
        files.remove(aside)
        os.rename(os.path.join(images, image), aside)
        files.remove(aside)


def size(path: str) -> int:
    """Bytes that a directory takes on the disk, files with several names once."""
    seen: Set[Tuple[int, int]] = set()
    total = 0
    for directory, _directories, names_of_files in os.walk(path):
        for name in names_of_files:
            status = os.lstat(os.path.join(directory, name))
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total
