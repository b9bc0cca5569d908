# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables for people, with colours where a terminal shows them."""

from __future__ import annotations

import os
import sys
from typing import Optional, Sequence

from ..schema.excerpts import without_controls

RED, GREEN, YELLOW = "31", "32", "33"

Row = Sequence[str]


def colours() -> bool:
    """Return whether whoever reads is a person at a terminal who wants them (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: Optional[str]) -> str:
    """Return a string in a colour, where there is one; see RED."""
    return f"\033[{colour}m{text}\033[0m" if colour else text


def table(head: Row, rows: Sequence[Row], paint: Sequence[Optional[str]] = ()) -> str:
    """Columns as wide as they need; ``paint`` has a colour, or none, for the second column of each row."""
    cells = [[without_controls(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in (head, *cells)) for index in range(len(head))]
    lines = [_line(head, widths, None)]
    lines += [_line(row, widths, paint[index] if paint else None) for index, row in enumerate(cells)]
    return "\n".join(lines)


def _line(row: Row, widths: Sequence[int], colour: Optional[str]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths)]
    cells[-1] = cells[-1].rstrip()
    cells[1:2] = [coloured(cell, colour) for cell in cells[1:2]]
    return "  ".join(cells).rstrip()


def bytes_in_words(count: Optional[int]) -> str:
    """Return a size as 0 B, 512 KiB, 1.5 GiB; a dash where it is not known."""
    if count is None:
        return "-"
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    number = f"{amount:.1f}" if amount < 10 and units[0] != "B" else f"{amount:.0f}"
    return f"{number} {units[0]}"
