# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preflight: look at all that a host must have for its MicroVMs, before anything is changed."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Callable, Iterator, List, Mapping, Sequence, Tuple

from ...declaration.accounts import Account, account
from ...declaration.names import UNIT_DIRECTORY, USER, unit_name
from ...declaration.types import Interface
from ...declaration.vms.parse import Declaration
from ...host import accounts, files, state_directories, systemd
from ...host.commands import HostError, run, search_path
from ...host.places import Places
from ...hypervisors.programs import DEBIAN_PACKAGES
from ...schema.errors import DeclarationError

CAP_NET_ADMIN = 12
"""Number of the capability (linux/capability.h)."""

Placed = Sequence[Tuple[str, Declaration]]
"""Declarations with the path that names each (``vms[0]``)."""


def check_host(placed: Placed) -> None:
    """Refuse a host without systemd, rights or memory, which no role mends. Raises HostError or DeclarationError."""
    if not systemd.is_init():
        raise HostError("systemd does not run this host, but MicroVMs are systemd units; boot the host with systemd")
    if os.geteuid() != 0:
        raise HostError("root privileges are required on the host; set `become: true`")
    taps = [path for path, declaration in placed for _tap in _taps(declaration)]
    if taps and not _has_capability(CAP_NET_ADMIN):
        raise DeclarationError(
            f"{taps[0]}.interfaces",
            "taps cannot be created because root lacks CAP_NET_ADMIN on this host; grant that "
            "capability or use interfaces of type user",
        )
    _check_memory(placed)


def check_units(placed: Placed) -> None:
    """Refuse options that packages can have and a unit of the host cannot serve. Raises DeclarationError."""
    for path, declaration in placed:
        for key, reason in _unserved(declaration):
            raise DeclarationError(f"{path}.{key}", reason)


def _unserved(declaration: Declaration) -> Iterator[Tuple[str, str]]:
    for index, interface in enumerate(declaration["interfaces"]):
        if interface["type"] == "bridge":
            yield (
                f"interfaces[{index}].type",
                "the setuid bridge helper needs privileges that the MicroVM's unit lacks; set `type: tap`, which is "
                "attached to the bridge as well",
            )
    if declaration["user"]:
        yield "user", "the unit already runs the hypervisor as the MicroVM's own user; remove this option"
    if declaration["graphics"]["enable"]:
        yield "graphics.enable", "a systemd unit has no display; run such a package in a desktop session instead"


def check_files(placed: Placed, places: Places, awaited: Callable[[str], bool]) -> None:
    """The files that declarations name must exist, but for those that ``awaited`` says are still to come."""
    for path, declaration in placed:
        for key, file in _files(declaration, places):
            if not os.path.exists(file) and not awaited(file):
                raise DeclarationError(
                    f"{path}.{key}", f"{file} does not exist on this host; correct the path or provide the file"
                )


def check_installed(placed: Placed, programs: Mapping[str, Sequence[str]], places: Places) -> None:
    """Refuse a host that lacks what the roles provide.

    ``programs`` are those that packages run, by the declarations' paths, the hypervisor first.

    Raises HostError or DeclarationError.
    """
    if not os.path.exists(f"{UNIT_DIRECTORY}/{unit_name('')}") or not accounts.exists(USER):
        raise HostError("this host is not set up for MicroVMs; run the role microvm.fleet.host on it first")
    check_layout(placed, places)
    check_interfaces(placed)
    check_volumes(placed)
    for path, declaration in placed:
        for program in programs[path]:
            if shutil.which(program, path=search_path()) is None:
                raise DeclarationError(
                    f"{path}.hypervisor",
                    f"its program {program} is not installed; run the role microvm.fleet.host first, or install it"
                    + _package_hint(program),
                )
        if list(_taps(declaration)) and not os.path.exists("/dev/net/tun"):
            raise DeclarationError(f"{path}.interfaces", "this host's kernel has no /dev/net/tun; load the module tun")


def _package_hint(program: str) -> str:
    return f" (package {DEBIAN_PACKAGES[program]})" if program in DEBIAN_PACKAGES else ""


def check_layout(placed: Placed, places: Places) -> None:
    """Refuse state directories of an earlier version, in which a hypervisor may write beside root's links."""
    for _path, declaration in placed:
        directory = places.state(declaration["name"])
        if state_directories.is_former(directory):
            raise HostError(
                f"{directory} has the layout of an earlier version; run the role microvm.fleet.host first, which "
                "changes it without restarting the MicroVM"
            )


def check_volumes(placed: Placed) -> None:
    """Hypervisors must be able to make the images that are not there. Raises DeclarationError."""
    for path, declaration in placed:
        for index, volume in enumerate(declaration["volumes"]):
            directory = os.path.dirname(volume["image"])
            is_missing = directory.startswith("/") and not os.path.exists(volume["image"])
            if is_missing and os.path.isdir(directory) and not _may_write(account(declaration), directory):
                raise DeclarationError(
                    f"{path}.volumes[{index}].image",
                    f"the user {account(declaration).user!r}, which creates the image, cannot write to {directory}; "
                    "use a directory that does not exist yet, or change its owner (chown)",
                )


def _may_write(owner: Account, directory: str) -> bool:
    """Asked as the user: access lists and mounts count too. One that is yet to be made can do what everybody can."""
    if not accounts.exists(owner.user):
        return bool(os.stat(directory).st_mode & stat.S_IWOTH)
    identity = [f"--reuid={owner.user}", f"--regid={owner.group}", "--clear-groups"]
    try:
        run(["setpriv", *identity, "test", "-w", directory])
    except HostError:
        return False
    return True


def check_interfaces(placed: Placed, awaited: Sequence[str] = ()) -> None:
    """Taps must not have another interface's name, and bridges must exist, but for ``awaited`` ones.

    Raises DeclarationError.
    """
    for path, declaration in placed:
        for index, tap in _taps(declaration):
            identity, bridge = tap["id"], tap["bridge"]
            link = f"/sys/class/net/{identity}"
            if identity in awaited or (os.path.exists(link) and not os.path.exists(f"{link}/tun_flags")):
                raise DeclarationError(
                    f"{path}.interfaces[{index}].id",
                    f"the host has, or will have, an interface {identity!r} that is not a tap; choose another name",
                )
            if bridge and bridge not in awaited and not os.path.isdir(f"/sys/class/net/{bridge}/bridge"):
                raise DeclarationError(
                    f"{path}.interfaces[{index}].bridge",
                    f"there is no bridge {bridge!r} on this host; declare it in microvm_networks or correct the name",
                )


def _taps(declaration: Declaration) -> Iterator[Tuple[int, Interface]]:
    return ((index, tap) for index, tap in enumerate(declaration["interfaces"]) if tap["type"] == "tap")


def _files(declaration: Declaration, places: Places) -> Iterator[Tuple[str, str]]:
    for key in ("kernel", "initrd_path", "store_disk"):
        path = declaration[key]
        if path:
            yield key, path
    for name, path in declaration["credential_files"].items():
        yield f"credential_files.{name}", path
    for index, volume in enumerate(declaration["volumes"]):
        if not volume["auto_create"]:
            yield f"volumes[{index}].image", places.work(declaration["name"], volume["image"])


def _check_memory(placed: Placed) -> None:
    available = memory_total()
    needed = 0
    for path, declaration in placed:
        needed += declaration["mem"]
        if needed > available:
            together = "" if needed == declaration["mem"] else f" with those before it ({needed} MiB in all)"
            raise DeclarationError(
                f"{path}.mem",
                f"{declaration['mem']} MiB{together} exceed the {available} MiB of this host; "
                "declare less, or run it elsewhere",
            )


def memory_total() -> int:
    """The host's memory in MiB (proc_meminfo(5))."""
    fields = dict(line.split(":", 1) for line in (files.read_text("/proc/meminfo") or "").splitlines())
    return int(fields["MemTotal"].split()[0]) // 1024


def _has_capability(number: int) -> bool:
    lines: List[str] = (files.read_text("/proc/self/status") or "").splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)
