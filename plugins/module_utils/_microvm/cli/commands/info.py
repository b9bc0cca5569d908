# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm info``."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Iterator, Mapping

from ...host.commands import HostError
from ...operations.info import Information, inform
from ..host import places
from ..output import say
from ..table import bytes_in_words
from .list import since, text


def info(asked: Namespace) -> int:
    """``microvm info``."""
    found = inform(places(asked), [asked.name])
    if not found:
        raise HostError(f"there is no MicroVM {asked.name!r} in {asked.state_dir}; see: microvm list")
    say(json.dumps(found[0], indent=2, sort_keys=True) if asked.json else "\n".join(_lines(found[0])))
    return 0


def _lines(one: Information) -> Iterator[str]:
    for title, fact in _facts(one).items():
        yield f"{title + ':':16}{fact}"
    if one["foreign"]:
        yield "This MicroVM was not installed by this collection, which leaves it alone."
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
        "process": text(one["process"]),
        "memory": bytes_in_words(one["memory"]),
        "generation": text(one["generation"]),
        "current": text(one["current"]),
        "booted": text(one["booted"]),
        "old": text(one["old"]),
        "generations": " ".join(f"{kept['number']}{'(bad)' if kept['bad'] else ''}" for kept in one["generations"])
        or "-",
        "hypervisor": text(one["hypervisor"]),
        "user": one["user"],
        "addresses": " ".join(one["addresses"]) or "-",
        "vsock": text(one["vsock_cid"]),
        "volumes": " ".join(f"{volume['image']} ({bytes_in_words(volume['size'])})" for volume in one["volumes"])
        or "-",
        "directory": one["state_directory"],
    }
