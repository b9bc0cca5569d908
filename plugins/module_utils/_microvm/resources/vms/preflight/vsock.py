# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that the context identifiers of MicroVMs that start are free on a host."""

from __future__ import annotations

from typing import Mapping

from ....host import vsock
from ....schema.errors import DeclarationError
from ..state import Observed
from .expected import Placed


def check_context_identifiers(placed: Placed, observed: Mapping[str, Observed]) -> None:
    """Refuse a context identifier that a guest of somebody else has. Raises DeclarationError.

    Those of MicroVMs that run are theirs; declarations have been compared with each other before.
    """
    running = [vm.booted_declared for vm in observed.values() if vm.unit.running]
    ours = {declared["vsock"]["cid"] for declared in running if declared is not None}
    for path, declaration in placed:
        context = declaration["vsock"]["cid"]
        if context is not None and context not in ours and vsock.is_in_use(context):
            raise DeclarationError(
                f"{path}.vsock.cid",
                f"the context identifier {context} is in use on this host, by a guest that is no MicroVM of this "
                "collection; set another number, or end that guest",
            )
