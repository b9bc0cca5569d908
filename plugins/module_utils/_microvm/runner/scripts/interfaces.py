# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``tap-up``, ``tap-down``, ``macvtap-up``, ``macvtap-down``: run as root before and after the hypervisor."""

from __future__ import annotations

import shlex
from typing import Any, Mapping, Sequence

from ...declaration.accounts import Account
from .shell import header

_TAP_UP = """
if [ -e /sys/class/net/{name} ]; then
    # One that was left over may have other flags, which cannot be changed.
    if [ "$(cat /sys/class/net/{name}/owner 2>/dev/null)" != "$(id -u {user})" ]; then
        echo {foreign} >&2
        exit 1
    fi
    if [ "$(cat /sys/class/net/{name}/carrier 2>/dev/null)" = 1 ]; then
        echo {used} >&2
        exit 1
    fi
    ip link delete dev {name}
fi
ip tuntap add name {name} mode tap user {user} {flags}
{master}ip link set dev {name} up
"""

# At a start of the host, the one who makes bridges may just be at it.
_AWAIT_BRIDGE = """
waited=0
while [ ! -e /sys/class/net/{bridge} ] && [ "$waited" -lt 50 ]; do
    sleep 0.2
    waited=$((waited + 1))
done
"""

_TAP_DOWN = """
if [ "$(cat /sys/class/net/{name}/owner 2>/dev/null)" = "$(id -u {user})" ]; then ip link delete dev {name}; fi
"""

# Multicast reaches a macvtap only with allmulticast. The host itself shall have no address on it.
_MACVTAP_UP = """
if [ -e /sys/class/net/{name} ]; then
    if [ ! -d /sys/class/net/{name}/macvtap ]; then
        echo {foreign} >&2
        exit 1
    fi
    ip link delete dev {name}
fi
ip link add link {link} name {name} address {mac} type macvtap mode {mode}
ip link set dev {name} allmulticast on
if [ -w /proc/sys/net/ipv6/conf/{name}/disable_ipv6 ]; then echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6; fi
ip link set dev {name} up
index=$(cat /sys/class/net/{name}/ifindex)
# udev makes the device.
waited=0
while [ ! -e "/dev/tap$index" ] && [ "$waited" -lt 50 ]; do
    sleep 0.1
    waited=$((waited + 1))
done
chown {user}:{group} "/dev/tap$index"
chmod 0600 "/dev/tap$index"
"""

_MACVTAP_DOWN = """
if [ -d /sys/class/net/{name}/macvtap ]; then ip link delete dev {name}; fi
"""

_Interfaces = Sequence[Mapping[str, Any]]


def tap_up(name: str, taps: _Interfaces, flags: Sequence[str], account: Account) -> str:
    """Makes the tap devices anew and brings them up."""
    script = header(f"Makes the tap interfaces of MicroVM {name}.")
    for bridge in sorted({tap["bridge"] for tap in taps if tap["bridge"]}):
        script += _AWAIT_BRIDGE.format(bridge=shlex.quote(bridge))
    for tap in taps:
        quoted = shlex.quote(tap["id"])
        bridge = tap["bridge"]
        master = f"ip link set dev {quoted} master {shlex.quote(bridge)}\n" if bridge else ""
        foreign = shlex.quote(f"{tap['id']} exists and is not a tap of the user {account.user}; declare another id")
        used = shlex.quote(f"{tap['id']} is in use by another MicroVM; declare another id")
        script += _TAP_UP.format(
            name=quoted, user=account.user, flags=" ".join(flags), master=master, foreign=foreign, used=used
        )
    return script


def tap_down(name: str, taps: _Interfaces, account: Account) -> str:
    """Takes the tap devices away."""
    script = header(f"Removes the tap interfaces of MicroVM {name}.")
    return script + "".join(_TAP_DOWN.format(name=shlex.quote(tap["id"]), user=account.user) for tap in taps)


def macvtap_up(name: str, macvtaps: _Interfaces, account: Account) -> str:
    """Makes the macvtap devices anew, for the hypervisor's user."""
    script = header(f"Makes the macvtap interfaces of MicroVM {name}.")
    for one in macvtaps:
        foreign = shlex.quote(f"{one['id']} exists and is not a macvtap; declare another id")
        place = {"link": shlex.quote(one["macvtap"]["link"]), "mode": one["macvtap"]["mode"]}
        own = {"name": shlex.quote(one["id"]), "mac": one["mac"], "foreign": foreign}
        script += _MACVTAP_UP.format(**own, **place, user=account.user, group=account.group)
    return script


def macvtap_down(name: str, macvtaps: _Interfaces) -> str:
    """Takes the macvtap devices away."""
    script = header(f"Removes the macvtap interfaces of MicroVM {name}.")
    return script + "".join(_MACVTAP_DOWN.format(name=shlex.quote(one["id"])) for one in macvtaps)
