# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse devices that a host cannot, or must not, hand over or take back. Pure."""

from __future__ import annotations

from typing import Dict, Iterator, List, Sequence, Set, Tuple

from ...declaration.names import VFIO_DRIVER
from ...declaration.types import HostDevice
from ...host.pci import PciDevice
from ...schema.errors import DeclarationError
from .rules import DeviceUser, users_by_address
from .state import Observed

_IOMMU = "switch the IOMMU on in the firmware and on the kernel's command line"


def refuse_impossible_devices(observed: Observed, devices: Sequence[HostDevice], path: str) -> None:
    """Raise DeclarationError, with a path below ``path``, for the first device that cannot be handed over."""
    declared, given = _declared(devices), _given(observed, devices)
    for index, device in enumerate(devices):
        place = f"{path}[{index}]"
        if device["state"] == "absent":
            continue
        _refuse_missing_owners(observed, device, place)
        if device["address"] is None:
            continue
        found = observed.devices.get(device["address"])
        if found is None:
            raise DeclarationError(
                f"{place}.address",
                f"there is no PCI device {device['address']} on this host; correct the address (lspci -D shows all)",
            )
        _refuse_another_device(observed, found, place)
        if device["functions"] is None:
            _check_taken(observed, device, found, given, place)
        else:
            _check_card(observed, found, len(device["functions"]), declared, place)
            _refuse_used_functions(observed, found, place)
    _refuse_two_users(observed, devices, path)


def _declared(devices: Sequence[HostDevice]) -> Dict[str, int]:
    """Return the positions of the PCI devices that are declared, by address."""
    return {
        device["address"]: index
        for index, device in enumerate(devices)
        if device["state"] == "present" and device["address"] is not None
    }


def _given(observed: Observed, devices: Sequence[HostDevice]) -> Set[str]:
    """Return the addresses of what is handed over: devices, and functions of cards, which stay themselves."""
    given: Set[str] = set()
    for address, index in _declared(devices).items():
        functions = devices[index]["functions"]
        card = observed.devices.get(address, PciDevice(address))
        given.update([address] if functions is None else map(card.function_address, range(len(functions))))
    return given


def _refuse_missing_owners(observed: Observed, device: HostDevice, path: str) -> None:
    owners = [(path, device["owner"])]
    owners += [
        (f"{path}.functions[{number}]", function["owner"]) for number, function in enumerate(device["functions"] or ())
    ]
    for place, owner in owners:
        if owner is not None and not owner.isdigit() and owner not in observed.accounts:
            raise DeclarationError(
                f"{place}.owner", f"there is no user {owner!r} on this host; create it first, or correct the name"
            )


def _refuse_another_device(observed: Observed, found: PciDevice, path: str) -> None:
    """Refuse what has taken the place of a device: addresses change with the cards of a host."""
    if observed.is_another(found):
        former = observed.record.identity(found.address)
        raise DeclarationError(
            f"{path}.address",
            f"{found.address} was the device {former} when it was handed over, and is {found.identity} now; correct "
            "the address (lspci -Dn shows all), or run once without it, and hand over this one then",
        )


def _check_taken(observed: Observed, device: HostDevice, found: PciDevice, given: Set[str], path: str) -> None:
    key = f"{path}.address"
    if found.is_bridge:
        raise DeclarationError(key, f"{found.address} is a bridge, which no guest can have; name a device behind it")
    if found.group is None:
        raise DeclarationError(key, f"{found.address} is in no IOMMU group; {_IOMMU}")
    if found.functions and found.address not in observed.record.functions:
        raise DeclarationError(
            key,
            f"{found.address} has virtual functions, which would end; remove them first "
            f"(echo 0 > /sys/bus/pci/devices/{found.address}/sriov_numvfs)",
        )
    siblings = [] if device["whole_group"] else observed.siblings(found)
    others = [other for other in siblings if other.is_with_host and other.address not in given]
    if others:
        shown = ", ".join(f"{other.address} (driver {other.driver})" for other in others)
        raise DeclarationError(
            key,
            f"{found.address} shares its IOMMU group {found.group} with {shown}, which the host would lose too; "
            "declare them as well, or set whole_group",
        )
    for each in [found, *(observed.siblings(found) if device["whole_group"] else [])]:
        if each.address in observed.uses:
            raise DeclarationError(
                key, f"the host needs {each.address}: {observed.uses[each.address]}; use another device"
            )


def _check_card(observed: Observed, card: PciDevice, number: int, declared: Dict[str, int], path: str) -> None:
    key = f"{path}.functions"
    if not card.most_functions:
        raise DeclarationError(
            key, f"{card.address} can have no virtual functions (SR-IOV); see its manual and the firmware's settings"
        )
    if number > card.most_functions:
        raise DeclarationError(key, f"{card.address} can have {card.most_functions} virtual functions, not {number}")
    if card.group is None:
        raise DeclarationError(f"{path}.address", f"{card.address} is in no IOMMU group; {_IOMMU}")
    if number and card.driver in ("", VFIO_DRIVER):
        raise DeclarationError(
            f"{path}.address",
            f"{card.address} has {f'the driver {card.driver}' if card.driver else 'no driver'}, and its own one makes "
            "its virtual functions; give it back to that first",
        )
    if number and not card.interfaces:
        raise DeclarationError(
            f"{path}.address", f"{card.address} has no network interface, by which functions are set"
        )
    if card.functions and card.address not in observed.record.functions and number != len(card.functions):
        raise DeclarationError(
            key,
            f"{card.address} has {len(card.functions)} virtual functions that somebody else has made; declare as many, "
            f"or remove them (echo 0 > /sys/bus/pci/devices/{card.address}/sriov_numvfs)",
        )
    for index in range(number):
        address = card.function_address(index)
        if address in declared:
            raise DeclarationError(f"{key}[{index}]", f"is {address}, which is declared by its address too; remove one")


def _refuse_used_functions(observed: Observed, card: PciDevice, path: str) -> None:
    """Refuse functions that somebody else has made, by which the host itself is reached."""
    for number, address in enumerate(card.functions):
        if address in observed.uses:
            raise DeclarationError(
                f"{path}.functions",
                f"the host needs {address}, the existing function {number}: {observed.uses[address]}; use another card",
            )


def _refuse_two_users(observed: Observed, devices: Sequence[HostDevice], path: str) -> None:
    """Refuse a group with two users: whoever opens it has all of its devices."""
    users: Dict[int, Tuple[str, DeviceUser]] = {}
    for place, address, user in users_by_address(observed, devices):
        found = observed.devices.get(address)
        if found is None or found.group is None:
            continue
        first, other = users.setdefault(found.group, (address, user))
        if other != user:
            raise DeclarationError(
                f"{path}{place}.{'vm' if user.vm else 'owner'}",
                f"{address} and {first} are in the IOMMU group {found.group}, which one user has as a whole; name the "
                "same for both",
            )


def refuse_interruption(
    observed: Observed, devices: Sequence[HostDevice], released: Sequence[str], remade: Sequence[str], path: str
) -> None:
    """Refuse to take devices from processes that have them open, which would wait for their ends."""
    positions = {device["address"]: f"{path}[{index}]" for index, device in enumerate(devices)}
    for address, owner in [*((each, each) for each in released), *_functions_of(observed, remade)]:
        group = observed.devices[address].group
        user = None if group is None else observed.users.get(group)
        if user is not None:
            raise DeclarationError(
                positions.get(owner, path),
                f"{address} cannot be handed back, because {user} uses it; stop that first, such as by the MicroVM's "
                "unit",
            )


def _functions_of(observed: Observed, cards: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """Yield the virtual functions of cards, with the card of each."""
    for card in cards:
        present: List[str] = [each for each in observed.devices[card].functions if each in observed.devices]
        yield from ((address, card) for address in present)
