# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes packages, images and leftovers that nothing refers to."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import Collection, ContextManager, Dict, FrozenSet, Iterator, List, Optional, Set, Tuple

from ..host.image_store import ImageStore
from ..host.locks import LOCK_DIRECTORY, locked_where_free
from ..host.places import Places
from ..resources.executor import execute
from ..resources.garbage.handlers import HANDLERS, GarbageJob
from ..resources.garbage.observe import Damage, find_damage, observe, package_leftovers
from ..resources.garbage.plan import Action, plan
from ..resources.garbage.state import Stores
from ..resources.steps import Step
from .info import names


@dataclass(frozen=True)
class CollectedEntry:
    """Entry that was, or would be, removed, or marked as damaged."""

    step: Step[Action]
    path: str
    size: int
    """Bytes that it takes, or took, on the disk."""
    error: Optional[str] = None
    """Reason why it could not be removed."""


@dataclass(frozen=True)
class Collected:
    """Garbage of a host, and what was left alone."""

    entries: Tuple[CollectedEntry, ...]
    """Entries in the order in which they are marked or removed."""
    busy: Tuple[str, ...]
    """MicroVMs that another run is at work on."""
    problems: Tuple[str, ...] = ()
    """Damaged records, packages and images, with the way out of each."""

    @property
    def freed(self) -> int:
        """Bytes of all that was, or would be, removed."""
        return sum(entry.size for entry in self.removed if entry.error is None)

    @property
    def removed(self) -> Tuple[CollectedEntry, ...]:
        """Entries that were, or would be, removed."""
        return tuple(entry for entry in self.entries if entry.step.action in _REMOVALS)


def collect(
    places: Places, check: bool, images: ImageStore, locks: str = LOCK_DIRECTORY, verifies: bool = False
) -> Collected:
    """Remove, or with ``check`` only find, what nothing refers to; ``verifies`` compares the rest with its digests.

    Raises HostError.
    """
    owners = _owners(places)
    with _locked(owners, check, locks) as busy:
        stores = observe(places, images, names(places), busy)
        if not check:
            stores = replace(stores, busy=busy | _newcomers(stores, owners))
        damage = find_damage(places, images, stores.busy) if verifies else Damage({}, {})
        stores = _with_damage(stores, damage, places, images)
        jobs = [GarbageJob(step, places.store, images) for step in plan(stores).steps]
        entries = [CollectedEntry(job.step, job.path, disk_usage(job.path)) for job in jobs]
        errors = {} if check else _carry_out(jobs)
    removed = {entry.path for entry in entries if entry.step.action in _REMOVALS}
    problems = [*places.records.read_all().damaged.values(), *_problems(damage, places, images, removed)]
    return Collected(
        tuple(replace(entry, error=errors.get(entry.path)) for entry in entries),
        tuple(sorted(stores.busy)),
        tuple(problems),
    )


_REMOVALS = frozenset(Action) - {Action.MARK_PACKAGE, Action.MARK_IMAGE}


def _with_damage(stores: Stores, damage: Damage, places: Places, images: ImageStore) -> Stores:
    return replace(
        stores,
        damaged_packages=frozenset(damage.packages) - places.store.damaged(),
        damaged_images=frozenset(damage.images) - images.damaged(),
    )


def _problems(damage: Damage, places: Places, images: ImageStore, removed: Collection[str]) -> Iterator[str]:
    """Yield what is damaged and stays."""
    for package, reason in damage.packages.items():
        if places.store.path(package) not in removed:
            yield f"{reason}; {places.store.way_out(package)}"
    for image, reason in damage.images.items():
        if images.path(image) not in removed:
            yield f"{reason}; the next run of role images does so"


def _locked(owners: FrozenSet[str], check: bool, directory: str) -> ContextManager[FrozenSet[str]]:
    # Check mode takes no locks: it neither waits for other runs nor delays them.
    return contextlib.nullcontext(frozenset()) if check else locked_where_free(owners, directory)


def _owners(places: Places) -> FrozenSet[str]:
    """Return the names of the MicroVMs that have something in the package store, or a record."""
    leftovers = package_leftovers(places.store)
    return frozenset({*places.store.contents(), *leftovers.values(), *places.records.names()})


def _newcomers(stores: Stores, owners: FrozenSet[str]) -> FrozenSet[str]:
    """Return the MicroVMs that another run has begun to install since the locks were taken."""
    return frozenset({*stores.packages.values(), *stores.package_leftovers.values()}) - owners


def _carry_out(jobs: List[GarbageJob]) -> Dict[str, Optional[str]]:
    """Remove everything; returns what went wrong, by path."""
    outcomes = execute(jobs, HANDLERS)
    return {job.path: outcomes[job.name].error for job in jobs}


def disk_usage(path: str) -> int:
    """Return the bytes that a directory takes on the disk; files with several names count once."""
    inodes: Set[Tuple[int, int]] = set()
    total = 0
    for directory, _directories, names_of_files in os.walk(path):
        for name in names_of_files:
            # Another run may be removing its files, if this one only looks.
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(os.path.join(directory, name))
                if (status.st_dev, status.st_ino) not in inodes:
                    inodes.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
    return total
