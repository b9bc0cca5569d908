# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results of the examination: a file of the repository, with a row for each hypervisor and cell."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")


class Outcome(Enum):
    """Outcome of a cell. A cell whose capability a hypervisor does not claim has none."""

    HELD = "held"
    FELL_SHORT = "fell short"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Row:
    """Outcome of one cell with one hypervisor, and what it was seen with."""

    hypervisor: str
    cell: str
    outcome: Outcome
    reason: str = ""
    """Explanation of every outcome but ``HELD``."""
    version: str = ""
    """Version that the hypervisor's program prints."""
    date: str = ""
    """Day of the run (ISO 8601)."""
    guest: str = ""
    """Suite and kernel of the guest."""
    accel: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Return what the file has one row for."""
        return self.hypervisor, self.cell


class BadResults(Exception):
    """Error of a file of results, with the place."""


def parse(text: str) -> list[Row]:
    """Return the rows of a file's text. Raises BadResults."""
    try:
        rows = [Row(**{**values, "outcome": Outcome(values["outcome"])}) for values in json.loads(text)]
    except (ValueError, TypeError, KeyError) as error:
        raise BadResults(f"this is no list of results: {error}") from error
    keys = [row.key for row in rows]
    for row in rows:
        if keys.count(row.key) > 1:
            raise BadResults(f"{row.hypervisor}, {row.cell}: two rows")
        if (row.outcome is Outcome.HELD) == bool(row.reason):
            raise BadResults(
                f"{row.hypervisor}, {row.cell}: a reason belongs to every outcome but {Outcome.HELD.value!r}"
            )
        if row.outcome is not Outcome.NOT_RUN and not (row.version and row.date):
            raise BadResults(f"{row.hypervisor}, {row.cell}: version and date are missing")
    return rows


def read(path: Path = RESULTS) -> list[Row]:
    """Return the rows of a file; none if it does not exist. Raises BadResults."""
    return parse(path.read_text(encoding="utf-8")) if path.exists() else []


def merged(before: Iterable[Row], after: Iterable[Row]) -> list[Row]:
    """Return all rows in their order; those of a run replace those of earlier ones.

    A cell that was not run this time keeps what was seen earlier.
    """
    rows = {row.key: row for row in before}
    for row in after:
        is_kept = row.outcome is Outcome.NOT_RUN and rows.get(row.key, row).outcome is not Outcome.NOT_RUN
        rows.setdefault(row.key, row) if is_kept else rows.update({row.key: row})
    return sorted(rows.values(), key=lambda row: row.key)


def text(rows: Iterable[Row]) -> str:
    """Return the text of a file: JSON with one row in each line, in order, so that differences are readable."""
    ordered = sorted(rows, key=lambda row: row.key)
    lines = (json.dumps({**asdict(row), "outcome": row.outcome.value}, ensure_ascii=False) for row in ordered)
    return "[\n" + ",\n".join(lines) + "\n]\n" if ordered else "[]\n"


def write(path: Path, after: Iterable[Row], cells: Collection[str]) -> None:
    """Bring a file up to date with rows of a run; rows of cells that no longer exist are dropped."""
    rows = [row for row in merged(read(path), after) if row.cell in cells]
    aside = path.with_suffix(".partial")
    aside.write_text(text(rows), encoding="utf-8")
    aside.rename(path)


def summary(rows: Sequence[Row]) -> str:
    """Return a table of hypervisors and numbers of outcomes, then a line for each cell that has not held."""
    lines = [f"{'hypervisor':18}" + "".join(f"{outcome.value:>12}" for outcome in Outcome)]
    for name in dict.fromkeys(row.hypervisor for row in rows):
        own = [row.outcome for row in rows if row.hypervisor == name]
        lines.append(f"{name:18}" + "".join(f"{own.count(outcome):12}" for outcome in Outcome))
    unmet = (row for row in rows if row.outcome is not Outcome.HELD)
    return "\n".join(
        [*lines, "", *(f"{row.hypervisor}, {row.cell}: {row.outcome.value}: {row.reason}" for row in unmet)]
    )
