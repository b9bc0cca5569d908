# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm list``."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import List, Optional

from ...operations.info import Information, inform
from ..host import places
from ..output import say
from ..table import GREEN, RED, YELLOW, bytes_in_words, colours, table

HEAD = ("NAME", "STATE", "GENERATION", "CURRENT", "BOOTED", "PENDING", "RESTARTS", "MEMORY", "SINCE")

PENDING = 2
"""Exit status of list where a restart is pending."""

SHOWN_DIGITS = 8
"""Digits of a digest that are shown."""


def list_vms(asked: Namespace) -> int:
    """``microvm list``."""
    found = inform(places(asked))
    if asked.json:
        say(json.dumps(found, indent=2, sort_keys=True))
    elif found:
        paint = [_colour(one) for one in found] if colours() else ()
        say(table(HEAD, [row(one) for one in found], paint))
    else:
        say(f"there are no MicroVMs in {asked.state_dir}")
    return PENDING if any(one["restart_pending"] for one in found) else 0


def row(one: Information) -> List[str]:
    """Cells of one MicroVM."""
    return [
        one["name"],
        one["state"] + (" (foreign)" if one["foreign"] else ""),
        text(one["generation"]),
        short(one["current"]),
        short(one["booted"]),
        "yes" if one["restart_pending"] else "no",
        str(one["restarts"]),
        bytes_in_words(one["memory"]),
        since(one["active_since"]),
    ]


def short(package: Optional[str]) -> str:
    """The beginning of a package's digest, ours or Nix's; a dash where there is none."""
    return (package or "").rpartition("/")[2][:SHOWN_DIGITS] or "-"


def since(words: Optional[str]) -> str:
    """systemd's time without the day of the week."""
    return (words or "").partition(" ")[2] or "-"


def text(value: object) -> str:
    return "-" if value in (None, "", []) else str(value)


def _colour(one: Information) -> Optional[str]:
    if one["state"] == "failed":
        return RED
    if one["restart_pending"] or one["state"] in ("activating", "deactivating"):
        return YELLOW
    return GREEN if one["state"] == "active" else None
