# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of QEMU's machine protocol that readiness needs (QEMU's manual, interop/qmp-spec)."""

from __future__ import annotations

from typing import Dict, Optional

from ..schema.excerpts import excerpt
from . import peer
from .deadline import Deadline

COMMANDS = b'{"execute": "qmp_capabilities"}\n{"execute": "query-status"}\n'


def status(path: str, deadline: Deadline) -> str:
    """Return what the hypervisor reports of its guest: ``running``, ``paused``, ``internal-error``.

    Raises OSError when it does not answer in time, or with anything else.
    """
    with peer.connect_unix(path, deadline) as hypervisor:
        hypervisor.message()
        hypervisor.send(COMMANDS)
        while True:
            reported = _status(hypervisor.message())
            if reported is not None:
                return reported


def _status(answer: Dict[str, object]) -> Optional[str]:
    """Return the status that an answer has; ``None`` for events, and for the answer to another command."""
    error, result = answer.get("error"), answer.get("return")
    if isinstance(error, dict):
        raise peer.PeerError(f"the hypervisor refuses: {excerpt(str(error.get('desc')))}")
    reported = result.get("status") if isinstance(result, dict) else None
    return excerpt(reported) if isinstance(reported, str) else None
