# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's ``microvm`` machine (QEMU's manual, docs/system/i386/microvm.rst)."""

from __future__ import annotations

from typing import Any, List, Mapping, Tuple, Union

from ..declaration.guest import credentials, kernel_parameters
from ..declaration.identity import STORE_SERIAL
from ..declaration.parse import Declaration
from .interface import Capabilities, Command, HostFacts, Hypervisor, Shutdown, Variable, Word, words

MACHINE_OPTIONS = {
    "acpi": "on",
    "mem-merge": "on",
    "pcie": "off",
    "pic": "off",
    "pit": "off",
    "rtc": "on",
    "usb": "off",
}
TCG_MACHINE_OPTIONS = {"pic": "on", "pit": "on"}
"""Without KVM's clock a kernel that finds no timer hangs before its first line ("tsc: Unable to calibrate")."""

CPU = {"kvm": "host,+x2apic,-sgx", "tcg": "max"}

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

CREDENTIAL_PREFIX = "opt/io.systemd.credentials/"

SHUTDOWN_TIMEOUT = 120
"""Seconds; less than the unit's TimeoutStopSec, so that the rung that ends the guest is this one."""

SEABIOS_HANGS_AT = 2048
"""MiB of memory with which the default firmware hangs; qboot does not, but not every distribution ships it."""


class Qemu(Hypervisor):
    """Fast to boot, no PCI, every device by virtio-mmio."""

    name = "qemu"
    capabilities = Capabilities(
        architectures=("x86_64",),
        interface_types=("user", "tap"),
        share_protocols=("9p",),
        accelerators=("kvm", "tcg"),
        credentials=True,
        vcpus=288,
        # 24 virtio-mmio slots; one is the random number generator's, one the root disk's.
        devices=22,
    )

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        arguments: List[Union[str, Word]] = [
            f"qemu-system-{facts.architecture}",
            *_machine(declaration, facts),
            *_kernel(declaration, facts),
            *_store_disk(declaration),
            *_display(),
        ]
        for index, volume in enumerate(declaration["volumes"]):
            arguments += _volume(index, volume)
        for index, share in enumerate(declaration["shares"]):
            arguments += _share(index, share)
        for interface in declaration["interfaces"]:
            arguments += _interface(interface, declaration["vcpu"])
        arguments += _credentials(declaration)
        return Command(words(*arguments), _shutdown(declaration), _tap_flags(declaration))


def _machine(declaration: Declaration, facts: HostFacts) -> List[str]:
    options = {"accel": facts.accel, **MACHINE_OPTIONS, **(TCG_MACHINE_OPTIONS if facts.accel == "tcg" else {})}
    machine = ",".join(["microvm"] + [f"{key}={options[key]}" for key in sorted(options)])
    memory = declaration["mem"]
    return [
        *("-name", _escape(declaration["name"]), "-M", machine, "-cpu", CPU[facts.accel]),
        *("-m", f"{memory}M", "-smp", str(declaration["vcpu"])),
        *(("-bios", "qboot.rom") if memory == SEABIOS_HANGS_AT else ()),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-sandbox", SANDBOX),
        *("-qmp", f"unix:{_escape(declaration['socket'])},server=on,wait=off"),
        *("-device", "virtio-rng-device", "-device", "i8042"),
    ]


def _kernel(declaration: Declaration, facts: HostFacts) -> List[Union[str, Word]]:
    parameters = ["earlyprintk=ttyS0", "console=ttyS0", "reboot=t", "panic=-1"] + kernel_parameters(declaration)
    text = " ".join(parameters)
    # Calibration is a race under load; a frequency on the command line is the sure way.
    append = Word((text, Variable.TSC_PARAMETER)) if facts.accel == "tcg" else Word((text,))
    initrd = ("-initrd", declaration["initrd_path"]) if declaration["initrd_path"] else ()
    return ["-kernel", declaration["kernel"], *initrd, "-append", append]


def _display() -> List[str]:
    return ["-nographic", "-chardev", "stdio,id=stdio,signal=off", "-serial", "chardev:stdio"]


def _store_disk(declaration: Declaration) -> List[str]:
    if declaration["store_disk"] is None:
        return []
    file = _escape(declaration["store_disk"])
    # Our images look for the serial; others know their disk by its position.
    serial = f",serial={STORE_SERIAL}" if declaration["image"] else ""
    return [
        *("-drive", f"id=store,format=raw,read-only=on,file={file},if=none,aio=io_uring"),
        *("-device", f"virtio-blk-device,drive=store{serial}"),
    ]


def _volume(index: int, volume: Mapping[str, Any]) -> List[str]:
    drive = f"volume{index}"
    options = [f"id={drive},format=raw,file={_escape(volume['image'])},if=none,aio=io_uring,discard=unmap"]
    options += ["cache=none"] if volume["direct"] else []
    options += [f"read-only={_switch(volume['read_only'])}"]
    serial = f",serial={volume['serial']}" if volume["serial"] else ""
    return ["-drive", ",".join(options), "-device", f"virtio-blk-device,drive={drive}{serial}"]


def _share(index: int, share: Mapping[str, Any]) -> List[str]:
    options = [
        f"local,id=share{index},path={_escape(share['source'])},security_model={share['security_model']}",
        f"readonly={_switch(share['read_only'])}",
    ]
    return ["-fsdev", ",".join(options), "-device", f"virtio-9p-device,fsdev=share{index},mount_tag={share['tag']}"]


def _interface(interface: Mapping[str, Any], vcpu: int) -> List[str]:
    identity = interface["id"]
    if interface["type"] == "user":
        backend = f"user,id={identity}"
    else:
        queues = f",queues={vcpu}" if vcpu > 1 else ""
        backend = f"tap,id={identity},ifname={identity},script=no,downscript=no{queues}"
    return ["-netdev", backend, "-device", f"virtio-net-device,netdev={identity},mac={interface['mac']}"]


def _credentials(declaration: Declaration) -> List[Union[str, Word]]:
    """Files of the package, never arguments: what stands in one is nobody's business but the guest's."""
    arguments: List[Union[str, Word]] = []
    for name in credentials(declaration):
        file: Tuple[Union[str, Variable], ...] = (Variable.PACKAGE, f"/share/microvm/credentials/{name}")
        arguments += ["-fw_cfg", Word((f"name={CREDENTIAL_PREFIX}{name},file=", *file))]
    return arguments


def _shutdown(declaration: Declaration) -> Shutdown:
    requests = ('{"execute":"qmp_capabilities"}', '{"execute":"system_powerdown"}')
    return Shutdown(declaration["socket"], requests, SHUTDOWN_TIMEOUT)


def _tap_flags(declaration: Declaration) -> Tuple[str, ...]:
    return ("vnet_hdr", "multi_queue") if declaration["vcpu"] > 1 else ("vnet_hdr",)


def _switch(value: Any) -> str:
    return "on" if value else "off"


def _escape(text: str) -> str:
    """A comma ends a value; two are one of the value's own."""
    return text.replace(",", ",,")
