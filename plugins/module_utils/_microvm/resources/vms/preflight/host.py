# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify a host as such: systemd, rights, the setup by role ``host``."""

from __future__ import annotations

import os
from typing import Iterator, List, Tuple

from ....declaration.names import COMMAND, UNIT_DIRECTORY, USER, unit_name
from ....declaration.vms.parse import Declaration
from ....host import accounts, files, state_directories, systemd
from ....host.accelerator import KVM, can_be_opened
from ....host.commands import HostError
from ....host.places import Places
from ....schema.errors import DeclarationError
from .expected import Placed
from .interfaces import taps

CAP_NET_ADMIN = 12
"""Number of the capability (linux/capability.h)."""


def check_host(placed: Placed) -> None:
    """Refuse a host without systemd or rights, which no role mends. Raises HostError or DeclarationError."""
    if not systemd.is_init():
        raise HostError("systemd does not run this host, but MicroVMs are systemd units; boot the host with systemd")
    if os.geteuid() != 0:
        raise HostError("root privileges are required on the host; set `become: true`")
    with_taps = [path for path, declaration in placed for _tap in taps(declaration)]
    if with_taps and not _has_capability(CAP_NET_ADMIN):
        raise DeclarationError(
            f"{with_taps[0]}.interfaces",
            "taps cannot be created because root lacks CAP_NET_ADMIN on this host; grant that "
            "capability or use interfaces of type user",
        )


def check_kvm(placed: Placed) -> None:
    """Refuse a declared KVM that the host has not. Raises DeclarationError."""
    for path, declaration in placed:
        if declaration["accel"] == "kvm" and not can_be_opened(KVM):
            raise DeclarationError(
                f"{path}.accel", f"this host has no {KVM} that can be used; set auto or tcg, or load the module kvm"
            )


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


def check_setup() -> None:
    """Refuse a host that role ``host`` has not prepared. Raises HostError."""
    if not os.path.exists(f"{UNIT_DIRECTORY}/{unit_name('')}") or not accounts.exists(USER):
        raise HostError("this host is not set up for MicroVMs; run the role microvm.fleet.host on it first")


def check_notifications(placed: Placed) -> None:
    """Refuse MicroVMs whose unit ``microvm-notify@`` lacks the command that it runs. Raises DeclarationError."""
    for path, declaration in placed:
        if not os.path.exists(COMMAND):
            raise DeclarationError(
                f"{path}.use_notify_sockets",
                f"this host lacks {COMMAND}, which receives the notification of a guest with "
                f"{declaration['hypervisor']}; run the role microvm.fleet.host, which installs it, or remove this "
                "option",
            )


def check_layout(placed: Placed, places: Places) -> None:
    """Refuse state directories of an earlier version, in which a hypervisor may write beside root's links."""
    for _path, declaration in placed:
        directory = places.state(declaration["name"])
        if state_directories.is_former(directory):
            raise HostError(
                f"{directory} has the layout of an earlier version; run the role microvm.fleet.host first, which "
                "changes it without restarting the MicroVM"
            )


def _has_capability(number: int) -> bool:
    lines: List[str] = (files.read_text("/proc/self/status") or "").splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)
