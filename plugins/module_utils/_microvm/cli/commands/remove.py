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
from .results import tell


def remove(asked: Namespace) -> int:
    """``microvm remove``."""
    require_root(asked)
    known = names(places(asked))
    missing = [name for name in asked.names if name not in known]
    if missing:
        raise HostError(f"there is no MicroVM {', '.join(missing)} in {asked.state_dir}; see: microvm list")
    foreseen = _removed(asked, True)
    if asked.check:
        return tell(foreseen, True)
    if not asked.yes:
        _confirm(asked, foreseen)
    return tell(_removed(asked, False), False)


def _removed(asked: Namespace, check: bool) -> VmsResult:
    on_absent = {"volumes": asked.volumes, "confirm": asked.confirm or []}
    vms = [{"name": name, "state": "absent", "on_absent": on_absent} for name in dict.fromkeys(asked.names)]
    return reconcile(Request(vms=vms, state_dir=places(asked).state_directory, check_mode=check, path="vms"))


def _confirm(asked: Namespace, foreseen: VmsResult) -> None:
    """Raises HostError unless a person says yes."""
    if not sys.stdin.isatty():
        raise HostError(
            "cannot ask for confirmation without a terminal; pass --yes, or --check to see what would be done"
        )
    tell(foreseen, True)
    sys.stdout.write(f"Remove {', '.join(asked.names)}? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise HostError("nothing was removed")
