# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep a removal from taking an image that another MicroVM of the host uses."""

from __future__ import annotations

import contextlib
import os
from typing import Dict, Iterator, Sequence, Tuple

from ..declaration.types import PackagedVm
from ..declaration.vms.claims import image_claims
from ..declaration.vms.disks import Disks
from ..declaration.vms.parse import Declaration
from ..host.places import Places
from ..host.records import DamagedRecord
from ..schema.errors import DeclarationError


def refuse_taking(placed: Sequence[Tuple[str, Declaration]], beside: Sequence[PackagedVm], places: Places) -> None:
    """Refuse to archive or delete what others use: declared ones, and those ``beside`` them on the host.

    Raises DeclarationError.
    """
    removed = [(path, vm) for path, vm in placed if vm["state"] == "absent" and vm["on_absent"]["volumes"] != "keep"]
    if not removed:
        return
    disks = Disks(places.state_directory, os.path.realpath)
    users = _users(placed, beside, disks)
    for path, vm in removed:
        for image in _recorded_images(vm["name"], places):
            user = users.get(disks.place(vm["name"], image))
            if user is not None:
                raise DeclarationError(
                    f"{path}.on_absent.volumes",
                    f"would take {image!r}, which {user} uses; set `volumes: keep`, or give the other MicroVM an image "
                    "of its own first",
                )


def _users(placed: Sequence[Tuple[str, Declaration]], beside: Sequence[PackagedVm], disks: Disks) -> Dict[str, str]:
    """Return who uses an image, by its place."""
    named = [*((f"the MicroVM {vm['name']!r}", vm) for vm in beside), *placed]
    return {
        claim.subject: f"{place}.{claim.key}" if place.endswith("]") else place
        for place, vm in named
        if vm.get("state") != "absent"
        for claim in image_claims(vm, disks)
    }


def _recorded_images(name: str, places: Places) -> Iterator[str]:
    # The plan reports a record that is damaged, and removes nothing.
    with contextlib.suppress(DamagedRecord):
        record = places.records.read(name)
        yield from (image for image in (record.volumes if record else ()) if os.path.lexists(places.work(name, image)))
