# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""start, stop, restart."""

from __future__ import annotations

from argparse import Namespace
from typing import Callable, Optional

from ...host.places import Places
from ...operations import lifecycle
from ..host import each, places, require_root
from ..output import say

Begin = Callable[[str, Places, bool], Optional[float]]


def start_vms(arguments: Namespace) -> int:
    """``microvm start``."""
    return _begin(arguments, lifecycle.start_vm)


def restart_vms(arguments: Namespace) -> int:
    """``microvm restart``."""
    return _begin(arguments, lifecycle.restart_vm)


def _begin(arguments: Namespace, how: Begin) -> int:
    require_root(arguments)
    where = places(arguments)

    def work(name: str) -> None:
        waited = how(name, where, not arguments.no_wait)
        say(f"{name}: {arguments.command} requested" if waited is None else f"{name}: is up after {waited:.1f} s")

    return each(arguments.names, work)


def stop_vms(arguments: Namespace) -> int:
    """``microvm stop``."""
    require_root(arguments)
    where = places(arguments)

    def work(name: str) -> None:
        lifecycle.stop_vm(name, where, not arguments.no_wait)
        say(f"{name}: stop requested" if arguments.no_wait else f"{name}: is down")

    return each(arguments.names, work)
