# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line and configuration file of Firecracker, and its API for what happens later (its docs/api_requests)."""

from __future__ import annotations

import json
from typing import Dict, List, Mapping, Optional

from ...declaration.vms.guest import kernel_parameters
from ...declaration.vms.parse import Declaration
from ...schema.errors import DeclarationError
from ...schema.quoting import kernel_command_line
from ..command import Command
from ..descriptors import FIRST_DESCRIPTOR
from ..facts import HostFacts
from ..hypervisor import Hypervisor
from ..initrd_credentials import initrd_with_credentials
from ..programs import program_path
from ..requests import Balloon, HttpRequest, Notify, Shutdown
from ..words import Text, Variable, join, words
from .profile import PROFILE

CONFIGURATION = "firecracker.json"
VSOCK_SOCKET = "notify.vsock"

BOOT_PARAMETERS = ("console=ttyS0,115200", "reboot=k", "panic=1", "i8042.noaux", "i8042.nomux", "i8042.dumbkbd")
"""Parameters of the kernel, without `i8042.nopnp`: with it, a guest with ACPI does not hear Ctrl-Alt-Del (CHANGELOG
1.12, #5074)."""

Configuration = Dict[str, object]
"""Object of the configuration file."""

CACHE = "Writeback"
"""Mode in which the guest's flushes reach the disk; Firecracker's default drops them
(docs/api_requests/block-caching.md)."""


class Firecracker(Hypervisor):
    """Firecracker: few devices, and a start at once."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return program_path(declaration["firecracker"]["package"], PROFILE.name)

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        _check(declaration, facts)
        socket = declaration["socket"]
        notify = Notify(VSOCK_SOCKET) if declaration["vsock"]["cid"] is not None else None
        initrd = initrd_with_credentials(declaration, FIRST_DESCRIPTOR, by_serial=False)
        configuration = _configuration(declaration, facts, initrd.path, notify)
        merged = _merge(configuration, declaration["firecracker"]["extra_config"] or {})
        configured = json.dumps(merged, indent=2, sort_keys=True) + "\n"
        arguments: List[Text] = [
            self.program(declaration, facts),
            *("--config-file", join(Variable.PACKAGE, f"/share/microvm/{CONFIGURATION}")),
            *(("--api-sock", socket) if socket else ("--no-api",)),
            *(("--enable-pci",) if facts.has(PROFILE.name, 1, 13) else ()),
            *declaration["firecracker"]["extra_args"],
        ]
        return Command(
            argv=words(*arguments),
            shutdown=_shutdown(declaration, facts),
            balloon=_balloon_request(declaration),
            stale=tuple(path for path in (socket, notify.socket if notify else None) if path),
            files={CONFIGURATION: configured},
            io_uring='"io_engine": "Async"' in configured,
            notify=notify,
            initrd_credentials=initrd.names,
            initrd_descriptor=initrd.descriptor,
        )


HYPERVISOR = Firecracker()


def _check(declaration: Declaration, facts: HostFacts) -> None:
    if declaration["hugepage_mem"] and not facts.has(PROFILE.name, 1, 7):
        raise DeclarationError("hugepage_mem", "requires firecracker 1.7 or newer; update it on this host")
    if declaration["firecracker"]["cpu"] and not facts.has(PROFILE.name, 1, 13):
        raise DeclarationError("firecracker.cpu", "requires firecracker 1.13 or newer; update it on this host")


def _configuration(
    declaration: Declaration, facts: HostFacts, initrd: Optional[str], notify: Optional[Notify]
) -> Configuration:
    boot: Configuration = {
        "kernel_image_path": declaration["kernel"],
        "boot_args": kernel_command_line(
            [*BOOT_PARAMETERS, *_notify_parameters(notify), *kernel_parameters(declaration, False)]
        ),
    }
    if initrd:
        boot["initrd_path"] = initrd
    configuration: Configuration = {
        "boot-source": boot,
        "drives": _drives(declaration),
        "machine-config": _machine(declaration, facts),
        "network-interfaces": [
            {"iface_id": interface["id"], "host_dev_name": interface["id"], "guest_mac": interface["mac"]}
            for interface in declaration["interfaces"]
        ],
        "vsock": {"guest_cid": declaration["vsock"]["cid"], "uds_path": notify.socket} if notify else None,
        # Without it a guest has no source of random numbers but the processor.
        "entropy": {} if facts.has(PROFILE.name, 1, 4) else None,
        "balloon": _balloon(declaration, facts),
        "cpu-config": declaration["firecracker"]["cpu"],
    }
    return {key: value for key, value in configuration.items() if value is not None}


def _notify_parameters(notify: Optional[Notify]) -> List[str]:
    """Return the credential that is no secret: there is no other channel for it."""
    return [f"systemd.set_credential=vmm.notify_socket:{notify.credential}"] if notify else []


def _machine(declaration: Declaration, facts: HostFacts) -> Configuration:
    vcpu = declaration["vcpu"]
    # Threads of one core come in pairs; Firecracker refuses an odd number of them.
    threads = facts.architecture == "x86_64" and (vcpu == 1 or vcpu % 2 == 0)
    machine: Configuration = {"vcpu_count": vcpu, "mem_size_mib": declaration["mem"], "smt": threads}
    if declaration["hugepage_mem"]:
        machine["huge_pages"] = "2M"
    return machine


def _drives(declaration: Declaration) -> List[Configuration]:
    drives = []
    if declaration["store_disk"]:
        drives.append(_drive("store", declaration["store_disk"], True, declaration))
    for volume in declaration["volumes"]:
        drives.append(_drive(volume["image"], volume["image"], volume["read_only"], declaration))
    return drives


def _drive(identity: str, path: str, read_only: bool, declaration: Declaration) -> Configuration:
    drive = {
        "drive_id": identity,
        "path_on_host": path,
        "is_root_device": False,
        "is_read_only": read_only,
        "io_engine": declaration["firecracker"]["drive_io_engine"],
    }
    return drive if read_only else {**drive, "cache_type": CACHE}


def _balloon(declaration: Declaration, facts: HostFacts) -> Optional[Configuration]:
    if not declaration["balloon"]:
        return None
    size: Configuration = {
        "amount_mib": declaration["initial_balloon_mem"],
        "deflate_on_oom": declaration["deflate_on_oom"],
    }
    # Older versions refuse a file with a key that they do not know.
    return {**size, "free_page_reporting": True} if facts.has(PROFILE.name, 1, 14) else size


def _shutdown(declaration: Declaration, facts: HostFacts) -> Optional[Shutdown]:
    if declaration["socket"] is None or facts.architecture != "x86_64":
        return None
    return Shutdown(HttpRequest(declaration["socket"], "PUT", "/actions", join('{"action_type":"SendCtrlAltDel"}')))


def _balloon_request(declaration: Declaration) -> Optional[Balloon]:
    if not declaration["balloon"] or declaration["socket"] is None:
        return None
    body = join('{"amount_mib":', Variable.BALLOON_MEBIBYTES, "}")
    return Balloon(HttpRequest(declaration["socket"], "PATCH", "/balloon", body))


def _merge(ours: Mapping[str, object], theirs: Mapping[str, object]) -> Configuration:
    """Merge ``theirs`` over ``ours``, key by key at any depth; lists are replaced."""
    merged = dict(ours)
    for key, value in theirs.items():
        own = merged.get(key)
        merged[key] = _merge(own, value) if isinstance(own, Mapping) and isinstance(value, Mapping) else value
    return merged
