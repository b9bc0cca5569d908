# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the devices of a host, and at who uses those that would be taken or handed back."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, FrozenSet, Sequence

from ...declaration.names import DEVICE_LIST, DEVICES_UNIT, VFIO_DRIVER
from ...declaration.types import HostDevice
from ...host import accounts, files, systemd
from ...host.device_users import find_node_users, own_vfio_node, vfio_node
from ...host.pci import PciDevice, host_use, is_interface_up, read_functions, read_pci_devices
from .device_list import parse_list
from .files import OWN_FILES
from .plan import Action, draft_devices, remade
from .state import Observed


def observe_devices(devices: Sequence[HostDevice], state_directory: str, path: str = "devices") -> Observed:
    """Return the state of the host's devices. Raises HostError, and DeclarationError for what is impossible."""
    contents = {file: files.read_text(file) for file in OWN_FILES}
    record = parse_list(contents[DEVICE_LIST])
    present = read_pci_devices()
    observed = Observed(
        devices=present,
        record=record,
        files={file: content for file, content in contents.items() if content is not None},
        accounts=_accounts(devices),
        unit=systemd.show([DEVICES_UNIT])[DEVICES_UNIT],
        state_directory=state_directory,
    )
    cards = [
        present[str(device["address"])] for device in devices if device["functions"] and device["address"] in present
    ]
    observed = replace(
        observed,
        functions={
            card.address: read_functions(card.interfaces[0]) for card in cards if card.functions and card.interfaces
        },
        lowered=frozenset(
            card.address for card in cards if card.interfaces and not is_interface_up(card.interfaces[0])
        ),
        uses=_uses(observed, devices),
    )
    return replace(observed, users=_users(observed, devices, path))


def _accounts(devices: Sequence[HostDevice]) -> FrozenSet[str]:
    owners = [device["owner"] for device in devices]
    owners += [function["owner"] for device in devices for function in device["functions"] or ()]
    return frozenset(owner for owner in owners if owner is not None and accounts.exists(owner))


def _uses(observed: Observed, devices: Sequence[HostDevice]) -> Dict[str, str]:
    """Return what the host needs devices for that are about to be taken, with the others of their groups."""
    present = [device for device in devices if device["state"] == "present" and device["address"] in observed.devices]
    concerned: Dict[str, PciDevice] = {}
    for device in present:
        found = observed.devices[str(device["address"])]
        if device["functions"] is None:
            listed = [found, *observed.siblings(found)]
        else:
            # Somebody else may have made them.
            listed = [observed.devices[address] for address in found.functions if address in observed.devices]
        concerned.update((each.address, each) for each in listed)
    uses = {address: host_use(device) for address, device in concerned.items() if device.driver != VFIO_DRIVER}
    return {address: use for address, use in uses.items() if use is not None}


def _users(observed: Observed, devices: Sequence[HostDevice], path: str) -> Dict[int, str]:
    """Return the processes that have devices open that are about to be handed back, by the numbers of their groups."""
    planned = draft_devices(observed, devices, path)
    addresses = planned.targets(Action.RELEASE)
    for card in remade(observed, planned):
        addresses += observed.devices[card].functions
    released = [observed.devices[address] for address in addresses if address in observed.devices]
    nodes = {vfio_node(device.group): device.group for device in released if device.group is not None}
    for device in released:
        for each in [device, *observed.siblings(device)]:
            if each.group is not None and each.own_node is not None:
                nodes[own_vfio_node(each.own_node)] = each.group
    return {nodes[node]: user for node, user in find_node_users(nodes).items()}
