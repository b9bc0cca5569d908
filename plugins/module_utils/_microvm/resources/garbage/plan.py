# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the removal of all in the stores of a host that nothing refers to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import FrozenSet, Iterable, Iterator, Mapping, Set, Tuple

from ..steps import BaseAction, Step, in_order
from .state import Stores


class Action(BaseAction):
    """Removal or mark, in the order in which steps are carried out: packages before the images they refer to."""

    MARK_PACKAGE = "mark as damaged: package"
    MARK_IMAGE = "mark as damaged: image"
    REMOVE_PACKAGE = "remove package"
    REMOVE_ROOT = "remove GC root"
    REMOVE_PACKAGE_LEFTOVER = "remove leftover of a package"
    REMOVE_IMAGE = "remove image"
    REMOVE_IMAGE_LEFTOVER = "remove leftover of an image"


@dataclass(frozen=True)
class Plan:
    """Removals from the stores of a host."""

    steps: Tuple[Step[Action], ...]

    def targets(self, *actions: Action) -> Tuple[str, ...]:
        """Return what the planned steps of some kinds remove."""
        return tuple(step.target for step in self.steps if step.action in actions)


def plan(stores: Stores) -> Plan:
    """Return the steps that remove all garbage.

    Of busy MicroVMs nothing goes. While there is one, no image goes, and no root: what it will refer to is not known.
    The same is true of MicroVMs whose records are damaged. What is damaged and stays is marked: a run replaces it.
    """
    used, kept = stores.linked | stores.recorded, stores.busy | stores.unreadable
    used_packages = {package for package, name in stores.packages.items() if package in used or name in kept}
    garbage = set(stores.packages) - used_packages
    unused_images: Set[str] = set()
    steps = [
        *_steps(Action.REMOVE_PACKAGE, garbage),
        *_steps(Action.REMOVE_PACKAGE_LEFTOVER, _free_leftovers(stores)),
        *_steps(Action.REMOVE_IMAGE_LEFTOVER, set(stores.image_leftovers) - stores.young),
    ]
    if not kept:
        unused_images = set(stores.images) - _joined(stores.images_of, [*used_packages, *used]) - stores.young
        steps += _steps(Action.REMOVE_IMAGE, unused_images)
        closures = _joined(stores.closures_of, [*used_packages, *used])
        unused = {root for root, package in stores.roots.items() if package not in used and root not in closures}
        steps += _steps(Action.REMOVE_ROOT, unused - stores.young)
    steps += _steps(Action.MARK_PACKAGE, stores.damaged_packages - garbage)
    steps += _steps(Action.MARK_IMAGE, stores.damaged_images - unused_images)
    return Plan(in_order(steps))


def _steps(action: Action, targets: Iterable[str]) -> Iterator[Step[Action]]:
    return (Step(action, target) for target in sorted(targets))


def _free_leftovers(stores: Stores) -> Iterator[str]:
    kept = stores.busy | stores.unreadable
    return (leftover for leftover, name in stores.package_leftovers.items() if name not in kept)


def _joined(by_package: Mapping[str, FrozenSet[str]], packages: Iterable[str]) -> FrozenSet[str]:
    nothing: FrozenSet[str] = frozenset()
    return nothing.union(*(by_package.get(package, nothing) for package in packages))
