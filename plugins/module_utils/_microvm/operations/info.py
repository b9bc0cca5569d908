# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that is known of the MicroVMs of a host, for people and for templates."""

from __future__ import annotations

import ipaddress
import os
import stat
from functools import lru_cache
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, TypedDict, TypeVar

from ..declaration.accounts import SHARED, account
from ..declaration.names import BOOTED_LINK, CURRENT_LINK, OLD_LINK, unit_name, unit_names
from ..declaration.types import PackagedVm
from ..declaration.vms.claims import needs_interface
from ..host import dhcp, files, systemd
from ..host.commands import HostError
from ..host.lost_shares import lost_shares
from ..host.places import Places
from ..host.records import Record, is_pending
from ..resources.vms.state import LINKS
from ..runner.package import CONTEXT_IDENTIFIER_FILE, HYPERVISOR_FILE
from ..runner.units import translates
from ..schema import checks
from .condition import condition

Value = TypeVar("Value")

Behind = Callable[[str], Mapping[str, Sequence[str]]]
"""Function from a bridge to the IP addresses behind it, by MAC address."""


class UnitInformation(TypedDict):
    """State of a MicroVM's unit."""

    state: str
    failed_helpers: List[str]
    sub_state: str
    result: str
    autostart: bool
    restarts: int
    process: Optional[int]
    memory: Optional[int]
    active_since: Optional[str]


class GenerationInformation(TypedDict):
    """A generation of a MicroVM."""

    number: int
    package: str
    bad: bool
    current: bool
    booted: bool
    installed: bool


class GenerationsInformation(TypedDict):
    """Generations of a MicroVM, and the numbers of those that count."""

    generation: Optional[int]
    booted_generation: Optional[int]
    generations: List[GenerationInformation]
    bad_generations: List[int]


class VolumeInformation(TypedDict):
    """Image that a MicroVM's starts make."""

    image: str
    path: str
    size: Optional[int]


class Information(UnitInformation, GenerationsInformation):
    """Facts of a MicroVM on the host."""

    name: str
    tags: List[str]
    condition: str
    reasons: List[str]
    foreign: bool
    current: Optional[str]
    booted: Optional[str]
    old: Optional[str]
    switched: Optional[str]
    restart_pending: bool
    refused_package: Optional[str]
    unit: str
    state_directory: str
    volumes: List[VolumeInformation]
    hypervisor: Optional[str]
    accelerator: Optional[str]
    guest_memory: Optional[int]
    processors: Optional[int]
    user: str
    addresses: List[str]
    dhcp_addresses: List[str]
    vsock_cid: Optional[int]
    declaration: Optional[PackagedVm]
    error: Optional[str]


class InformationResult(TypedDict):
    """Outcome of microvm_info."""

    changed: bool
    condition: str
    vms: List[Information]


def names(places: Places) -> List[str]:
    """MicroVMs of the state directory: those that are recorded, and whatever else has a ``current`` there.

    Where a record is damaged, nobody knows the state directory, so the MicroVM is shown wherever somebody looks. Raises
    HostError where whoever asks may not look.
    """
    usable, damaged = places.records.read_all()
    ours = [
        record.name
        for record in usable.values()
        if record.generations and record.state_directory == places.state_directory
    ]
    return sorted({*ours, *damaged, *_with_current(places)})


def _with_current(places: Places) -> List[str]:
    try:
        entries = [entry for entry in os.scandir(places.state_directory) if checks.name(entry.name) is None]
    except FileNotFoundError:
        return []
    directories = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in directories:
        check_access(places.state(name))
    return [name for name in directories if files.link_target(places.state(name, CURRENT_LINK)) is not None]


def inform(places: Places, wanted: Optional[Sequence[str]] = None) -> List[Information]:
    """Return an entry for each MicroVM, sorted by name; ``wanted`` are the names of interest, all by default.

    What the host does not have is left out. Raises HostError where whoever asks may not look.
    """
    selected = [name for name in names(places) if wanted is None or name in wanted]
    units = systemd.show([unit_name(name) for name in selected])
    failed = systemd.failed_units("microvm*@*.service") if selected else {}
    behind = lru_cache(maxsize=None)(dhcp.addresses_behind)
    return [_inform(name, places, units[unit_name(name)], _failed_helpers(name, failed), behind) for name in selected]


def _failed_helpers(name: str, failed: Mapping[str, systemd.Unit]) -> Dict[str, systemd.Unit]:
    return {helper: failed[helper] for helper in unit_names(name)[1:] if helper in failed}


def _inform(
    name: str, places: Places, unit: systemd.Unit, failed: Mapping[str, systemd.Unit], behind: Behind
) -> Information:
    # One that has failed before, and that the present start does not need, stays failed.
    failed = {} if unit.running else failed
    check_access(places.state(name))
    read = _Reader()
    record = read(lambda: places.records.read(name))
    is_foreign = record is None and not read.errors
    targets = {link: files.link_target(places.state(name, link)) for link in LINKS}
    links = {link: (places.store.owns(target) or target) if target else None for link, target in targets.items()}
    current = links[CURRENT_LINK] or ""
    declaration = read(lambda: places.declaration(current))
    hypervisor = read(lambda: places.store.read(current, HYPERVISOR_FILE)) or ""
    context_identifier = read(lambda: places.store.read(current, CONTEXT_IDENTIFIER_FILE)) or ""
    if record is not None and current and current in places.store.unusable([current], places.store.damaged()):
        read.errors.append(f"the package {current} is damaged; {places.store.way_out(current)}")
    is_waiting = unit.running and is_pending(record, unit.invocation, links[BOOTED_LINK], links[CURRENT_LINK])
    switched = record.switched_in(unit.invocation) if record is not None and unit.running else None
    state = condition(name, unit, failed, record, is_waiting, lost_shares(name, unit.invocation))
    return {
        "name": name,
        "tags": list(record.tags) if record is not None else [],
        "foreign": is_foreign,
        "condition": state.word,
        "reasons": state.reasons,
        **_of_unit(unit, failed),
        "current": links[CURRENT_LINK],
        "booted": links[BOOTED_LINK],
        "old": links[OLD_LINK],
        **_of_generations(record, places, links[CURRENT_LINK], links[BOOTED_LINK]),
        "switched": (switched.package or None) if switched and switched.package != links[BOOTED_LINK] else None,
        "restart_pending": is_waiting,
        "refused_package": record.refused if record is not None else None,
        "unit": unit_name(name),
        "state_directory": places.state(name),
        "volumes": _volumes(name, record, declaration, places),
        "hypervisor": hypervisor.strip() or None,
        "accelerator": read(lambda: _accelerator(places, current)) if declaration else None,
        "guest_memory": declaration["mem"] if declaration else None,
        "processors": declaration["vcpu"] if declaration else None,
        "user": (account(declaration) if declaration else SHARED).user,
        "addresses": addresses(declaration) if declaration else [],
        "dhcp_addresses": _dhcp_addresses(declaration, behind) if declaration and unit.running else [],
        "vsock_cid": _number(context_identifier),
        "declaration": declaration,
        "error": "\n".join(dict.fromkeys(read.errors)) or None,
    }


class _Reader:
    """Reads what is there, and collects what is wrong with the rest."""

    def __init__(self) -> None:
        self.errors: List[str] = []

    def __call__(self, read: Callable[[], Value]) -> Optional[Value]:
        """Return what ``read`` returns; ``None`` where that fails."""
        try:
            return read()
        except HostError as error:
            self.errors.append(str(error))
            return None


def check_access(directory: str) -> None:
    """Raises HostError where whoever asks may not look into a state directory."""
    if os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK):
        raise HostError(f"this user may not read {directory}; run the command as root")


def _of_unit(unit: systemd.Unit, failed: Iterable[str]) -> UnitInformation:
    helpers = list(failed)
    return {
        # systemd calls a unit inactive that was not started since another one has failed.
        "state": "failed" if helpers else unit.active_state,
        "failed_helpers": helpers,
        "sub_state": unit.sub_state,
        "result": unit.result,
        "autostart": unit.enabled,
        "restarts": int(unit.restarts),
        "process": int(unit.process) or None,
        "memory": _number(unit.memory),
        "active_since": unit.active_since if unit.active_state == "active" and unit.active_since else None,
    }


def _number(text: str) -> Optional[int]:
    """Return a number; ``None`` for what systemd prints where it does not count."""
    return int(text) if text.strip().isdigit() else None


def _of_generations(
    record: Optional[Record], places: Places, current: Optional[str], booted: Optional[str]
) -> GenerationsInformation:
    generations = record.generations if record else ()
    numbers = {generation.package: generation.number for generation in generations}
    return {
        "generation": numbers.get(current or ""),
        "booted_generation": numbers.get(booted or ""),
        "generations": [
            {
                "number": generation.number,
                "package": generation.package,
                "bad": generation.bad,
                "current": generation.package == current,
                "booted": generation.package == booted,
                "installed": os.path.isdir(places.store.path(generation.package)),
            }
            for generation in generations
        ],
        "bad_generations": [generation.number for generation in generations if generation.bad],
    }


def _volumes(
    name: str, record: Optional[Record], declaration: Optional[PackagedVm], places: Places
) -> List[VolumeInformation]:
    """Return the recorded volumes, which its starts make, and those that the declaration has besides."""
    declared = [volume["image"] for volume in declaration["volumes"]] if declaration else []
    paths = {image: places.work(name, image) for image in (*(record.volumes if record else ()), *declared)}
    return [{"image": image, "path": path, "size": _size(path)} for image, path in paths.items()]


def _size(path: str) -> Optional[int]:
    """Bytes, holes included; ``None`` for an image that no start has made yet, and for a device."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _accelerator(places: Places, package: str) -> str:
    """Return what runs the guest's instructions, which is decided when a package is made."""
    return "tcg" if translates(places.unit_settings(package)) else "kvm"


def _dhcp_addresses(declaration: PackagedVm, behind: Behind) -> List[str]:
    """Return the addresses that the host has seen behind the guest's MAC addresses, without the declared ones."""
    seen = [
        address
        for interface in declaration["interfaces"]
        if interface["bridge"] and interface["type"] != "macvtap"
        for address in behind(interface["bridge"]).get(interface["mac"].lower(), ())
    ]
    return [address for address in dict.fromkeys(seen) if address not in addresses(declaration)]


def addresses(declaration: PackagedVm) -> List[str]:
    """The guest's static ones that the host can reach; a link-local one it does not, without naming an interface."""
    guest = zip(declaration["interfaces"], declaration["guest"]["networks"])
    networks = (network for interface, network in guest if interface["type"] != "user")
    return [ip for network in networks for ip in map(_host_address, network["addresses"]) if ip]


def _host_address(address: str) -> Optional[str]:
    """Return an address without its prefix; ``None`` for none, which a damaged package may have."""
    try:
        text = str(ipaddress.ip_interface(address).ip)
        return None if needs_interface(text) else text
    except ValueError:
        return None
