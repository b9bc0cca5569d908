# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""generations, rollback."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import List, Optional

from ...host.commands import HostError
from ...host.places import Places
from ...operations.info import GenerationInformation, inform
from ...operations.report import package_diff
from ...operations.rollback import mark, roll_back
from ...resources.diffs import Diff
from ...resources.vms.actions import Plan
from ..host import places, require_root
from ..output import say
from ..table import table
from .results import show


def generations(asked: Namespace) -> int:
    """``microvm generations``."""
    if asked.good is not None or asked.bad is not None:
        return _mark(asked)
    found = inform(places(asked), [asked.name])
    if not found:
        raise HostError(f"there is no MicroVM {asked.name!r} in {asked.state_dir}; see: microvm list")
    kept = found[0]["generations"]
    if asked.json:
        say(json.dumps(kept, indent=2, sort_keys=True))
    elif kept:
        rows = [[str(one["number"]), one["package"], ", ".join(_marks(one))] for one in kept]
        say(table(("NUMBER", "PACKAGE", ""), rows))
    else:
        say(f"{asked.name} was not installed by this collection, so its generations are not known")
    return 0


def _marks(generation: GenerationInformation) -> List[str]:
    marks = {
        "current": generation["current"],
        "booted": generation["booted"],
        "bad": generation["bad"],
        "missing": not generation["installed"],
    }
    return [word for word, is_so in marks.items() if is_so]


def _mark(asked: Namespace) -> int:
    require_root(asked)
    is_bad = asked.bad is not None
    number, word = (asked.bad, "bad") if is_bad else (asked.good, "good")
    plan = mark(asked.name, number, is_bad, asked.check, places(asked))
    show(plan, f"changed: generation {number} is {word}", asked.check)
    return 0


def rollback(asked: Namespace) -> int:
    """``microvm rollback``."""
    require_root(asked)
    where = places(asked)
    plan = roll_back(asked.name, asked.number, asked.keep, asked.check, not asked.no_wait, where)
    show(plan, f"rolled back to generation {plan.generation}", asked.check, _diff(plan, asked, where))
    return 0


def _diff(plan: Plan, asked: Namespace, where: Places) -> Optional[Diff]:
    return package_diff(plan, where) if asked.diff else None
