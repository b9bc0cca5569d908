# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the removal of all in the stores of a host that nothing refers to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import FrozenSet, Iterable, Iterator, Tuple

from ..steps import BaseAction, Step, in_order
from .state import Stores


class Action(BaseAction):
    """Removal, in the order in which steps are carried out: packages before the images they refer to."""

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
    """
    used = stores.linked | stores.recorded
    used_packages = {package for package, name in stores.packages.items() if package in used or name in stores.busy}
    steps = [
        *_steps(Action.REMOVE_PACKAGE, set(stores.packages) - used_packages),
        *_steps(Action.REMOVE_PACKAGE_LEFTOVER, _free_leftovers(stores)),
        *_steps(Action.REMOVE_IMAGE_LEFTOVER, set(stores.image_leftovers) - stores.young),
    ]
    if not stores.busy:
        needed = _images_of([*used_packages, *used], stores)
        steps += _steps(Action.REMOVE_IMAGE, set(stores.images) - needed - stores.young)
        steps += _steps(Action.REMOVE_ROOT, [root for root, package in stores.roots.items() if package not in used])
    return Plan(in_order(steps))


def _steps(action: Action, targets: Iterable[str]) -> Iterator[Step[Action]]:
    return (Step(action, target) for target in sorted(targets))


def _free_leftovers(stores: Stores) -> Iterator[str]:
    return (leftover for leftover, name in stores.package_leftovers.items() if name not in stores.busy)


def _images_of(packages: Iterable[str], stores: Stores) -> FrozenSet[str]:
    nothing: FrozenSet[str] = frozenset()
    return nothing.union(*(stores.images_of.get(package, nothing) for package in packages))
