# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script of hosts that runs a package's scripts, or does the same for a package that has none. Pure.

It has the very functions that packages have, so there is one way to make a tap.
"""

from __future__ import annotations

from ...declaration.names import (
    BOOTED_LINK,
    CONSOLE_DIRECTORY,
    CURRENT_LINK,
    DEVICE_LIST,
    DEVICE_RULES,
    GROUP,
    HUGE_PAGES_PREFIX,
    LOST_SHARES_DIRECTORY,
    NETWORK_LIST,
    NETWORK_SETTINGS,
    NETWORK_UNIT,
    RESTART_DIRECTORY,
    SHARE_DIRECTORY,
    SOCKET_DIRECTORY,
    TAP_RULES_DIRECTORY,
    USER,
    WORK_DIRECTORY,
)
from ...runner.scripts import sources
from ...runner.scripts.shell import assignments

_HEADER = """
# What the units of a MicroVM do beside its hypervisor, for any runner package: the package's
# own script if it has one, else the same by its lists, as packages of microvm.nix had them before they had scripts.
# Usage: microvm-package ACTION NAME

set -euo pipefail

"""

_ENTRIES = f"""\
# Only root writes to it and to what is above it, where it may have put links.
state=$(readlink -f -- @STATE_DIRECTORY@/"$2")
current=$state/{CURRENT_LINK}
booted=$state/{BOOTED_LINK}
work=$state/{WORK_DIRECTORY}
sockets=$state/{SOCKET_DIRECTORY}
"""

_FUNCTIONS = (
    sources.MAKE_TAP,
    sources.REMOVE_TAP,
    sources.BIND_TAPS,
    sources.ROUTE_TAP,
    sources.NAME_GUEST,
    sources.MAKE_MACVTAP,
    sources.REMOVE_MACVTAP,
    sources.BIND_MACVTAP,
    sources.BIND_PCI_DEVICE,
    sources.TAKE_PCI_DEVICE,
    sources.GIVE_PCI_DEVICE_BACK,
    sources.BLOCK_DEVICES,
    sources.ENTER_DIRECTORY,
    sources.VIRTIOFSD,
    sources.PACKAGE_ACTIONS,
)


def package_script() -> str:
    """Return the script ``microvm-package``, without its first line."""
    names = assignments(
        user=USER,
        group=GROUP,
        shares_directory=SHARE_DIRECTORY,
        restarts_directory=RESTART_DIRECTORY,
        lost_shares_directory=LOST_SHARES_DIRECTORY,
        console_directory=CONSOLE_DIRECTORY,
        huge_pages_prefix=HUGE_PAGES_PREFIX,
        network_list=NETWORK_LIST,
        network_unit=NETWORK_UNIT,
        tap_rules=TAP_RULES_DIRECTORY,
        network_settings=NETWORK_SETTINGS,
        device_list=DEVICE_LIST,
        device_rules=DEVICE_RULES,
    )
    return f'{_HEADER}{names}{_ENTRIES}{"".join(_FUNCTIONS)}\nrun_action "$1" "$2"\n'
