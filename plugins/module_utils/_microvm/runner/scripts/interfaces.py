# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``tap-up``, ``tap-down``, ``macvtap-up``, ``macvtap-down``: run as root before and after the hypervisor.

The functions are shared with the script that hosts have for packages without such scripts (tools/generating).
"""

from __future__ import annotations

import shlex
from typing import Any, Mapping, Sequence

from ...declaration.accounts import Account
from .shell import header

MAKE_TAP = r"""
make_tap() { # name, user, bridge or nothing, flags
    local name=$1 user=$2 bridge=$3 waited=0
    shift 3
    # At a start of the host, the one who makes bridges may just be at it.
    while [ -n "$bridge" ] && [ ! -e "/sys/class/net/$bridge" ] && [ "$waited" -lt 50 ]; do
        sleep 0.2
        waited=$((waited + 1))
    done
    if [ -e "/sys/class/net/$name" ]; then
        # One that was left over may have other flags, which cannot be changed.
        if [ "$(cat "/sys/class/net/$name/owner" 2>/dev/null)" != "$(id -u "$user")" ]; then
            echo "$name exists and is not a tap of the user $user; declare another id" >&2
            exit 1
        fi
        if [ "$(cat "/sys/class/net/$name/carrier" 2>/dev/null)" = 1 ]; then
            echo "$name is in use by another MicroVM; declare another id" >&2
            exit 1
        fi
        ip link delete dev "$name"
    fi
    ip tuntap add name "$name" mode tap user "$user" "$@"
    if [ -n "$bridge" ]; then ip link set dev "$name" master "$bridge"; fi
    ip link set dev "$name" up
}
"""

REMOVE_TAP = r"""
remove_tap() { # name, user
    if [ "$(cat "/sys/class/net/$1/owner" 2>/dev/null)" = "$(id -u "$2")" ]; then ip link delete dev "$1"; fi
}
"""

# Multicast reaches a macvtap only with allmulticast. The host itself shall have no address on it.
MAKE_MACVTAP = r"""
make_macvtap() { # name, user, group, link, MAC, mode
    local name=$1 user=$2 group=$3 link=$4 mac=$5 mode=$6 index waited=0
    if [ -e "/sys/class/net/$name" ]; then
        if [ ! -d "/sys/class/net/$name/macvtap" ]; then
            echo "$name exists and is not a macvtap; declare another id" >&2
            exit 1
        fi
        ip link delete dev "$name"
    fi
    ip link add link "$link" name "$name" address "$mac" type macvtap mode "$mode"
    ip link set dev "$name" allmulticast on
    if [ -w "/proc/sys/net/ipv6/conf/$name/disable_ipv6" ]; then
        echo 1 > "/proc/sys/net/ipv6/conf/$name/disable_ipv6"
    fi
    ip link set dev "$name" up
    index=$(cat "/sys/class/net/$name/ifindex")
    # udev makes the device.
    while [ ! -e "/dev/tap$index" ] && [ "$waited" -lt 50 ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    chown "$user:$group" "/dev/tap$index"
    chmod 0600 "/dev/tap$index"
}
"""

REMOVE_MACVTAP = r"""
remove_macvtap() { # name
    if [ -d "/sys/class/net/$1/macvtap" ]; then ip link delete dev "$1"; fi
}
"""

_Interfaces = Sequence[Mapping[str, Any]]


def tap_up(name: str, taps: _Interfaces, flags: Sequence[str], account: Account) -> str:
    """Makes the tap devices anew and brings them up."""
    script = header(f"Makes the tap interfaces of MicroVM {name}.") + MAKE_TAP + "\n"
    return script + "".join(_call("make_tap", tap["id"], account.user, tap["bridge"] or "", *flags) for tap in taps)


def tap_down(name: str, taps: _Interfaces, account: Account) -> str:
    """Takes the tap devices away."""
    script = header(f"Removes the tap interfaces of MicroVM {name}.") + REMOVE_TAP + "\n"
    return script + "".join(_call("remove_tap", tap["id"], account.user) for tap in taps)


def macvtap_up(name: str, macvtaps: _Interfaces, account: Account) -> str:
    """Makes the macvtap devices anew, for the hypervisor's user."""
    script = header(f"Makes the macvtap interfaces of MicroVM {name}.") + MAKE_MACVTAP + "\n"
    for one in macvtaps:
        place = one["macvtap"]
        script += _call(
            "make_macvtap", one["id"], account.user, account.group, place["link"], one["mac"], place["mode"]
        )
    return script


def macvtap_down(name: str, macvtaps: _Interfaces) -> str:
    """Takes the macvtap devices away."""
    script = header(f"Removes the macvtap interfaces of MicroVM {name}.") + REMOVE_MACVTAP + "\n"
    return script + "".join(_call("remove_macvtap", one["id"]) for one in macvtaps)


def _call(*words: str) -> str:
    return f"{shlex.join(words)}\n"
