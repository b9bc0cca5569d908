# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator should know of the networks of a host after a run, or before it in check mode. Pure."""

from __future__ import annotations

from typing import Iterator

from ..resources.networks.lan_plan import two_runs
from ..resources.networks.observe_names import NO_NAME_SERVER
from .network_users import former_network_warnings
from .networks import NetworksResult


def network_warnings(outcome: NetworksResult) -> Iterator[str]:
    """Yield what an operator should know of a result, each with what to do."""
    yield from former_network_warnings(outcome["former"], outcome["renamed"], outcome["kept"])
    for network, guests in outcome["readdressed"].items():
        yield (
            f"network {network} gets another address while MicroVMs run on it ({', '.join(guests)}), whose guests have "
            "their old addresses until they are started again. Role vms restarts those whose declaration changes; "
            "restart the others, such as those with DHCP (microvm restart NAME)"
        )
    for network, link in outcome["down"].items():
        yield (
            f"the interface {link} is down, so MicroVMs on network {network} reach nobody and are not started; "
            f"configure the host to bring it up (now: ip link set {link} up)"
        )
    for network, uplinks in outcome["missing_uplinks"].items():
        yield (
            f"the host has no interface {', '.join(uplinks)}, which network {network} names in uplinks; nothing passes "
            "there until it comes, so correct the name, or bring the interface up"
        )
    for network, link in outcome["missing_links"].items():
        yield (
            f"this host has no interface {link} any more, which is the link of network {network}: its guests reach "
            "nobody by it until the interface is back, and those of mode macvtap not before their MicroVMs are started "
            "again after that (microvm restart NAME). The network stays as it is. If the interface has got another "
            f"name, or is gone for good, {two_runs(network)}, on a link that the host has"
        )
    for network in outcome["unserved"]:
        yield (
            f"a run refuses dns_names of network {network}, unless role host installs dnsmasq in the same run: "
            f"{NO_NAME_SERVER}"
        )
    for network in outcome["waiting"]:
        yield (
            f"network {network} was changed by an earlier run, which nobody has confirmed yet; it is taken back unless "
            "a run with confirm comes in time"
        )
    if outcome["returned"] and not outcome["unconfirmed"]:
        yield "the last change of this host's own connection was taken back, since nobody confirmed it in time"
    if outcome["still_forwarding"]:
        yield f"packets are still forwarded (net.ipv4.ip_forward), since {outcome['still_forwarding']}"
    yield from outcome["hindrances"]
    yield from outcome["link_rules"]
    yield from outcome["unread_leases"]
