# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out the steps that remove garbage, and mark what is damaged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Tuple

from ...host import closures, files
from ...host.content_store import ContentStore
from ..executor import Handlers
from ..steps import Step
from .plan import Action


@dataclass(frozen=True)
class GarbageJob:
    """Job of one step: what cannot be removed keeps nothing else from being removed."""

    step: Step[Action]
    packages: ContentStore
    images: ContentStore

    @property
    def name(self) -> str:
        """Words of the step."""
        return str(self.step)

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """The step alone."""
        return (self.step,)

    @property
    def path(self) -> str:
        """Path of what the step removes or marks."""
        if self.step.action is Action.REMOVE_ROOT:
            return self.step.target
        is_image = self.step.action in (Action.REMOVE_IMAGE, Action.REMOVE_IMAGE_LEFTOVER, Action.MARK_IMAGE)
        return (self.images if is_image else self.packages).path(self.step.target)


def _remove_root(_job: GarbageJob, path: str) -> None:
    closures.remove_closure(path)
    # Other roots of the MicroVM stay in its directory.
    files.remove_if_empty(os.path.dirname(path))


HANDLERS: Handlers[GarbageJob, Action] = Handlers(
    Action,
    {
        Action.MARK_PACKAGE: lambda job, package: job.packages.mark_damaged(package),
        Action.MARK_IMAGE: lambda job, image: job.images.mark_damaged(image),
        Action.REMOVE_PACKAGE: lambda job, package: job.packages.remove(package),
        Action.REMOVE_ROOT: _remove_root,
        Action.REMOVE_PACKAGE_LEFTOVER: lambda job, leftover: job.packages.remove_leftover(leftover),
        Action.REMOVE_IMAGE: lambda job, image: job.images.remove(image),
        Action.REMOVE_IMAGE_LEFTOVER: lambda job, leftover: job.images.remove_leftover(leftover),
    },
)
