# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out the steps of devices."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Tuple

from ...declaration.names import CONFIGURATION_DIRECTORY
from ...host import files, systemd
from ...host.bus import ask
from ...host.commands import run
from ...host.device_nodes import group_nodes, leave_to_root, usb_nodes
from ...schema.checks import pci_address
from ..executor import Handlers
from ..steps import Step
from .device_list import DeviceRecord
from .files import script
from .plan import Action, Plan

SECONDS = 60
"""Time limit of a change of a device, which the kernel makes once nobody uses it any more."""


@dataclass(frozen=True)
class DevicesJob:
    """The plan of a host's devices, for the executor."""

    plan: Plan
    record: DeviceRecord
    """Devices that were handed over before."""
    name: str = "devices"

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """Steps of the plan."""
        return self.plan.steps


def _call(function: str, *arguments: str) -> None:
    """Call a function of the unit's script, which may not be installed yet. Raises HostError."""
    run(["bash", "-c", script(), "restore-devices", function, *arguments], timeout=SECONDS)


def _release(job: DevicesJob, address: str) -> None:
    _call("unbind_pci_device", address, job.record.taken[address].driver or "-")


def _revoke(_job: DevicesJob, target: str) -> None:
    """Undo what a rule, or the units of a MicroVM, have given. Rules of others count again by Action.PERMIT."""
    if pci_address(target) is None:
        leave_to_root(group_nodes(target), 0o600)
    else:
        identity, _space, serial = target.partition(" ")
        vendor, _colon, product = identity.partition(":")
        leave_to_root(usb_nodes(vendor, product, serial or None), 0o664)


def _take(_job: DevicesJob, address: str) -> None:
    run(["modprobe", "vfio-pci"])
    _call("bind_pci_device", address)


def _write(job: DevicesJob, path: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    files.replace_file(path, job.plan.files[path].encode())


def _remove(_job: DevicesJob, path: str) -> None:
    files.remove(path)
    if os.path.dirname(path) == CONFIGURATION_DIRECTORY:
        files.remove_if_empty(CONFIGURATION_DIRECTORY)


def _permit(_job: DevicesJob, _target: str) -> None:
    """Let udev apply its rules to devices that are there. Raises HostError."""
    run(["udevadm", "trigger", "--settle", "--action=change", "--subsystem-match=vfio", "--subsystem-match=usb"])


HANDLERS: Handlers[DevicesJob, Action] = Handlers(
    Action,
    {
        Action.DISABLE: lambda _job, unit: ask(["systemctl", "disable", "--now", "--quiet", unit]),
        Action.RELEASE: _release,
        Action.REMOVE_FUNCTIONS: lambda _job, card: _call("make_functions", card, "0"),
        Action.REVOKE: _revoke,
        Action.WRITE: _write,
        Action.REMOVE: _remove,
        Action.RELOAD_UDEV: lambda _job, _target: run(["udevadm", "control", "--reload"]),
        Action.RELOAD_SYSTEMD: lambda _job, _target: systemd.daemon_reload(),
        Action.ENABLE: lambda _job, unit: ask(["systemctl", "enable", "--quiet", unit]),
        Action.MAKE_FUNCTIONS: lambda _job, target: _call("make_functions", *target.split()),
        Action.SET_FUNCTION: lambda _job, target: _call("set_function", *target.split()),
        Action.RAISE: lambda _job, card: _call("raise_card", card),
        Action.TAKE: _take,
        Action.PERMIT: _permit,
    },
)
