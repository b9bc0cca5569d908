# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out the steps of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from ...host.image_store import ImageStore
from ..executor import Handlers
from ..steps import Step
from .build import build
from .plan import Action, Plan
from .state import Wanted


@dataclass(frozen=True)
class ImageJob:
    """The plan of an image in a store, for the executor."""

    wanted: Wanted
    store: ImageStore
    plan: Plan

    @property
    def name(self) -> str:
        """Digest of the image."""
        return self.wanted.digest

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """Steps of the plan."""
        return self.plan.steps


def _build(job: ImageJob, _digest: str) -> None:
    if job.wanted.declaration is None:
        raise LookupError(f"there is no declaration of image {job.name}")
    build(job.wanted.declaration, job.store, job.wanted.cache)


def _install(job: ImageJob, digest: str) -> None:
    if job.wanted.staging is None:
        raise LookupError(f"there is no copy of image {job.name}")
    job.store.install(job.wanted.staging, digest)


HANDLERS: Handlers[ImageJob, Action] = Handlers(
    Action,
    {
        Action.REMOVE_LEFTOVER: lambda job, name: job.store.remove_leftover(name),
        Action.REMOVE: lambda job, digest: job.store.remove(digest),
        Action.BUILD: _build,
        Action.INSTALL: _install,
    },
)
