# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring the devices that a host hands over into the declared state."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Dict, List, Optional, Sequence, TypedDict

from ..declaration.names import DEVICE_RULES, VFIO_DRIVER
from ..declaration.types import HostDevice
from ..declaration.vfio.parse import parse_devices, usb_identity
from ..host.commands import HostError
from ..host.device_users import vfio_node
from ..host.locks import locked
from ..host.pci import PciDevice, read_pci_devices
from ..resources.diffs import Diff, difference, differences
from ..resources.executor import execute
from ..resources.vfio.handlers import HANDLERS, DevicesJob
from ..resources.vfio.observe import observe_devices
from ..resources.vfio.plan import Action, Plan, plan
from ..resources.vfio.rules import vms_in_rules
from ..resources.vfio.state import Observed

LOCK = "@devices"
"""Name of the lock; no MicroVM has such a name."""


class FunctionResult(TypedDict):
    """A virtual function of a card."""

    address: str
    driver: Optional[str]
    iommu_group: Optional[int]
    node: Optional[str]


class DeviceResult(TypedDict):
    """Outcome for one device."""

    address: Optional[str]
    usb: Optional[str]
    driver: Optional[str]
    iommu_group: Optional[int]
    group_devices: List[str]
    node: Optional[str]
    functions: List[FunctionResult]


class DevicesResult(TypedDict):
    """Outcome of a run over the devices of a host."""

    changed: bool
    actions: List[str]
    addresses: List[str]
    vms: Dict[str, str]
    devices: List[DeviceResult]
    diff: List[Diff]


def reconcile_devices(raw: Sequence[object], state_directory: str, check_mode: bool) -> DevicesResult:
    """Bring devices into the declared state, or say what that would mean.

    Raises DeclarationError, before anything has changed, and HostError.
    """
    devices = parse_devices(raw)
    with contextlib.nullcontext() if check_mode else locked([LOCK]):
        observed = observe_devices(devices, state_directory)
        planned = plan(observed, devices)
        present = _predicted(observed, planned)
        if not check_mode:
            job = DevicesJob(planned, observed.record)
            error = execute([job], HANDLERS)[job.name].error
            if error is not None:
                raise HostError(error)
            present = read_pci_devices() if planned.steps else dict(observed.devices)
    return {
        "changed": bool(planned.steps),
        "actions": [str(step) for step in planned.steps],
        "addresses": sorted(planned.record.taken),
        "vms": vms_in_rules(planned.files.get(DEVICE_RULES)),
        "devices": [_result(replace(observed, devices=present), device) for device in devices],
        "diff": _diff(observed, planned),
    }


def _predicted(observed: Observed, planned: Plan) -> Dict[str, PciDevice]:
    """Return the devices as they are when a plan is done; groups of functions are not known before they are made."""
    present = dict(observed.devices)
    for address in planned.targets(Action.RELEASE):
        present[address] = replace(present[address], driver=observed.record.taken[address].driver)
    for card, number in planned.record.functions.items():
        functions = tuple(present[card].function_address(index) for index in range(number))
        present[card] = replace(present[card], functions=functions)
    for card in planned.targets(Action.REMOVE_FUNCTIONS):
        present[card] = replace(present[card], functions=())
    for address in planned.targets(Action.TAKE):
        present[address] = replace(present.get(address, PciDevice(address)), driver=VFIO_DRIVER)
    return present


def _result(observed: Observed, device: HostDevice) -> DeviceResult:
    usb = None if device["usb"] is None else usb_identity(device["usb"])
    found = observed.devices.get(device["address"] or "", PciDevice(""))
    siblings = observed.siblings(found) if found.group is not None else []
    functions = [observed.devices.get(address, PciDevice(address)) for address in found.functions]
    return {
        "address": device["address"],
        "usb": usb,
        "driver": found.driver or None,
        "iommu_group": found.group,
        "group_devices": [other.address for other in siblings],
        "node": _node(found),
        "functions": [
            {
                "address": function.address,
                "driver": function.driver or None,
                "iommu_group": function.group,
                "node": _node(function),
            }
            for function in functions
        ],
    }


def _node(device: PciDevice) -> Optional[str]:
    """Return what a process opens to have a device; ``None`` for one that is with the host."""
    return None if device.group is None or device.driver != VFIO_DRIVER else vfio_node(device.group)


def _diff(observed: Observed, planned: Plan) -> List[Diff]:
    """Return every file that changes, and the other steps."""
    actions = (Action.WRITE, Action.REMOVE)
    of_files = differences(planned.targets(*actions), observed.files, planned.files)
    remaining = [step for step in planned.steps if step.action not in actions]
    return [*of_files, *([difference("steps", "", "".join(f"{step}\n" for step in remaining))] if remaining else [])]
