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
from .list import complain_of, since, text


def info(arguments: Namespace) -> int:
    """``microvm info``."""
    vms = inform(places(arguments), [arguments.name])
    if not vms:
        raise HostError(
            f"there is no MicroVM {arguments.name!r} in {places(arguments).state_directory}; see: microvm list"
        )
    say(json.dumps(vms[0], indent=2, sort_keys=True) if arguments.json else "\n".join(_lines(vms[0])))
    return 1 if complain_of(vms) else 0


def _lines(vm: Information) -> Iterator[str]:
    for title, fact in _facts(vm).items():
        yield f"{title + ':':16}{fact}"
    if vm["foreign"]:
        yield "This MicroVM was not installed by this collection, which leaves it alone."
    yield from vm["reasons"]


def _facts(vm: Information) -> Mapping[str, str]:
    state = f"{vm['state']} ({vm['sub_state']})"
    return {
        "name": vm["name"],
        "tags": " ".join(vm["tags"]) or "-",
        "condition": vm["condition"],
        "state": state if vm["result"] == "success" else f"{state}, {vm['result']}",
        "since": since(vm["active_since"]),
        "autostart": "yes" if vm["autostart"] else "no",
        "restarts": str(vm["restarts"]),
        "process": text(vm["process"]),
        "memory": bytes_in_words(vm["memory"]),
        "generation": text(vm["generation"]),
        "current": text(vm["current"]),
        "booted": text(vm["booted"]),
        "old": text(vm["old"]),
        "generations": " ".join(
            f"{generation['number']}{'(bad)' if generation['bad'] else ''}" for generation in vm["generations"]
        )
        or "-",
        "hypervisor": text(vm["hypervisor"]),
        "user": vm["user"],
        "accelerator": text(vm["accelerator"]),
        "processors": text(vm["processors"]),
        "guest memory": bytes_in_words(None if vm["guest_memory"] is None else vm["guest_memory"] << 20),
        "addresses": " ".join(vm["addresses"]) or "-",
        "by DHCP": " ".join(vm["dhcp_addresses"]) or "-",
        "vsock": text(vm["vsock_cid"]),
        "volumes": " ".join(f"{volume['path']} ({bytes_in_words(volume['size'])})" for volume in vm["volumes"]) or "-",
        "directory": vm["state_directory"],
    }
