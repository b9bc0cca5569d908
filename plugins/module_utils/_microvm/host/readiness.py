# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predicates of a guest that is up, and a clock."""

from __future__ import annotations

import concurrent.futures
import os
import select
import time
from dataclasses import dataclass
from typing import Callable, Dict, Mapping, Optional, Sequence, Set

from ..schema.excerpts import excerpt
from . import files, host_keys, own_addresses, peer, qmp, systemd
from .commands import HostError
from .deadline import Deadline

POLL_SECONDS = 0.25
PROBE_SECONDS = 2.0
"""Time limit of one look at a guest, with all that is said and heard."""

GREETING_BYTES = 255
"""Limit of the first line of an SSH server (RFC 4253, section 4.2)."""

HOST_KEY_SECONDS = 20.0
"""Time limit of a key exchange, which guests without KVM are slow at."""

SETTLE_SECONDS = 1.0
"""Time within which a hypervisor that cannot begin has ended."""

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
    host_key_name: str = ""
    """Name of the guest's recorded SSH host key; empty for a guest that does not keep its key."""


class Abandoned(HostError):
    """Error of a run whose outcome nobody waits for any more."""


STRANGERS = (own_addresses.OtherProgram, host_keys.OtherHostKey)
"""Errors where somebody else answers in place of a guest."""

Predicate = Callable[[Readiness, Deadline], Optional[str]]
"""Function that returns ``None`` when the guest is up, else what was seen, by a deadline. Raises OSError."""


def hypervisor_runs(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """The hypervisor says that its guest runs."""
    status = qmp.status(ready.control_socket, deadline)
    return None if status == "running" else f"the hypervisor reports that the guest is {status}"


def port_accepts(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """A connection is accepted."""
    with _connect(ready, deadline):
        return None


def ssh_greets(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """An SSH server says its version (RFC 4253, section 4.2)."""
    with _connect(ready, deadline) as server:
        greeting = server.line(GREETING_BYTES)
    return None if greeting.startswith(b"SSH-") else f"port {ready.port} answers {peer.quotation(greeting)}"


def _connect(ready: Readiness, deadline: Deadline) -> peer.Peer:
    """Connect to a port of the guest. Raises OSError, and OtherProgram where that port is another program's."""
    own_addresses.check(ready.unit, ready.address, ready.port)
    return peer.connect_tcp(ready.address, ready.port, deadline)


def vsock_accepts(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """The guest accepts a connection at its vsock(7), or behind the hypervisor's Unix socket."""
    name = (files.read_text(ready.vsock_socket) or "").strip()
    path = os.path.join(os.path.dirname(ready.control_socket), name)
    with (
        peer.connect_multiplexer(path, ready.port, deadline)
        if name
        else peer.connect_vsock(ready.context_identifier, ready.port, deadline)
    ):
        return None


def unit_alone(_ready: Readiness, _deadline: Deadline) -> Optional[str]:
    """Nothing is asked but the state of the unit, which is looked at with every predicate."""


def _inactivity(unit: systemd.Unit) -> str:
    return f"the unit is {unit.active_state} ({unit.sub_state})"


PREDICATES: Dict[str, Predicate] = {
    "hypervisor": hypervisor_runs,
    "tcp": port_accepts,
    "ssh": ssh_greets,
    "vsock": vsock_accepts,
    "notify": unit_alone,
    "none": unit_alone,
}

_SETTLING = frozenset({"ssh", "tcp", "none"})
"""Checks that a hypervisor need not have begun for: others may be at its guest's address."""

_OF_UNIT = frozenset({"notify", "none"})
"""Checks that ask the unit alone."""


def settle(timeouts: Mapping[str, float]) -> Dict[str, HostError]:
    """Wait until all units have shown that they stay, with one question to systemd at a time for all of them.

    ``timeouts`` are in seconds, by unit. Returns the errors of units that do not stay.
    """
    begin, errors, waiting = time.monotonic(), {}, list(timeouts)
    while waiting:
        time.sleep(SETTLE_SECONDS)
        if _is_abandoned():
            raise Abandoned("the run was abandoned because nobody reads its output any more")
        states, waited = systemd.show(waiting), time.monotonic() - begin
        problems = {unit: _unsettled(unit, states[unit], waited, timeouts[unit]) for unit in waiting}
        errors.update({unit: systemd.explain(unit, problem) for unit, problem in problems.items() if problem})
        # A unit that ends and is started again is active every now and then.
        waiting = [unit for unit in waiting if unit not in errors and not _has_settled(states[unit])]
    return errors


def _has_settled(unit: systemd.Unit) -> bool:
    return unit.active_state == "active" and unit.active_seconds >= SETTLE_SECONDS


def _unsettled(name: str, unit: systemd.Unit, waited: float, timeout: float) -> Optional[str]:
    """Return why a unit need not be waited for any longer, though it is not up."""
    if not unit.running and not unit.is_between_starts:
        return _early_end(name, unit)
    if waited > timeout and not _has_settled(unit):
        return f"{name} is not up after {timeout:.0f} s (ready.timeout), {_inactivity(unit)}"
    return None


def _early_end(name: str, unit: systemd.Unit) -> str:
    # The result of a hypervisor that has ended by itself, without an error, is a success to systemd alone.
    result = "" if unit.result == "success" else f" ({unit.result})"
    return f"{name} stopped before its guest was up{result}"


def wait(ready: Readiness) -> float:
    """Seconds until the guest was up. Raises HostError when the unit ends or the time is over.

    An answer counts only if the unit is active, before and after it, with the same start: others may answer in place of
    a guest that has crashed or not begun.
    """
    begin, deadline = time.monotonic(), Deadline(ready.timeout)
    unit = systemd.show([ready.unit])[ready.unit]
    while True:
        problem, before = check_readiness(ready, deadline), unit
        if problem is None and ready.check in _SETTLING and before.active_state == "active":
            time.sleep(max(0.0, SETTLE_SECONDS - before.active_seconds))
        unit = systemd.show([ready.unit])[ready.unit]
        end = _end_between(before, unit)
        if problem is None and end is None:
            return time.monotonic() - begin
        if _is_abandoned():
            # Ended at once: it holds locks that the next run waits for.
            raise Abandoned("the run was abandoned because nobody reads its output any more")
        if not unit.running and not unit.is_between_starts:
            is_answered = problem is None and ready.check not in _OF_UNIT
            stranger = "; what answered in its place is another machine or program" if is_answered else ""
            raise systemd.explain(ready.unit, f"{_early_end(ready.unit, unit)}{stranger}")
        if deadline.is_over:
            raise systemd.explain(
                ready.unit,
                f"the guest of {ready.unit} is not up after {ready.timeout:.0f} s (ready.timeout); "
                f"checked {ready.check}, last seen: {problem or end}",
            )
        time.sleep(POLL_SECONDS)


def _end_between(before: systemd.Unit, after: systemd.Unit) -> Optional[str]:
    """Return why an answer between two looks at a unit is not that of its present start; ``None`` where it is."""
    for unit in (after, before):
        if unit.active_state != "active":
            return _inactivity(unit)
    is_same = (before.invocation, before.process) == (after.invocation, after.process)
    return None if is_same else "the unit has ended and was started again"


def running_guests_up(guests: Sequence[Readiness], before: Mapping[str, systemd.Unit], parallel: int) -> Set[str]:
    """Look once at guests that have run for long. Returns the units of those that are up.

    ``before`` are the units as they were last seen; systemd is asked once for all of them.
    """
    asked = [ready for ready in guests if ready.check not in _OF_UNIT]
    answering = _answering(asked, parallel) if asked else set()
    after = {**before, **(systemd.show(sorted(answering)) if answering else {})}
    silent = {ready.unit for ready in asked} - answering
    units = {ready.unit for ready in guests} - silent
    return {unit for unit in units if _end_between(before[unit], after[unit]) is None}


def _answering(guests: Sequence[Readiness], parallel: int) -> Set[str]:
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(parallel, len(guests))) as pool:
        return {ready.unit for ready, is_up in zip(guests, pool.map(_answers, guests)) if is_up}


def _answers(ready: Readiness) -> bool:
    try:
        return check_readiness(ready, Deadline(ready.timeout)) is None
    except STRANGERS:
        return False


def _is_abandoned() -> bool:
    """Return whether nobody reads what this process writes: the controller was killed, or its connection broke."""
    stdout = select.poll()
    # POLLERR (a pipe) and POLLHUP (a socket) need not be asked for (poll(2)).
    stdout.register(STDOUT, 0)
    return bool(stdout.poll(0))


def check_readiness(ready: Readiness, deadline: Deadline) -> Optional[str]:
    """Look once. Returns ``None`` when the guest is up, else what was seen, fit for a message.

    Raises an error where it is certain that somebody else answers: no wait changes that.
    """
    try:
        problem = PREDICATES[ready.check](ready, deadline.within(PROBE_SECONDS))
        if problem is None and ready.check == "ssh" and ready.host_key_name:
            limit = deadline.within(HOST_KEY_SECONDS)
            problem = host_keys.check(ready.host_key_name, ready.address or "", ready.port, limit)
    except STRANGERS:
        raise
    except (HostError, OSError, ValueError) as error:
        problem = str(error) or type(error).__name__
    return None if problem is None else excerpt(problem)
