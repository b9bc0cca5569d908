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


def start(asked: Namespace) -> int:
    """``microvm start``."""
    return _begin(asked, lifecycle.start)


def restart(asked: Namespace) -> int:
    """``microvm restart``."""
    return _begin(asked, lifecycle.restart)


def _begin(asked: Namespace, how: Begin) -> int:
    require_root(asked)
    where = places(asked)

    def work(name: str) -> None:
        waited = how(name, where, not asked.no_wait)
        say(f"{name}: {asked.command} requested" if waited is None else f"{name}: is up after {waited:.1f} s")

    return each(asked.names, work)


def stop(asked: Namespace) -> int:
    """``microvm stop``."""
    require_root(asked)
    where = places(asked)

    def work(name: str) -> None:
        lifecycle.stop(name, where, not asked.no_wait)
        say(f"{name}: stop requested" if asked.no_wait else f"{name}: is down")

    return each(asked.names, work)
