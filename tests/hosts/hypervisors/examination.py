# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examination of hypervisors on a host: the cells of the table, boot by boot, each with its outcome."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from _microvm.hypervisors.profile import Profile

from ..host import Host
from .cells import LIFE, Cell, FellShort, NotRun
from .guest import Guest, Place, last_line
from .results import Outcome, Row

Report = Callable[[Row], None]
"""Function that is called with each row as soon as there is one."""

Verdict = tuple[Outcome, str]

NO_BOOT = "its guest does not boot"
"""Reason of the cells after a boot that failed."""


class HostIsGone(Exception):
    """Error of a host that no longer answers: nothing more can be examined on it."""


def examine(place: Place, profile: Profile, version: str, cells: Iterable[Cell], report: Report) -> None:
    """Examine one hypervisor by the cells whose capabilities it claims. Raises HostIsGone."""
    clerk = _Clerk(place, profile, version, report)
    boots = [list(group) for _boot, group in groupby(_claimed(cells, profile), key=lambda cell: cell.boot)]
    for members in boots:
        if clerk.is_dead:
            clerk.skip(members, NO_BOOT)
        else:
            _examine_boot(clerk, members)


def _claimed(cells: Iterable[Cell], profile: Profile) -> Iterator[Cell]:
    return (cell for cell in cells if cell.is_claimed(profile))


class _Clerk:
    """Writes down outcomes of one hypervisor."""

    def __init__(self, place: Place, profile: Profile, version: str, report: Report) -> None:
        self.place = place
        self.profile = profile
        self.is_dead = False
        self._version = version
        self._report = report

    def note(self, cell: Cell, verdict: Verdict) -> None:
        """Report the outcome of a cell."""
        print(f"    {self.profile.name}, {cell.name}: {verdict[0].value} {verdict[1]}", flush=True)
        image, accel = self.place.image, "kvm" if self.place.has_kvm else "tcg"
        today = time.strftime("%Y-%m-%d", time.gmtime())
        row = (self.profile.name, cell.name, *verdict, self._version, today, image.description, accel)
        self._report(Row(*row))

    def skip(self, cells: Iterable[Cell], reason: str) -> None:
        """Report cells that are not run."""
        for cell in cells:
            self.note(cell, (Outcome.NOT_RUN, reason))


def _examine_boot(clerk: _Clerk, members: Sequence[Cell]) -> None:
    """Examine cells with one boot; where that fails, options have one each, to see whose fault it is."""
    guest, cells = _prepared(clerk, members)
    if all(cell.is_bootless for cell in cells):
        for cell in cells:
            _examine_cell(clerk, guest, cell)
        return
    try:
        with judged(guest.host):
            guest.apply()
    except Unmet as unmet:
        if len(cells) > 1 and cells[0].boot != LIFE:
            guest.forget()
            for cell in cells:
                _examine_boot(clerk, [cell])
        else:
            _note_failed_boot(clerk, guest, cells, unmet.verdict)
    else:
        for cell in cells:
            _examine_cell(clerk, guest, cell)
    finally:
        guest.forget()


def _prepared(clerk: _Clerk, members: Iterable[Cell]) -> tuple[Guest, list[Cell]]:
    """Return a guest with the options of cells, and the cells that the host can be prepared for."""
    guest, cells = Guest(clerk.place, clerk.profile, {}), []
    for cell in members:
        try:
            with judged(guest.host):
                guest = guest.with_options(cell.prepare(guest))
            cells.append(cell)
        except Unmet as unmet:
            clerk.note(cell, unmet.verdict)
    return guest, cells


def _note_failed_boot(clerk: _Clerk, guest: Guest, cells: Sequence[Cell], verdict: Verdict) -> None:
    """Report cells whose guest did not begin; some need none."""
    for cell in cells:
        if cell.is_bootless:
            _examine_cell(clerk, guest, cell)
    for cell in [cell for cell in cells if not cell.is_bootless][:1]:
        clerk.is_dead = cell.boot == LIFE
        clerk.note(cell, verdict)
    clerk.skip([cell for cell in cells if not cell.is_bootless][1:], NO_BOOT)


def _examine_cell(clerk: _Clerk, guest: Guest, cell: Cell) -> None:
    try:
        with judged(guest.host):
            cell.check(guest)
        clerk.note(cell, (Outcome.HELD, ""))
    except Unmet as unmet:
        clerk.note(cell, unmet.verdict)


class Unmet(Exception):
    """Error that ends a cell with an outcome."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.verdict: Verdict = (outcome, " ".join(reason.split())[:400])


@contextmanager
def judged(host: Host) -> Iterator[None]:
    """Turn errors into outcomes. Raises Unmet, and HostIsGone where the host no longer answers."""
    try:
        yield
    except NotRun as error:
        raise Unmet(Outcome.NOT_RUN, str(error)) from error
    except FellShort as error:
        raise Unmet(Outcome.FELL_SHORT, str(error)) from error
    except (AssertionError, subprocess.TimeoutExpired) as error:
        require_host(host)
        raise Unmet(Outcome.FELL_SHORT, last_line(str(error))) from error


def require_host(host: Host) -> None:
    """Raise HostIsGone unless a host answers."""
    try:
        host.run("true", timeout=120)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        raise HostIsGone(str(error)) from error
