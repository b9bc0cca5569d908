# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine itself: type, accelerator, processors, memory, kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List

from ...declaration.identity import as_uuid
from ...declaration.vms.guest import kernel_parameters
from ...declaration.vms.parse import Declaration
from ...schema.errors import DeclarationError
from ...schema.quoting import kernel_command_line
from ..facts import HostFacts
from ..programs import program_path
from ..requests import notify_parameters
from ..words import Text, Variable, join
from .fw_cfg import fw_cfg
from .profile import PROFILE

NAME = PROFILE.name

MICROVM = "microvm"
MACHINES = {"x86_64": MICROVM, "aarch64": "virt"}

EMULATED_CPUS = {"x86_64": "max", "aarch64": "max,pauth-impdef=on"}
"""Processors with every feature. Pointer authentication by QEMU's own hash boots several times as fast as
by the architecture's."""

MMIO_SLOTS = 24
"""Devices that the ``microvm`` machine has place for (hw/i386/microvm.c); with more devices it has PCI instead."""

PCI_SLOTS = 30
"""Devices that a bus has place for: 32, but for the host's bridge and, on q35, the machine's own devices."""

TCG_MACHINE_OPTIONS = {"pic": "on", "pit": "on"}
"""Timers of a machine without KVM: without its clock a kernel that finds no timer hangs before its first line
("tsc: Unable to calibrate")."""

SEABIOS_HANGS_AT = 2048
"""MiB of memory with which the default firmware hangs; qboot does not, but not every distribution ships it."""

SANDBOX = {"obsolete": "deny", "elevateprivileges": "deny", "spawn": "deny", "resourcecontrol": "deny"}

CREDENTIAL_NAME_LENGTH = 28
"""Characters of a credential's name: QEMU's names of fw_cfg files have 55, 27 of which are systemd's prefix."""

FREE_FILES = 12
"""Files of fw_cfg that every machine has place for: QEMU has 32, of which its own need up to 16."""


@dataclass(frozen=True)
class Machine:
    """Declaration on a host, and what follows for every device."""

    declaration: Declaration
    facts: HostFacts

    @property
    def architecture(self) -> str:
        """Return the guest's architecture."""
        return self.facts.guest(self.declaration)

    @property
    def type(self) -> str:
        """Return QEMU's name of the machine."""
        return str(self.declaration["qemu"]["machine"] or MACHINES[self.architecture])

    @property
    def accel(self) -> str:
        """Return ``kvm``, ``tcg``, or several that QEMU tries in this order."""
        if self.architecture != self.facts.architecture or self.declaration["accel"] == "tcg":
            return "tcg"
        if self.facts.system == "darwin":
            return "hvf:tcg"
        if self.facts.accel != "auto":
            return self.facts.accel
        # No processor is `host` without KVM, so only a declared one can fall back.
        return "kvm:tcg" if self.declaration["cpu"] else "kvm"

    @property
    def uses_usb(self) -> bool:
        """Return whether the guest gets a USB device."""
        return any(device["bus"] == "usb" for device in self.declaration["devices"])

    @property
    def has_pci(self) -> bool:
        """Return whether devices are on PCI, not on virtio-mmio."""
        declaration = self.declaration
        needs = (
            declaration["shares"]
            or declaration["devices"]
            or declaration["graphics"]["enable"]
            or declaration["qemu"]["pcie_root_ports"]
        )
        return self.type != MICROVM or bool(needs) or self._mmio_devices() > MMIO_SLOTS

    def _mmio_devices(self) -> int:
        declaration = self.declaration
        fixed = [True, declaration["store_disk"], declaration["balloon"], declaration["vsock"]["cid"]]
        return sum(map(bool, fixed)) + len(declaration["volumes"]) + len(declaration["interfaces"])

    def _pci_devices(self) -> int:
        declaration = self.declaration
        single: List[object] = [declaration["hotplug_mem"], self.uses_usb or declaration["graphics"]["enable"]]
        single += [declaration["graphics"]["enable"], *declaration["qemu"]["pcie_root_ports"]]
        devices = [device for device in declaration["devices"] if device["bus"] == "pci" and not device["qemu"]["bus"]]
        return self._mmio_devices() + sum(map(bool, single)) + len(devices) + len(declaration["shares"])

    @property
    def bus(self) -> str:
        """Return the end of the names of virtio's devices."""
        return "pci" if self.has_pci else "device"

    @property
    def shares_memory(self) -> bool:
        """Return whether the guest's memory must be a file: it is of huge pages, or others than QEMU read it."""
        needs = self.declaration["shares"] or self.declaration["hugepage_mem"]
        return bool(needs) and self.facts.system == "linux"

    def check(self) -> None:
        """Refuse what only the machine shows. Raises DeclarationError."""
        declaration = self.declaration
        if declaration["hotplug_mem"] and self.type == MICROVM:
            raise DeclarationError(
                "hotplug_mem",
                f"{NAME}'s machine microvm does not support it; set `qemu.machine` to q35, or use cloud-hypervisor",
            )
        if self.has_pci and self._pci_devices() > PCI_SLOTS:
            raise DeclarationError(
                "volumes",
                f"{self._pci_devices()} devices exceed the {PCI_SLOTS} PCI slots of {NAME}'s machine; declare fewer",
            )
        if self.architecture != self.facts.architecture and not declaration["cpu"]:
            raise DeclarationError(
                "cpu",
                f"is required to emulate {self.architecture} on {self.facts.architecture}; set it, for example to max",
            )
        self._check_system()
        for index, interface in enumerate(declaration["interfaces"]):
            if not interface["id"][0].isalpha():
                raise DeclarationError(
                    f"interfaces[{index}].id", f"must begin with a letter for {NAME}; use another name"
                )
        if declaration["accel"] == "kvm" and self.accel == "tcg":
            raise DeclarationError(
                "accel", f"KVM on {self.facts.architecture} cannot run {self.architecture}; set it to auto"
            )
        for name in declaration["credential_files"]:
            if len(name) > CREDENTIAL_NAME_LENGTH:
                raise DeclarationError(
                    f"credential_files.{name}",
                    f"{NAME} accepts names of at most {CREDENTIAL_NAME_LENGTH} characters; use a shorter name",
                )
        if declaration["graphics"]["vulkan"] and declaration["graphics"]["backend"] == "cocoa":
            raise DeclarationError(
                "graphics.vulkan", "is not supported by the backend cocoa; remove one of the two options"
            )

    def _check_system(self) -> None:
        """Refuse what QEMU has on Linux only."""
        declaration = self.declaration
        if self.facts.system == "linux":
            return
        paths = [f"interfaces[{i}].type" for i, tap in enumerate(declaration["interfaces"]) if tap["type"] != "user"]
        paths += [f"shares[{i}].proto" for i, share in enumerate(declaration["shares"]) if share["proto"] == "virtiofs"]
        paths += [f"devices[{i}].bus" for i, device in enumerate(declaration["devices"]) if device["bus"] == "pci"]
        paths += ["hugepage_mem"] if declaration["hugepage_mem"] else []
        paths += ["vsock.cid"] if declaration["vsock"]["cid"] is not None else []
        paths += ["register_with_machined"] if declaration["register_with_machined"] else []
        paths += ["accel"] if declaration["accel"] == "kvm" else []
        if paths:
            raise DeclarationError(paths[0], "requires a Linux host; remove it, or run this MicroVM on a Linux host")


def qemu_program(declaration: Declaration, facts: HostFacts) -> str:
    """Return QEMU's program for the guest's architecture."""
    return program_path(declaration["qemu"]["package"], f"qemu-system-{facts.guest(declaration)}")


def machine(target: Machine) -> List[Text]:
    """Return everything before the kernel."""
    declaration = target.declaration
    maximum = f",maxmem={declaration['mem'] + declaration['hotplug_mem']}M" if declaration["hotplug_mem"] else ""
    name = qemu_program(declaration, target.facts)
    return [
        *(name, "-name", escape(declaration["name"]), "-M", _machine_options(target)),
        *("-m", f"{declaration['mem']}M{maximum}", "-smp", str(declaration["vcpu"]), "-cpu", _cpu(target)),
        *(("-bios", "qboot.rom") if target.type == MICROVM and declaration["mem"] == SEABIOS_HANGS_AT else ()),
        *("-nodefaults", "-no-user-config", "-no-reboot"),
        *("-smbios", f"type=1,uuid={as_uuid(declaration['machine_id'])}"),
        *("-device", f"virtio-rng-{target.bus}"),
        *(("-device", "i8042") if target.type == MICROVM else ()),
        *_user(target),
    ]


def _user(target: Machine) -> List[str]:
    user = target.declaration["user"]
    if user is None:
        return []
    return ["-run-with", f"user={user}"] if target.facts.has(NAME, 9, 1) else ["-runas", user]


def _machine_options(target: Machine) -> str:
    declared = target.declaration["qemu"]["machine_opts"]
    # Without an accelerator QEMU takes TCG, for which the processor's model is another one.
    options: Dict[str, str] = _default_options(target) if declared is None else {"accel": target.accel, **declared}
    return ",".join([target.type] + [f"{key}={escape(options[key])}" for key in sorted(options)])


def _default_options(target: Machine) -> Dict[str, str]:
    if target.architecture == "aarch64":
        return {"accel": target.accel, "gic-version": "max"}
    options = {"accel": target.accel, "acpi": "on", "mem-merge": "on"}
    if target.type == MICROVM:
        options.update(pit="off", pic="off", rtc="on")
        options.update(pcie=switch(target.has_pci), usb=switch(target.uses_usb))
        options.update(TCG_MACHINE_OPTIONS if target.accel == "tcg" else {})
    return options


def _cpu(target: Machine) -> str:
    if target.declaration["cpu"]:
        return str(target.declaration["cpu"])
    if target.accel == "tcg":
        return EMULATED_CPUS[target.architecture]
    return "host,+x2apic,-sgx" if target.architecture == "x86_64" else "host"


def kernel(target: Machine) -> List[Text]:
    """Return kernel, initial RAM disk, command line, console."""
    declaration, x86 = target.declaration, target.architecture == "x86_64"
    console: List[str] = []
    if declaration["qemu"]["serial_console"]:
        console = ["earlyprintk=ttyS0", "console=ttyS0"] if x86 else ["console=ttyAMA0"]
    own = [*console, "reboot=t", "panic=-1", *notify_parameters(declaration)]
    parameters = [*own, *kernel_parameters(declaration, by_serial=True)]
    # Calibration is a race under load; a frequency on the command line is the sure way.
    calibrates = x86 and "tcg" in target.accel and target.type == MICROVM
    append = join(kernel_command_line(parameters), *([Variable.TSC_PARAMETER] if calibrates else []))
    return [
        *("-kernel", declaration["kernel"]),
        *(("-initrd", declaration["initrd_path"]) if declaration["initrd_path"] else ()),
        *("-append", append),
        *("-chardev", "stdio,id=stdio,signal=off"),
        *(("-serial", "chardev:stdio") if declaration["qemu"]["serial_console"] else ()),
    ]


def memory(target: Machine) -> List[str]:
    """Return memory that others read, memory of huge pages, memory that is plugged in."""
    declaration = target.declaration
    arguments: List[str] = []
    size = declaration["hugepage_size"]
    pages = ",hugetlb=on" if declaration["hugepage_mem"] else ""
    pages += f",hugetlbsize={size}" if size else ""
    if target.shares_memory:
        backend = f"memory-backend-memfd,id=mem,size={declaration['mem']}M,share=on{pages}"
        arguments += ["-numa", "node,memdev=mem", "-object", backend]
    if declaration["hotplug_mem"]:
        kind = f"memory-backend-memfd,share=on{pages}" if target.shares_memory else "memory-backend-ram"
        arguments += [
            *("-object", f"{kind},id=vmem0,size={declaration['hotplug_mem']}M"),
            *("-device", f"virtio-mem-pci,id=vm0,memdev=vmem0,requested-size={declaration['hotplugged_mem']}M"),
        ]
    return arguments


def sandbox(target: Machine) -> List[str]:
    """Return QEMU's filter of system calls. The bridge helper, ports that lead to the host and Vulkan need programs."""
    if target.facts.system != "linux" or "-sandbox" in target.declaration["qemu"]["extra_args"]:
        return []
    denied = dict(SANDBOX)
    if any(interface["type"] == "bridge" for interface in target.declaration["interfaces"]):
        del denied["spawn"], denied["elevateprivileges"]
    graphics = target.declaration["graphics"]
    starts_renderer = graphics["enable"] and graphics["vulkan"]
    if starts_renderer or any(port["from"] == "guest" for port in target.declaration["forward_ports"]):
        denied.pop("spawn", None)
    return ["-sandbox", ",".join(["on"] + [f"{key}={value}" for key, value in denied.items()])]


def switch(value: bool) -> str:
    """Return QEMU's word for true or false."""
    return "on" if value else "off"


def escape(text: str) -> str:
    """Double commas: a single one ends a value."""
    return text.replace(",", ",,")


def fw_cfg_files(target: Machine) -> List[Text]:
    """Return the credentials as files of fw_cfg, and place for them if there are many: QEMU aborts without."""
    arguments = fw_cfg(target.declaration, escape)
    count = len(arguments) // 2
    device = "fw_cfg_io" if target.architecture == "x86_64" else "fw_cfg_mem"
    return [*(("-global", f"{device}.x-file-slots={32 + count}") if count > FREE_FILES else ()), *arguments]
