# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of QEMU's machine protocol that readiness needs (QEMU's manual, interop/qmp-spec)."""

from __future__ import annotations

from ..schema.excerpts import excerpt
from . import peer
from .deadline import Deadline

NEGOTIATION = b'{"execute": "qmp_capabilities"}\n'
QUESTION = b'{"execute": "query-status"}\n'


def status(path: str, deadline: Deadline) -> str:
    """Return what the hypervisor reports of its guest: ``running``, ``paused``, ``internal-error``.

    Raises OSError when it does not answer in time, or with anything else.
    """
    with peer.connect_unix(path, deadline) as hypervisor:
        hypervisor.message()
        # One after the other: there are hypervisors that take what has come by then for one command.
        hypervisor.send(NEGOTIATION)
        _result(hypervisor)
        hypervisor.send(QUESTION)
        result = _result(hypervisor)
        reported = result.get("status") if isinstance(result, dict) else None
        if not isinstance(reported, str):
            raise peer.PeerError("the hypervisor reports no status of its guest")
        return excerpt(reported)


def _result(hypervisor: peer.Peer) -> object:
    """Return the result of a command; events may come before it."""
    while True:
        answer = hypervisor.message()
        error = answer.get("error")
        if isinstance(error, dict):
            raise peer.PeerError(f"the hypervisor refuses: {excerpt(str(error.get('desc')))}")
        if "return" in answer:
            return answer["return"]
