# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say of what a hypervisor claims whether it was run, by the results of the examination (tests/hosts/hypervisors)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from _microvm.hypervisors.profile import Profile
from hosts.hypervisors.cells import Cell
from hosts.hypervisors.results import Outcome, Row

UNCLAIMED = "–"
UNSEEN = "read in its source"


@dataclass(frozen=True)
class Evidence:
    """Table of cells and the rows of results."""

    cells: Sequence[Cell]
    rows: Sequence[Row]

    def of_option(self, profile: Profile, label: str) -> str:
        """Return what is known of an option that a hypervisor claims; ``label`` is that of docs/hypervisors.md."""
        return self._of([cell for cell in self.cells if label in cell.rows and cell.is_claimed(profile)], profile)

    def of_cell(self, profile: Profile, cell: Cell) -> str:
        """Return what is known of a cell."""
        return self._of([cell], profile) if cell.is_claimed(profile) else UNCLAIMED

    def _of(self, cells: Iterable[Cell], profile: Profile) -> str:
        names = [cell.name for cell in cells]
        rows = sorted((row for row in self.rows if row.hypervisor == profile.name and row.cell in names), key=_day)
        short = [row for row in rows if row.outcome is Outcome.FELL_SHORT]
        held = [row for row in rows if row.outcome is Outcome.HELD]
        if short:
            return f"falls short with {release(short[-1].version)}"
        return f"run with {release(held[-1].version)}" if held else UNSEEN

    def programs(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield hypervisor, whole version, guest and days (ISO 8601) of the rows that were run."""
        days: dict[tuple[str, str, str], set[str]] = {}
        for row in self.rows:
            if row.outcome is not Outcome.NOT_RUN:
                days.setdefault((row.hypervisor, row.version, row.guest), set()).add(row.date)
        for program, dates in days.items():
            yield *program, " to ".join(dict.fromkeys((min(dates), max(dates))))

    def shortcomings(self, profiles: Iterable[Profile]) -> Iterator[tuple[Row, Cell]]:
        """Yield the rows of claimed cells that fell short, by hypervisor and in the order of the table."""
        rows = {row.key: row for row in self.rows}
        for profile in profiles:
            for cell in self.cells:
                row = rows.get((profile.name, cell.name))
                if row is not None and row.outcome is Outcome.FELL_SHORT and cell.is_claimed(profile):
                    yield row, cell


def release(version: str) -> str:
    """Return the beginning of a version: 53.0 of 53.0-246-gae44c2971."""
    return version.partition("-")[0]


def _day(row: Row) -> str:
    return row.date
