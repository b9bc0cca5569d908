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
from .list import complain_of
from .results import print_plan


def generations(arguments: Namespace) -> int:
    """``microvm generations``."""
    if arguments.good is not None or arguments.bad is not None:
        return _mark(arguments)
    vms = inform(places(arguments), [arguments.name])
    if not vms:
        raise HostError(
            f"there is no MicroVM {arguments.name!r} in {places(arguments).state_directory}; see: microvm list"
        )
    listed = vms[0]["generations"]
    if arguments.json:
        say(json.dumps(listed, indent=2, sort_keys=True))
    elif listed:
        rows = [
            [str(generation["number"]), generation["package"], ", ".join(_marks(generation))] for generation in listed
        ]
        say(table(("NUMBER", "PACKAGE", ""), rows))
    elif vms[0]["foreign"]:
        say(f"{arguments.name} was not installed by this collection, so its generations are not known")
    return 1 if complain_of(vms) else 0


def _marks(generation: GenerationInformation) -> List[str]:
    marks = {
        "current": generation["current"],
        "booted": generation["booted"],
        "bad": generation["bad"],
        "missing": not generation["installed"],
    }
    return [word for word, is_so in marks.items() if is_so]


def _mark(arguments: Namespace) -> int:
    require_root(arguments)
    is_bad = arguments.bad is not None
    number, word = (arguments.bad, "bad") if is_bad else (arguments.good, "good")
    plan = mark(arguments.name, number, is_bad, arguments.check, places(arguments))
    print_plan(plan, f"changed: generation {number} is {word}", arguments.check)
    return 0


def rollback(arguments: Namespace) -> int:
    """``microvm rollback``."""
    require_root(arguments)
    where = places(arguments)
    plan = roll_back(arguments.name, arguments.number, arguments.keep, arguments.check, not arguments.no_wait, where)
    print_plan(plan, f"rolled back to generation {plan.generation}", arguments.check, _diff(plan, arguments, where))
    return 0


def _diff(plan: Plan, arguments: Namespace, where: Places) -> Optional[Diff]:
    return package_diff(plan, where) if arguments.diff else None
