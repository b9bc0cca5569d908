# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm remove``."""

from __future__ import annotations

import sys
from argparse import Namespace

from ...host.commands import HostError
from ...operations.info import names
from ...operations.reconcile import Request, reconcile
from ...operations.report import VmsResult
from ..host import places, require_root
from .results import print_outcome


def remove_vms(arguments: Namespace) -> int:
    """``microvm remove``."""
    require_root(arguments)
    installed = names(places(arguments))
    missing = [name for name in arguments.names if name not in installed]
    if missing:
        raise HostError(
            f"there is no MicroVM {', '.join(missing)} in {places(arguments).state_directory}; see: microvm list"
        )
    predicted = _removed(arguments, True)
    if arguments.check:
        return print_outcome(predicted, True)
    if not arguments.yes:
        _confirm(arguments, predicted)
    return print_outcome(_removed(arguments, False), False)


def _removed(arguments: Namespace, check: bool) -> VmsResult:
    on_absent = {"volumes": arguments.volumes, "confirm": arguments.confirm or []}
    vms = [{"name": name, "state": "absent", "on_absent": on_absent} for name in dict.fromkeys(arguments.names)]
    state_directory = places(arguments).state_directory
    return reconcile(Request(vms=vms, state_dir=state_directory, check_mode=check, alone=True, path="vms"))


def _confirm(arguments: Namespace, predicted: VmsResult) -> None:
    """Raises HostError unless a person says yes."""
    if not sys.stdin.isatty():
        raise HostError(
            "cannot ask for confirmation without a terminal; pass --yes, or --check to see what would be done"
        )
    print_outcome(predicted, True)
    sys.stdout.write(f"Remove {', '.join(arguments.names)}? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise HostError("nothing was removed")
