# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm run``."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import List

from ...declaration.names import CURRENT_LINK, HELPERS, NOTIFY, SCRIPT_DIRECTORY, unit_name
from ...host import systemd
from ...host.commands import HostError
from ...host.transient import property_words, service_sandbox
from ...operations.lifecycle import require
from ..host import places, require_root
from .guests import become

OF_SERVICE = ("microvm-boot-queue", NOTIFY)
"""Helpers that are of no use here: of starts of the host, and of the service's own readiness."""

PREPARE = f"{SCRIPT_DIRECTORY}/microvm-prepare"
"""Script that prepares the working directory before each start, of the service too."""


def run_foreground(arguments: Namespace) -> int:
    """``microvm run``."""
    require_root(arguments)
    where = places(arguments)
    require(arguments.name, where)
    unit = unit_name(arguments.name)
    if systemd.show([unit])[unit].running:
        raise HostError(
            f"{arguments.name} is already running as {unit}; see its console: microvm console {arguments.name}"
        )
    words = transient_unit(arguments.name)
    become(["systemd-run", *words, "--", where.state(arguments.name, CURRENT_LINK, "bin/microvm-run")])


def transient_unit(name: str) -> List[str]:
    """Return the options of systemd-run(1): the service's own settings, with the helpers up for as long as it is."""
    helpers = " ".join(f"{helper}@{name}.service" for helper in HELPERS if helper not in OF_SERVICE)
    properties = [
        f"Requires={helpers}",
        f"After={helpers}",
        # The service cannot start beside it.
        f"Conflicts={unit_name(name)}",
        f"ExecStartPre={PREPARE} {name}",
        *(f"{key}={value}" for key, value in service_sandbox(name)),
    ]
    form = ["--pty"] if sys.stdin.isatty() else ["--pipe"]
    return ["--quiet", "--collect", "--wait", *form, f"--unit=microvm-run-{name}", *property_words(properties)]
