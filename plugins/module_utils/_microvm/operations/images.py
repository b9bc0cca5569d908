# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a guest image into its wanted state."""

from __future__ import annotations

import os
from typing import List, Optional, TypedDict

from ..host.commands import HostError
from ..host.image_store import ImageStore, build_cache
from ..host.locks import LOCK_DIRECTORY, locked
from ..resources.diffs import Diff, difference
from ..resources.executor import execute
from ..resources.images.build import BUILD_SECONDS, as_builder, check_build_host
from ..resources.images.handlers import HANDLERS, ImageJob
from ..resources.images.observe import observe
from ..resources.images.plan import Plan, plan
from ..resources.images.state import Wanted

PATIENCE = 2.0 * BUILD_SECONDS
"""Seconds to wait for another run that builds the same image."""


class ImageResult(TypedDict):
    """Outcome for one image."""

    changed: bool
    actions: List[str]
    diff: List[Diff]


def reconcile_image(wanted: Wanted, store: ImageStore, check_mode: bool, locks: Optional[str] = None) -> ImageResult:
    """Plan, and unless ``check_mode`` is set carry out, what an image needs. Raises HostError.

    A host that cannot build an image which has to be built is refused before anything is changed, in check mode too.
    """
    planned = _plan(wanted, store)
    if planned.steps and not check_mode:
        # An image that is as it is wanted needs no lock, and so nobody who may take one.
        with locked([f"@image {wanted.digest}"], locks or _locks(), PATIENCE):
            # Another run may have built it meanwhile.
            planned = _plan(wanted, store)
            job = ImageJob(wanted, store, planned)
            if wanted.declaration is None:
                _carry_out(job)
            else:
                as_builder(lambda: _carry_out(job))
    return _result(planned)


def _locks() -> str:
    """Return a directory that this user can write, for locks."""
    return LOCK_DIRECTORY if os.geteuid() == 0 else os.path.join(build_cache(), "locks")


def _plan(wanted: Wanted, store: ImageStore) -> Plan:
    planned = plan(observe(store, wanted.digest), wanted)
    if planned.builds and wanted.declaration is not None:
        check_build_host(wanted.declaration)
    return planned


def _carry_out(job: ImageJob) -> None:
    error = execute([job], HANDLERS)[job.name].error
    if error is not None:
        raise HostError(error)


def _result(planned: Plan) -> ImageResult:
    actions = [str(step) for step in planned.steps]
    steps = "".join(f"{action}\n" for action in actions)
    return {"changed": bool(actions), "actions": actions, "diff": [difference("steps", "", steps)] if actions else []}
