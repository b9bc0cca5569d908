# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""list, info."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any, Iterator, List, Mapping, Optional

from ...host.commands import HostError
from ...reconcile.info import Information, inform
from ..host import places
from ..output import say
from ..table import GREEN, RED, YELLOW, bytes_in_words, colours, table

HEAD = ("NAME", "STATE", "GENERATION", "CURRENT", "BOOTED", "PENDING", "RESTARTS", "MEMORY", "SINCE")

PENDING = 2
"""Exit status of list where a restart is pending."""

SHOWN_DIGITS = 8
"""Of a digest."""


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
        _text(one["generation"]),
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


def _text(value: Any) -> str:
    return "-" if value in (None, "", []) else str(value)


def _colour(one: Information) -> Optional[str]:
    if one["state"] == "failed":
        return RED
    if one["restart_pending"] or one["state"] in ("activating", "deactivating"):
        return YELLOW
    return GREEN if one["state"] == "active" else None


def info(asked: Namespace) -> int:
    """``microvm info``."""
    found = inform(places(asked), [asked.name])
    if not found:
        raise HostError(f"there is no MicroVM {asked.name!r} in {asked.state_dir}; see: microvm list")
    say(json.dumps(found[0], indent=2, sort_keys=True) if asked.json else "\n".join(_lines(found[0])))
    return 0


def _lines(one: Information) -> Iterator[str]:
    for title, text in _facts(one).items():
        yield f"{title + ':':16}{text}"
    if one["foreign"]:
        yield "It was not installed by this collection, which leaves it alone."
    if one["restart_pending"]:
        yield f"A restart is pending: microvm restart {one['name']}"


def _facts(one: Information) -> Mapping[str, str]:
    state = f"{one['state']} ({one['sub_state']})"
    return {
        "name": one["name"],
        "state": state if one["result"] == "success" else f"{state}, {one['result']}",
        "since": since(one["active_since"]),
        "autostart": "yes" if one["autostart"] else "no",
        "restarts": str(one["restarts"]),
        "process": _text(one["process"]),
        "memory": bytes_in_words(one["memory"]),
        "generation": _text(one["generation"]),
        "current": _text(one["current"]),
        "booted": _text(one["booted"]),
        "old": _text(one["old"]),
        "generations": " ".join(f"{kept['number']}{'(bad)' if kept['bad'] else ''}" for kept in one["generations"])
        or "-",
        "hypervisor": _text(one["hypervisor"]),
        "user": one["user"],
        "addresses": " ".join(one["addresses"]) or "-",
        "vsock": _text(one["vsock_cid"]),
        "volumes": " ".join(f"{volume['image']} ({bytes_in_words(volume['size'])})" for volume in one["volumes"])
        or "-",
        "directory": one["state_directory"],
    }
