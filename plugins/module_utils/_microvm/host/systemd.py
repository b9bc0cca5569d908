# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd, by `systemctl`: one call for many units."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, replace
from typing import Dict, Iterable, List, Sequence

from . import restarts
from .bus import ATTEMPTS, ask, blocks, is_lost, pause
from .commands import HostError, run
from .journal import explanation

_PROPERTIES = {
    "LoadState": "load_state",
    "ActiveState": "active_state",
    "SubState": "sub_state",
    "UnitFileState": "unit_file_state",
    "Result": "result",
    "NRestarts": "restarts",
    "MainPID": "process",
    "MemoryCurrent": "memory",
    "ActiveEnterTimestamp": "active_since",
    "ActiveEnterTimestampMonotonic": "active_since_monotonic",
    "InvocationID": "invocation",
    "Job": "job",
}
"""Properties that are asked for, and the fields of Unit that they become."""


@dataclass(frozen=True)
class Unit:
    """State of a unit, in systemd's own words (org.freedesktop.systemd1(5))."""

    load_state: str = "not-found"
    active_state: str = "inactive"
    sub_state: str = "dead"
    unit_file_state: str = ""
    result: str = "success"
    stale: bool = False
    """True if its files have changed since systemd read them."""
    restarts: str = "0"
    """Number of times that systemd has started it again."""
    process: str = "0"
    """Number of its main process; 0 where there is none."""
    memory: str = "[not set]"
    """Bytes that its processes have."""
    active_since: str = ""
    """Time at which it became active, in systemd's form."""
    active_since_monotonic: str = "0"
    """The same in microseconds of clock_gettime(2)'s CLOCK_MONOTONIC."""
    invocation: str = ""
    """Identifier of its present start, or of the last one."""
    job: str = ""
    """Number of its job in systemd's queue; empty or 0 where there is none."""

    @property
    def active_seconds(self) -> float:
        """Seconds for which it has been active; 0 for one that is not."""
        if self.active_state != "active":
            return 0
        return max(0.0, time.monotonic() - int(self.active_since_monotonic or 0) / 1e6)

    @property
    def running(self) -> bool:
        """Return whether it runs, or is on its way up or down."""
        return self.active_state not in ("inactive", "failed")

    @property
    def is_between_starts(self) -> bool:
        """Return whether it is down and has a job, as while its helper units are restarted before it."""
        return not self.running and self.job not in ("", "0")

    @property
    def enabled(self) -> bool:
        """Return whether it starts with the host."""
        return self.unit_file_state == "enabled"


def is_init() -> bool:
    """Return whether systemd runs this host (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def show(names: Sequence[str]) -> Dict[str, Unit]:
    """The state of all units at once; one that systemd does not know is not-found."""
    if not names:
        return {}
    properties = ",".join(("Id", "NeedDaemonReload", *_PROPERTIES))
    shown = parse_show(ask(["systemctl", "show", f"--property={properties}", "--", *names])).items()
    return {**{name: Unit() for name in names}, **{name: _counted(name, unit) for name, unit in shown}}


def _counted(name: str, unit: Unit) -> Unit:
    """Return a unit with the number of its automatic starts, which systemd forgets at times."""
    count = restarts.count(name)
    return replace(unit, restarts=str(count)) if count > int(unit.restarts) else unit


def parse_show(output: str) -> Dict[str, Unit]:
    """Return the units that `systemctl show` has written, by their names."""
    units = {}
    for values in blocks(output):
        if "Id" in values:
            fields = {field: values[key] for key, field in _PROPERTIES.items() if key in values}
            units[values["Id"]] = Unit(**fields, stale=values.get("NeedDaemonReload") == "yes")
    return units


def predecessors(names: Sequence[str]) -> Dict[str, List[str]]:
    """Return the units that each unit comes after, by all names that it has."""
    if not names:
        return {}
    output = ask(["systemctl", "show", "--property=Id,Names,After", "--", *names])
    units: Dict[str, List[str]] = {}
    for values in blocks(output):
        for name in {*values.get("Id", "").split(), *values.get("Names", "").split()}:
            units[name] = values.get("After", "").split()
    return units


def is_stale(pattern: str) -> bool:
    """Return whether files of any unit that systemd has loaded, of those that match, have changed since."""
    return "yes" in ask(["systemctl", "show", "--property=NeedDaemonReload", "--value", "--", pattern]).split()


def failed_units(pattern: str) -> Dict[str, Unit]:
    """Return the loaded units that match and have failed, by name."""
    shown = parse_show(ask(["systemctl", "show", "--property=Id,ActiveState,Result", "--", pattern]))
    return {name: unit for name, unit in shown.items() if unit.active_state == "failed"}


def active_units(pattern: str) -> List[str]:
    """Return the names of the active units that match."""
    shown = parse_show(ask(["systemctl", "show", "--property=Id,ActiveState", "--", pattern]))
    return [name for name, unit in shown.items() if unit.running]


def daemon_reload() -> None:
    """Read unit files again."""
    ask(["systemctl", "daemon-reload"])


def enable(names: Iterable[str], wanted: bool) -> None:
    """Let units start with the host, or not. The caller reloads systemd."""
    units = sorted(names)
    if units:
        ask(["systemctl", "enable" if wanted else "disable", "--quiet", "--no-reload", "--", *units])


def start(name: str, wait: bool = True) -> None:
    """Start a unit, also one that has failed too often. Raises HostError with the journal's last words."""
    _act("start", name, wait)


def restart(name: str, wait: bool = True) -> None:
    """Stop and start a unit."""
    _act("restart", name, wait)


def stop(names: Sequence[str], wait: bool = True) -> None:
    """Stop units and wait for their end, all of them; forget that they had failed.

    Units that systemd does not know have nothing to stop, unless they still run without their files: a host of an
    earlier version lacks templates that came later.
    """
    if len(names) > 1:
        names = [name for name, unit in show(names).items() if unit.running or unit.load_state != "not-found"]
    if not names:
        return
    if not wait:
        ask(["systemctl", "stop", "--no-block", "--", *names])
        return
    ask(["systemctl", "stop", "--", *names], timeout=None)
    _reset_failed(*names)


def forget_failures(pattern: str) -> None:
    """Forget that units that match have failed, so that systemd can forget them too."""
    ask(["systemctl", "reset-failed", "--", pattern])


def explain(name: str, problem: str) -> HostError:
    """A problem of a unit together with the words that explain it: its own, or those of a helper unit that failed."""
    return HostError(explanation(name, problem))


def _act(verb: str, name: str, wait: bool) -> None:
    _reset_failed(name)
    # A unit that is started again has another invocation; one that is only started has none before.
    before = _last_start(name).invocation if verb == "restart" else ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            # The units have time limits of their own, which operators choose.
            run(["systemctl", verb, *([] if wait else ["--no-block"]), "--", name], timeout=None)
            return
        except HostError as error:
            if attempt == ATTEMPTS or not is_lost(error):
                raise explain(name, str(error)) from error
        if _was_heard(name, before, wait):
            return


@dataclass(frozen=True)
class _Start:
    """Last start of a unit."""

    invocation: str
    """Identifier of the start; it is empty for a unit that was not started."""
    job: str
    """Number of what systemd is about to do with the unit; it is empty for nothing."""
    active_state: str


def _was_heard(name: str, before: str, wait: bool) -> bool:
    """Return whether a request whose connection was lost has had its effect: a repeated one could be another restart.

    Raises HostError for a unit that was started and has failed.
    """
    pause()
    now = _last_start(name)
    while wait and now.job:
        pause()
        now = _last_start(name)
    is_new = now.invocation not in ("", before)
    if is_new and now.active_state == "failed":
        raise explain(name, f"{name} was started and has failed")
    return now.job != "" or (is_new and now.active_state != "inactive")


def _last_start(name: str) -> _Start:
    output = ask(["systemctl", "show", "--property=InvocationID,Job,ActiveState", "--", name])
    values = dict(line.partition("=")[::2] for line in output.splitlines())
    job = values.get("Job", "")
    return _Start(values.get("InvocationID", ""), "" if job == "0" else job, values.get("ActiveState", ""))


def _reset_failed(*names: str) -> None:
    """Forget failures; a unit that systemd does not know (yet) has none, and does not keep the others from it."""
    restarts.forget(names)
    with contextlib.suppress(HostError):
        ask(["systemctl", "reset-failed", "--", *names])
