# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the MicroVMs that are on networks of a host which are no longer declared."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence

from ..declaration.types import Network, PackagedVm
from ..host.places import Places
from ..host.settings import directories
from ..resources.networks.configuration import recorded_networks
from ..resources.networks.routed_taps import running_guests
from ..resources.networks.state import Observed
from ..resources.vms.observe import recorded_beside


def former_networks(observed: Observed, networks: Sequence[Network]) -> Dict[str, List[str]]:
    """Return the networks of a host that are no longer declared, each with the MicroVMs that are on it.

    These are those whose installed declarations name it, and those that run on it. Of a guest whose package does not
    say its MicroVM, this is the name of its tap.
    """
    declared = {network["name"] for network in networks}
    former = [network for network in recorded_networks(observed.files) if network["name"] not in declared]
    installed = recorded_beside(Places(directories()["state_dir"]), []) if former else []
    return {network["name"]: _users(observed, network, installed) for network in former}


def readdressed_networks(observed: Observed, networks: Sequence[Network]) -> Dict[str, List[str]]:
    """Return the networks whose bridge gets another address while MicroVMs run on it, each with those.

    Of a guest whose package does not say its MicroVM, this is the name of its tap.
    """
    former = {network["name"]: network for network in recorded_networks(observed.files)}
    changed = (former[each["name"]] for each in networks if each["name"] in former and _has_moved(each, former))
    running = {network["name"]: sorted(running_guests(observed, network)) for network in changed}
    return {name: guests for name, guests in running.items() if guests}


def _has_moved(network: Network, former: Mapping[str, Network]) -> bool:
    return network["address"] != former[network["name"]]["address"]


def _users(observed: Observed, network: Network, installed: Sequence[PackagedVm]) -> List[str]:
    named = {vm["name"] for vm in installed if any(each["bridge"] == network["name"] for each in vm["interfaces"])}
    taps = {each["id"]: vm["name"] for vm in installed for each in vm["interfaces"]}
    running = (taps.get(guest, guest) for guest in running_guests(observed, network))
    return sorted({*named, *running})


def former_network_warnings(
    former: Mapping[str, Sequence[str]], renamed: Mapping[str, str], remaining: Sequence[str]
) -> List[str]:
    """Return what to do about networks with MicroVMs; ``remaining`` stay, since MicroVMs run on them."""
    return [
        f"network {network} is no longer declared, but {_effect(users, network in remaining)}; "
        f"{_remedy(renamed.get(network))}{', and run this again' if network in remaining else ''}. "
        "Where microvm_vms has them elsewhere already, a run of playbook site with all roles does the rest itself"
        for network, users in sorted(former.items())
        if users or network in remaining
    ]


def _effect(users: Sequence[str], stays: bool) -> str:
    names = f" ({', '.join(users)})" if users else ""
    if stays:
        return f"stays while MicroVMs run on it{names}"
    return f"interfaces of MicroVMs are on it{names}, which do not start without it"


def _remedy(new_name: Optional[str]) -> str:
    if new_name:
        return f"its name is {new_name} now, so write bridge: {new_name} into their interfaces, or keep the old name"
    return "give their interfaces another network, or declare it again, or remove the MicroVMs"
