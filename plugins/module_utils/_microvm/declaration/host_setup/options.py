# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a host that is prepared for MicroVMs."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options
from ..names import STATE_DIRECTORY

HOST_SETUP_OPTIONS: Options = (
    Option(
        "state_dir",
        "path",
        "Directory with one state directory for each MicroVM.",
        default=STATE_DIRECTORY,
        check=checks.plain_path,
    ),
    Option(
        "ksm",
        "bool",
        "Let the kernel merge equal pages of guests (KSM). Saves memory, and opens a side channel between guests.",
        default=False,
    ),
    Option(
        "boot_parallel",
        "int",
        "How many MicroVMs start at once with the host; the others wait in the boot queue. V(0) for all of them.",
        default=4,
        check=checks.not_negative,
    ),
    Option(
        "boot_settle",
        "int",
        (
            "For how many seconds a MicroVM that has started with the host counts as starting: within these seconds, "
            "no more start than may start at once."
        ),
        default=10,
        check=checks.not_negative,
    ),
)
