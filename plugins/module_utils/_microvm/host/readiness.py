# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predicates of a guest that is up, and a clock."""

from __future__ import annotations

import os
import select
import time
from dataclasses import dataclass
from typing import Callable, Dict, Mapping, Optional

from ..schema.excerpts import excerpt
from . import files, peer, qmp, systemd
from .commands import HostError
from .deadline import Deadline

POLL_SECONDS = 0.25
PROBE_SECONDS = 2.0
"""Time limit of one look at a guest, with all that is said and heard."""

GREETING_BYTES = 255
"""Limit of the first line of an SSH server (RFC 4253, section 4.2)."""

SETTLE_SECONDS = 1.0
STDOUT = 1


@dataclass(frozen=True)
class Readiness:
    """Predicate of a MicroVM: the options ``ready`` of its declaration, and where to ask."""

    unit: str
    check: str
    address: Optional[str]
    port: int
    timeout: float
    control_socket: str
    context_identifier: Optional[int] = None
    """Context identifier of the guest's vsock."""
    vsock_socket: str = ""
    """File that names the Unix socket which the guest's vsock is behind, where it is behind one."""


class Abandoned(HostError):
    """Error of a run whose outcome nobody waits for any more."""


Predicate = Callable[[Readiness, Deadline], Optional[str]]
"""Function that returns ``None`` when the guest is up, else what was seen, by a deadline. Raises OSError."""


def hypervisor_runs(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """The hypervisor says that its guest runs."""
    status = qmp.status(ready.control_socket, deadline)
    return None if status == "running" else f"the hypervisor reports that the guest is {status}"


def port_accepts(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """A connection is accepted."""
    with peer.connect_tcp(ready.address, ready.port, deadline):
        return None


def ssh_greets(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """An SSH server says its version (RFC 4253, section 4.2)."""
    with peer.connect_tcp(ready.address, ready.port, deadline) as server:
        greeting = server.line(GREETING_BYTES)
    return None if greeting.startswith(b"SSH-") else f"port {ready.port} answers {peer.quotation(greeting)}"


def vsock_accepts(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """The guest accepts a connection at its vsock(7), or behind the hypervisor's Unix socket (Firecracker's
    docs/vsock.md)."""
    name = (files.read_text(ready.vsock_socket) or "").strip()
    if not name:
        with peer.connect_vsock(ready.context_identifier, ready.port, deadline):
            return None
    with peer.connect_unix(os.path.join(os.path.dirname(ready.control_socket), name), deadline) as hypervisor:
        hypervisor.send(f"CONNECT {ready.port}\n".encode())
        answer = hypervisor.line(GREETING_BYTES)
    return None if answer.startswith(b"OK ") else f"port {ready.port} of the vsock does not answer"


def unit_is_active(ready: Readiness, _deadline: Deadline) -> Optional[str]:
    """The unit is active: the guest has notified it, where it waits for that."""
    unit = systemd.show([ready.unit])[ready.unit]
    return None if unit.active_state == "active" else _inactivity(unit)


def _inactivity(unit: systemd.Unit) -> str:
    return f"the unit is {unit.active_state} ({unit.sub_state})"


def unit_stays(ready: Readiness, _deadline: Deadline) -> Optional[str]:
    """The unit still runs after the moment in which a hypervisor that cannot begin has ended."""
    before = systemd.show([ready.unit])[ready.unit]
    time.sleep(SETTLE_SECONDS)
    unit = systemd.show([ready.unit])[ready.unit]
    if unit.active_state == "active" and unit.restarts != before.restarts:
        return "the unit has ended and was started again"
    return None if unit.active_state == "active" else _inactivity(unit)


PREDICATES: Dict[str, Predicate] = {
    "hypervisor": hypervisor_runs,
    "tcp": port_accepts,
    "ssh": ssh_greets,
    "vsock": vsock_accepts,
    "notify": unit_is_active,
    "none": unit_stays,
}


def settle(timeouts: Mapping[str, float]) -> Dict[str, HostError]:
    """Wait until all units have shown that they stay, with one question to systemd at a time for all of them.

    ``timeouts`` are in seconds, by unit. Returns the errors of units that do not stay.
    """
    begin, errors, waiting = time.monotonic(), {}, list(timeouts)
    # A unit that ends and is started again is active every now and then.
    restarts = dict.fromkeys(timeouts, "0")
    while waiting:
        time.sleep(SETTLE_SECONDS)
        if _is_abandoned():
            raise Abandoned("the run was abandoned because nobody reads its output any more")
        states, waited = systemd.show(waiting), time.monotonic() - begin
        problems = {unit: _unsettled(unit, states[unit], waited, timeouts[unit]) for unit in waiting}
        errors.update({unit: systemd.explain(unit, problem) for unit, problem in problems.items() if problem})
        settled = {
            unit
            for unit in waiting
            if states[unit].active_state == "active" and states[unit].restarts == restarts[unit]
        }
        restarts = {unit: states[unit].restarts for unit in waiting}
        waiting = [unit for unit in waiting if unit not in errors and unit not in settled]
    return errors


def _unsettled(name: str, unit: systemd.Unit, waited: float, timeout: float) -> Optional[str]:
    """Return why a unit need not be waited for any longer, though it is not up."""
    if not unit.running:
        return f"{name} stopped before its guest was up ({unit.result})"
    if unit.active_state != "active" and waited > timeout:
        return f"{name} is not up after {timeout:.0f} s (ready.timeout), {_inactivity(unit)}"
    return None


def wait(ready: Readiness, begun: bool = True) -> float:
    """Seconds until the guest was up. Raises HostError when the unit ends or the time is over.

    ``begun`` tells that the unit has just been started: one that has run for long needs not show that it stays.
    """
    begin, deadline = time.monotonic(), Deadline(ready.timeout)
    while True:
        problem = check_readiness(ready, deadline) if begun or ready.check != "none" else None
        if problem is None:
            return time.monotonic() - begin
        unit = systemd.show([ready.unit])[ready.unit]
        if _is_abandoned():
            # Ended at once: it holds locks that the next run waits for.
            raise Abandoned("the run was abandoned because nobody reads its output any more")
        if not unit.running:
            raise systemd.explain(ready.unit, f"{ready.unit} stopped before its guest was up ({unit.result})")
        if deadline.is_over:
            raise systemd.explain(
                ready.unit,
                f"the guest of {ready.unit} is not up after {ready.timeout:.0f} s (ready.timeout); "
                f"checked {ready.check}, last seen: {problem}",
            )
        time.sleep(POLL_SECONDS)


def _is_abandoned() -> bool:
    """Return whether nobody reads what this process writes: the controller was killed, or its connection broke."""
    stdout = select.poll()
    # POLLERR (a pipe) and POLLHUP (a socket) need not be asked for (poll(2)).
    stdout.register(STDOUT, 0)
    return bool(stdout.poll(0))


def check_readiness(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """Look once. Returns ``None`` when the guest is up, else what was seen, fit for a message."""
    try:
        problem = PREDICATES[ready.check](ready, deadline.within(PROBE_SECONDS))
    except (HostError, OSError, ValueError) as error:
        problem = str(error) or type(error).__name__
    return None if problem is None else excerpt(problem)
