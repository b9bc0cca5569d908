# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan which devices a host hands over: from those that it has and the declared ones to steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

from ...declaration.names import DEVICE_RULES, DEVICES_UNIT, VFIO_DRIVER
from ...declaration.types import HostDevice, HostDeviceFunction
from ...declaration.vfio.options import KEPT, STOPPED
from ...host.pci import FunctionSettings, PciDevice
from ...schema.checks import pci_address
from ..steps import BaseAction, Cost, Phase, Step, in_order
from .device_list import DeviceRecord, Taken, function_words
from .files import UNIT, device_files
from .refusals import refuse_impossible_devices, refuse_interruption
from .rules import named_in_rules
from .state import Observed


class Action(BaseAction):
    """Actions on devices, in the order in which they are carried out."""

    DISABLE = "systemctl disable"
    # Before the record forgets them.
    RELEASE = ("hand back", Phase.ALONE, Cost.NOTHING)
    REMOVE_FUNCTIONS = "remove the virtual functions of"
    REVOKE = "leave to root alone"
    WRITE = "write"
    REMOVE = "remove"
    RELOAD_UDEV = "read again"
    RELOAD_SYSTEMD = "systemctl daemon-reload for"
    ENABLE = "systemctl enable"
    MAKE_FUNCTIONS = "make virtual functions:"
    SET_FUNCTION = "set virtual function"
    RAISE = "bring up the interface of"
    TAKE = "hand over"
    PERMIT = "apply to existing devices"


@dataclass(frozen=True)
class Plan:
    """Steps for the devices of a host."""

    steps: Tuple[Step[Action], ...] = ()
    record: DeviceRecord = field(default_factory=DeviceRecord)
    """Devices that are handed over when it is done."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Content of all files when it is done, by path."""

    def targets(self, *actions: Action) -> List[str]:
        """Return the targets of the steps of some actions."""
        return [step.target for step in self.steps if step.action in actions]


def plan(observed: Observed, devices: Sequence[HostDevice], path: str = "devices") -> Plan:
    """Return the plan. Raises DeclarationError, with a path below ``path``, for what cannot or must not be done."""
    planned = draft_devices(observed, devices, path)
    refuse_interruption(observed, devices, planned.targets(Action.RELEASE), remade(observed, planned), path)
    return planned


def draft_devices(observed: Observed, devices: Sequence[HostDevice], path: str = "devices") -> Plan:
    """Return the plan, whoever uses the devices. Raises DeclarationError for what cannot be done."""
    refuse_impossible_devices(observed, devices, path)
    record = wanted_record(observed, devices)
    contents = device_files(observed, record, devices)
    releases = [*_releases(observed, record)]
    steps = [
        *releases,
        *_revocations(observed, contents, [step.target for step in releases]),
        *_functions(observed, devices, record),
        *_takings(observed, record),
        *_file_steps(observed, contents),
    ]
    return Plan(in_order(steps), record, contents)


def remade(observed: Observed, planned: Plan) -> List[str]:
    """Return the cards whose virtual functions end, by their addresses: others take their place, or none."""
    cards = {*planned.targets(Action.REMOVE_FUNCTIONS), *map(_first, planned.targets(Action.MAKE_FUNCTIONS))}
    return sorted(card for card in cards if card in observed.devices and observed.devices[card].functions)


def _first(target: str) -> str:
    return target.split()[0]


def wanted_record(observed: Observed, devices: Sequence[HostDevice]) -> DeviceRecord:
    """Return what is handed over when all is done."""
    functions: Dict[str, int] = {}
    taken: Dict[str, Taken] = {}
    settings: Dict[Tuple[str, int], Tuple[str, ...]] = {}
    cards: Dict[str, str] = {}
    for address, device in _present(devices):
        found = observed.devices[address]
        if device["functions"] is None:
            taken[address] = Taken(device["driver"] or _former(observed, address), device["restore"], found.identity)
            siblings = observed.siblings(found) if device["whole_group"] else []
            for sibling in siblings:
                taken.setdefault(sibling.address, Taken(_former(observed, sibling.address), identity=sibling.identity))
            continue
        if device["functions"]:
            functions[address] = len(device["functions"])
            cards[address] = found.identity
        for number, function in enumerate(device["functions"]):
            taken[found.function_address(number)] = Taken(identity=found.function_identity)
            settings[address, number] = tuple(function_words(function))
    return DeviceRecord(functions, taken, settings, cards)


def _present(devices: Sequence[HostDevice]) -> Iterator[Tuple[str, HostDevice]]:
    """Yield the declared PCI devices by address, those last that are declared by themselves."""
    listed = [device for device in devices if device["state"] == "present" and device["address"] is not None]
    for device in sorted(listed, key=lambda device: not device["whole_group"]):
        yield str(device["address"]), device


def _former(observed: Observed, address: str) -> str:
    """Return the driver that a device had before it was taken."""
    if address in observed.record.taken:
        return observed.record.taken[address].driver
    driver = observed.devices[address].driver
    return "" if driver == VFIO_DRIVER else driver


def _releases(observed: Observed, record: DeviceRecord) -> Iterator[Step[Action]]:
    """Yield the devices that the host's drivers get back now, but for functions that end anyway."""
    ending = {
        function
        for card in observed.record.functions
        if record.functions.get(card) != observed.record.functions[card] and card in observed.devices
        for function in observed.devices[card].functions
    }
    for address in sorted(observed.record.taken):
        device = observed.devices.get(address)
        if device is None or address in ending or VFIO_DRIVER not in (device.driver, device.override):
            continue
        if observed.is_another(device):
            continue
        wanted, former = record.taken.get(address), observed.record.taken[address]
        if wanted is None or (wanted.restore == STOPPED and former.restore == KEPT and not _is_used(observed, device)):
            yield Step(Action.RELEASE, address)


def _is_used(observed: Observed, device: PciDevice) -> bool:
    """Return whether a process has a device, which the units of its MicroVM then hand back when that stops."""
    return device.group is not None and device.group in observed.users


def _revocations(observed: Observed, contents: Mapping[str, str], released: Sequence[str]) -> Iterator[Step[Action]]:
    """Yield the devices that no rule is for any more, whose nodes would stay those of their former users."""
    for target in sorted(named_in_rules(observed.files.get(DEVICE_RULES)) - named_in_rules(contents.get(DEVICE_RULES))):
        if pci_address(target) is not None:
            # It is one of USB.
            yield Step(Action.REVOKE, target)
        elif target in observed.devices:
            device = observed.devices[target]
            # The node is there as long as vfio-pci has a device of the group.
            others = [each for each in [device, *observed.siblings(device)] if each.address not in released]
            if VFIO_DRIVER in [each.driver for each in others]:
                yield Step(Action.REVOKE, target)


def _functions(observed: Observed, devices: Sequence[HostDevice], record: DeviceRecord) -> Iterator[Step[Action]]:
    for card in sorted(observed.record.functions):
        present = observed.devices.get(card, PciDevice(card))
        if card not in record.functions and present.functions and not observed.is_another(present):
            yield Step(Action.REMOVE_FUNCTIONS, card)
    for address, device in _present(devices):
        card_device, wanted = observed.devices[address], device["functions"]
        if not wanted:
            continue
        is_made = len(wanted) != len(card_device.functions)
        if is_made:
            yield Step(Action.MAKE_FUNCTIONS, f"{address} {len(wanted)}")
        if address in observed.lowered:
            yield Step(Action.RAISE, address)
        before = [] if is_made else list(observed.functions.get(address, []))
        for number, function in enumerate(wanted):
            settings = before[number] if number < len(before) else FunctionSettings()
            words = changed_words(settings, function)
            if words:
                yield Step(Action.SET_FUNCTION, " ".join([address, str(number), *words]))


def changed_words(settings: FunctionSettings, function: HostDeviceFunction) -> List[str]:
    """Return the words of ip-link(8) by which a virtual function gets its declared settings."""
    words: List[str] = []
    if function["mac"] not in (None, settings.mac):
        words += ["mac", str(function["mac"])]
    if function["vlan"] != settings.vlan:
        words += ["vlan", str(function["vlan"])]
    for word, value, before, default in (
        ("trust", function["trust"], settings.trust, False),
        ("spoofchk", function["spoof_check"], settings.spoof_check, True),
    ):
        if value != (default if before is None else before):
            words += [word, "on" if value else "off"]
    return words


def _takings(observed: Observed, record: DeviceRecord) -> Iterator[Step[Action]]:
    made = {card for card, number in record.functions.items() if number != len(observed.devices[card].functions)}
    new = {observed.devices[card].function_address(number) for card in made for number in range(record.functions[card])}
    for address, taken in sorted(record.taken.items()):
        device = observed.devices.get(address, PciDevice(address))
        if taken.restore == KEPT and (address in new or device.driver != VFIO_DRIVER):
            yield Step(Action.TAKE, address)


def _file_steps(observed: Observed, contents: Mapping[str, str]) -> Iterator[Step[Action]]:
    changed = [path for path, content in contents.items() if observed.files.get(path) != content]
    removed = [path for path in observed.files if path not in contents]
    for path in changed:
        yield Step(Action.WRITE, path)
    for path in removed:
        yield Step(Action.REMOVE, path)
    if DEVICE_RULES in (*changed, *removed):
        yield Step(Action.RELOAD_UDEV, "the rules of udev")
        yield Step(Action.PERMIT, "the rules of udev")
    if UNIT in removed:
        yield Step(Action.DISABLE, DEVICES_UNIT)
    if UNIT in (*changed, *removed):
        yield Step(Action.RELOAD_SYSTEMD, DEVICES_UNIT)
    if UNIT in contents and not observed.unit.enabled:
        yield Step(Action.ENABLE, DEVICES_UNIT)
