# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what stands here for each chapter, question and option of microvm.nix's handbook."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from _microvm.schema.options import Options, walk

from .pages import between, cell, shown_default

OF_HOSTS = ("host.", "vms", "stateDir", "autostart", "deploy.")
"""Beginnings of the names of options of microvm.nix's host module and of its scripts."""
SUBJECTS = ("chapters", "questions", "options of guests", "options of hosts")
MARKS = {subject: f"<!-- {subject}: written by `make generate` -->\n" for subject in SUBJECTS}
ENDS = {subject: f"<!-- end of {subject} -->\n" for subject in SUBJECTS}
SAME = ""

Rows = Mapping[str, Mapping[str, Any]]


def option_of_ours(name: str) -> str:
    """Return the name that an option of microvm.nix has here, unless it has another one."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.replace("-", "_").replace(".*.", "[]."))
    return re.sub(r"([A-Z])([A-Z][a-z])", r"\1_\2", name).lower()


def with_handbook(
    page: str, handbook: Mapping[str, Any], rows: Mapping[str, Rows], table: Options, variables: Collection[str]
) -> str:
    """Return docs/coming-from-microvm-nix.md with its tables between their marks.

    ``handbook`` lists what the handbook has, ``rows`` say what stands here for it; ``table`` has the options of a
    MicroVM. Raises KeyError and ValueError for rows that are missing, superfluous or name what does not exist.
    """
    _compare(handbook["chapters"], rows["chapters"])
    _compare(handbook["questions"], rows["questions"])
    unknown = set(rows["options"]) - set(handbook["options"])
    if unknown:
        raise ValueError(f"options that microvm.nix does not have: {sorted(unknown)}")
    defaults = {path: option.default for path, option in walk(table)}
    lines = {
        "chapters": list(_chapters(handbook["chapters"], rows["chapters"])),
        "questions": list(_questions(rows["questions"])),
        **{subject: ["| microvm.nix | here | what differs |", "|---|---|---|"] for subject in SUBJECTS[2:]},
    }
    for name, default in handbook["options"].items():
        subject = SUBJECTS[3] if name.startswith(OF_HOSTS) else SUBJECTS[2]
        lines[subject].append(_option(name, default, rows["options"].get(name, {}), defaults, variables))
    for subject in SUBJECTS:
        page = between(page, MARKS[subject], lines[subject], ENDS[subject])
    return page


def _compare(names: Collection[str], rows: Rows) -> None:
    if set(names) != set(rows):
        raise ValueError(f"the handbook and the rows differ: {sorted(set(names) ^ set(rows))}")


def _chapters(titles: Mapping[str, str], rows: Rows) -> Iterator[str]:
    yield "| chapter | here | what differs |"
    yield "|---|---|---|"
    yield from (_line(title, rows[name]["here"], rows[name]["differs"]) for name, title in titles.items())


def _questions(rows: Rows) -> Iterator[str]:
    yield "| question | answer here |"
    yield "|---|---|"
    yield from (_line(question, row["here"]) for question, row in rows.items())


def _option(
    name: str, default: object, row: Mapping[str, Any], defaults: Mapping[str, Any], variables: Collection[str]
) -> str:
    """Return the row of an option. Raises KeyError if what stands here for it is neither an option nor a variable."""
    words = row.get("differs", SAME)
    if "instead" in row:
        return _line(f"`{name}`", row["instead"], words)
    ours: Sequence[str] = row.get("here", (option_of_ours(name),))
    missing = [option for option in ours if option not in defaults and option not in variables]
    if missing:
        raise KeyError(f"{name} of microvm.nix has no counterpart here: {missing}")
    here = defaults.get(ours[0])
    # Sizes are strings here, which may have a unit.
    if default not in (None, False) and ours[0] in defaults and str(default) != str(here):
        words = f"Default {shown_default(default)} there, {shown_default(here) or 'none'} here. {words}".rstrip()
    return _line(f"`{name}`", ", ".join(f"`{option}`" for option in ours), words)


def _line(*cells: str) -> str:
    return "| " + " | ".join(map(cell, cells)) + " |"
