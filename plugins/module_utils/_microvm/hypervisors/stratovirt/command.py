# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of StratoVirt's light machine (its docs/config_guidebook.md)."""

from __future__ import annotations

from typing import List, Optional

from ...declaration.identity import STORE_SERIAL
from ...declaration.names import HUGE_PAGES_PREFIX
from ...declaration.types import Interface
from ...declaration.vms.guest import disk_names, disk_serial, kernel_parameters
from ...declaration.vms.parse import Declaration
from ...schema.errors import DeclarationError
from ...schema.quoting import kernel_command_line
from ..command import Command
from ..descriptors import Descriptors, macvtap_descriptors, next_descriptor, pairs
from ..facts import HostFacts
from ..hypervisor import Hypervisor
from ..initrd_credentials import initrd_with_credentials
from ..programs import program_path
from ..refusals import refuse_in
from ..requests import guest_shutdown, qmp_balloon
from ..words import words
from .profile import PROFILE

NAMED = ("socket", "store_disk", "volumes[].image", "shares[].socket", "shares[].tag")
"""Values of options whose parser has no way to write a comma or an equals sign."""

LEAST_MEMORY, MOST_MEMORY = 128, 524288
"""MiB that ``-m`` takes."""

MOST_QUEUES = 16
MOST_DEVICES = {"x86_64": 11, "aarch64": 160}
"""Devices that the machine has place for (its docs/config_guidebook.md)."""


class Stratovirt(Hypervisor):
    """StratoVirt: QEMU's words, a Firecracker's machine; without ACPI, so a guest is only stopped from inside."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return program_path(declaration["stratovirt"]["package"], PROFILE.name)

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        refuse_in(declaration, NAMED, ",=", PROFILE.name)
        # In its argument, which begins with `unix:`.
        refuse_in(declaration, ("socket",), ":", PROFILE.name)
        _refuse_leading_dashes(declaration)
        _check_memory(declaration)
        _check_devices(declaration, facts)
        macvtaps = macvtap_descriptors(declaration, _queues(declaration))
        initrd = initrd_with_credentials(declaration, next_descriptor(macvtaps))
        socket = declaration["socket"]
        arguments = [
            *(self.program(declaration, facts), "-name", declaration["name"]),
            *("-machine", _machine(declaration, facts)),
            *("-m", str(declaration["mem"]), "-smp", str(declaration["vcpu"])),
            *("-kernel", declaration["kernel"], *(("-initrd", initrd.path) if initrd.path else ())),
            *("-append", _kernel_command_line(declaration, facts), "-serial", "stdio"),
            *("-object", "rng-random,id=rng,filename=/dev/random", "-device", "virtio-rng-device,rng=rng,id=rng_dev"),
            *(("-mem-path", HUGE_PAGES_PREFIX + declaration["name"]) if declaration["hugepage_mem"] else ()),
            *_balloon(declaration),
            *_disks(declaration),
            *_shares(declaration),
            *(("-qmp", f"unix:{socket},server,nowait") if socket else ()),
        ]
        for interface in declaration["interfaces"]:
            arguments += _interface(declaration, interface, macvtaps)
        if declaration["vsock"]["cid"] is not None:
            arguments += ["-device", f"vhost-vsock-device,id=vsock,guest-cid={declaration['vsock']['cid']}"]
        return Command(
            argv=words(*arguments, *declaration["stratovirt"]["extra_args"]),
            shutdown=guest_shutdown(declaration, "reboot"),
            # It takes two commands that come together for one, which is none.
            balloon=qmp_balloon(declaration, negotiates=False),
            multi_queue=_queues(declaration) > 1,
            macvtaps=pairs(macvtaps),
            stale=(socket,) if socket else (),
            initrd_credentials=initrd.names,
            initrd_descriptor=initrd.descriptor,
            # Its console on standard input and output is the only one that both reads and writes there.
            terminal=True,
        )


HYPERVISOR = Stratovirt()


def _refuse_leading_dashes(declaration: Declaration) -> None:
    """Raise DeclarationError for values that StratoVirt takes for an option."""
    values = [(f"shares[{index}].tag", share["tag"]) for index, share in enumerate(declaration["shares"])]
    for index, volume in enumerate(declaration["volumes"]):
        values.append((f"volumes[{index}].serial", volume["serial"] or ""))
    for key, value in values:
        if value.startswith("-"):
            raise DeclarationError(key, "begins with '-', so stratovirt takes it for an option; use another name")


def _check_memory(declaration: Declaration) -> None:
    if not LEAST_MEMORY <= declaration["mem"] <= MOST_MEMORY:
        limits = f"between {LEAST_MEMORY} and {MOST_MEMORY}"
        raise DeclarationError("mem", f"is not {limits}, which is what stratovirt accepts; declare another size")


def _check_devices(declaration: Declaration, facts: HostFacts) -> None:
    single = [True, declaration["store_disk"], declaration["balloon"], declaration["vsock"]["cid"]]
    lists = {key: len(declaration[key]) for key in ("volumes", "interfaces", "shares")}
    total, most = sum(map(bool, single)) + sum(lists.values()), MOST_DEVICES[facts.architecture]
    if total > most:
        longest = max(lists, key=lambda key: lists[key])
        raise DeclarationError(longest, f"{total} devices exceed the limit of {most} of stratovirt; declare fewer")


def _machine(declaration: Declaration, facts: HostFacts) -> str:
    kind = "microvm" if facts.architecture == "x86_64" else "virt"
    # Without it, virtiofsd cannot read the guest's memory.
    return kind + (",mem-share=on" if declaration["shares"] else "")


def _kernel_command_line(declaration: Declaration, facts: HostFacts) -> str:
    console = "ttyS0" if facts.architecture == "x86_64" else "ttyAMA0"
    own = [f"console={console}", "edd=off", "reboot=t", "panic=-1"]
    return kernel_command_line([*own, *kernel_parameters(declaration, by_serial=True)])


def _switch(value: Optional[bool]) -> str:
    return "on" if value else "off"


def _balloon(declaration: Declaration) -> List[str]:
    if not declaration["balloon"]:
        return []
    # Unlike those of other devices, these two are not on and off.
    deflate = "true" if declaration["deflate_on_oom"] else "false"
    return ["-device", f"virtio-balloon-device,id=balloon0,deflate-on-oom={deflate},free-page-reporting=true"]


def _disks(declaration: Declaration) -> List[str]:
    arguments: List[str] = []
    if declaration["store_disk"]:
        options = f"id=store,format=raw,readonly=on,file={declaration['store_disk']},if=none,aio=io_uring,direct=false"
        serial = f",serial={STORE_SERIAL}" if declaration["image"] else ""
        arguments += ["-drive", options, "-device", f"virtio-blk-device,drive=store,id=blk_store{serial}"]
    for volume, name in zip(declaration["volumes"], disk_names(declaration)):
        options = f"id={name},format=raw,if=none,aio=io_uring,file={volume['image']}"
        options += f",direct={_switch(volume['direct'])},readonly={_switch(volume['read_only'])}"
        own = disk_serial(declaration, volume)
        device = f"virtio-blk-device,drive={name},id=blk_{name}" + (f",serial={own}" if own else "")
        arguments += ["-drive", options, "-device", device]
    return arguments


def _shares(declaration: Declaration) -> List[str]:
    arguments: List[str] = []
    for index, share in enumerate(declaration["shares"]):
        arguments += ["-chardev", f"socket,id=fs{index},path={share['socket']}"]
        arguments += ["-device", f"vhost-user-fs-device,chardev=fs{index},tag={share['tag']},id=fs{index}"]
    return arguments


def _queues(declaration: Declaration) -> int:
    return min(MOST_QUEUES, int(declaration["vcpu"]))


def _interface(declaration: Declaration, interface: Interface, macvtaps: Descriptors) -> List[str]:
    name, queues = interface["id"], _queues(declaration)
    own = [str(descriptor) for descriptor in macvtaps.get(name, [])]
    end = f"ifname={name}" if not own else f"fd={own[0]}" if len(own) == 1 else f"fds={':'.join(own)}"
    backend = ["tap", f"id={name}", f"queues={queues}", end, *(("vhost=on",) if interface["tap"]["vhost"] else ())]
    device = f"virtio-net-device,id=net_{name},netdev={name},mac={interface['mac']},mq={_switch(queues > 1)}"
    return ["-netdev", ",".join(backend), "-device", device]
