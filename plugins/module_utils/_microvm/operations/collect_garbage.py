# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes packages, images and leftovers that nothing refers to."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import ContextManager, Dict, FrozenSet, List, Optional, Set, Tuple

from ..host.image_store import ImageStore
from ..host.locks import LOCK_DIRECTORY, locked_where_free
from ..host.places import Places
from ..resources.executor import execute
from ..resources.garbage.handlers import HANDLERS, GarbageJob
from ..resources.garbage.observe import observe, package_leftovers
from ..resources.garbage.plan import Action, plan
from ..resources.garbage.state import Stores
from ..resources.steps import Step
from .info import names


@dataclass(frozen=True)
class CollectedEntry:
    """Entry that was, or would be, removed."""

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
    """Entries in the order in which they are removed."""
    busy: Tuple[str, ...]
    """MicroVMs that another run is at work on."""

    @property
    def freed(self) -> int:
        """Bytes of all that was, or would be, removed."""
        return sum(entry.size for entry in self.entries if entry.error is None)


def collect(places: Places, check: bool, images: ImageStore, locks: str = LOCK_DIRECTORY) -> Collected:
    """Remove, or with ``check`` only find, what nothing refers to. Raises HostError."""
    owners = _owners(places)
    with _locked(owners, check, locks) as busy:
        stores = observe(places, images, names(places), busy)
        if not check:
            stores = replace(stores, busy=busy | _newcomers(stores, owners))
        jobs = [GarbageJob(step, places.store, images) for step in plan(stores).steps]
        entries = [CollectedEntry(job.step, job.path, disk_usage(job.path)) for job in jobs]
        errors = {} if check else _carry_out(jobs)
    return Collected(
        tuple(replace(entry, error=errors.get(entry.path)) for entry in entries), tuple(sorted(stores.busy))
    )


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
