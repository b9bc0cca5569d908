# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``tap-up``, ``tap-down``, ``macvtap-up``, ``macvtap-down``: run as root before and after the hypervisor."""

from __future__ import annotations

from typing import Sequence

from ...declaration.accounts import Account
from ...declaration.names import NETWORK_LIST
from ...declaration.types import Interface
from . import sources
from .shell import call, header


def tap_up(name: str, taps: Sequence[Interface], flags: Sequence[str], account: Account) -> str:
    """Return the script that recreates the tap devices and brings them up."""
    script = header(f"Makes the tap interfaces of MicroVM {name}.") + sources.MAKE_TAP + "\n"
    return script + "".join(call("make_tap", tap["id"], account.user, tap["bridge"] or "", *flags) for tap in taps)


def tap_down(name: str, taps: Sequence[Interface], account: Account) -> str:
    """Return the script that takes the tap devices away."""
    script = header(f"Removes the tap interfaces of MicroVM {name}.") + sources.REMOVE_TAP + "\n"
    return script + "".join(call("remove_tap", tap["id"], account.user) for tap in taps)


def macvtap_up(name: str, macvtaps: Sequence[Interface], account: Account) -> str:
    """Return the script that recreates the macvtap devices, for the hypervisor's user."""
    joins = sources.JOIN_MACVTAP if any(macvtap["bridge"] for macvtap in macvtaps) else ""
    script = header(f"Makes the macvtap interfaces of MicroVM {name}.") + sources.MAKE_MACVTAP + joins + "\n"
    return script + "".join(_make_macvtap(macvtap, account) for macvtap in macvtaps)


def _make_macvtap(interface: Interface, account: Account) -> str:
    place = interface["macvtap"]
    owner = (account.user, account.group)
    if interface["bridge"]:
        return call("join_macvtap", NETWORK_LIST, interface["id"], *owner, interface["bridge"], interface["mac"])
    return call("make_macvtap", interface["id"], *owner, place["link"] or "", interface["mac"], place["mode"] or "")


def macvtap_down(name: str, macvtaps: Sequence[Interface]) -> str:
    """Return the script that takes the macvtap devices away."""
    script = header(f"Removes the macvtap interfaces of MicroVM {name}.") + sources.REMOVE_MACVTAP + "\n"
    return script + "".join(call("remove_macvtap", macvtap["id"]) for macvtap in macvtaps)
