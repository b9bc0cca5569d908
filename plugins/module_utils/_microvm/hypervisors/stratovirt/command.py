# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of StratoVirt (its docs/config_guidebook.md)."""

from __future__ import annotations

from typing import List, Optional, Tuple

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
from ..profile import KernelNeed
from ..programs import program_path
from ..refusals import refuse_in
from ..requests import guest_shutdown, notify_parameters, notify_port, qmp_balloon
from ..words import words
from .machine import StratovirtMachine
from .profile import PROFILE

NAMED = ("socket", "store_disk", "volumes[].image", "shares[].socket", "shares[].tag")
"""Values of options whose parser has no way to write a comma or an equals sign."""

LEAST_MEMORY, MOST_MEMORY = 128, 524288
"""MiB that ``-m`` takes."""

MOST_QUEUES = 16


class Stratovirt(Hypervisor):
    """StratoVirt: QEMU's words, and two machines, of which none has a power button: a guest ends from inside only."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return program_path(declaration["stratovirt"]["package"], PROFILE.name)

    def kernel_needs(self, declaration: Declaration, facts: HostFacts) -> Tuple[KernelNeed, ...]:
        """See Hypervisor.kernel_needs."""
        return () if StratovirtMachine(declaration, facts).is_standard else self.profile.kernel_needs

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        refuse_in(declaration, NAMED, ",=", PROFILE.name)
        # In its argument, which begins with `unix:`.
        refuse_in(declaration, ("socket",), ":", PROFILE.name)
        _refuse_leading_dashes(declaration)
        _check_memory(declaration)
        machine = StratovirtMachine(declaration, facts)
        machine.check()
        macvtaps = macvtap_descriptors(declaration, _queues(declaration))
        initrd = initrd_with_credentials(declaration, next_descriptor(macvtaps))
        socket = declaration["socket"]
        arguments = [
            *(self.program(declaration, facts), "-name", declaration["name"]),
            # Without sharing, virtiofsd cannot read the guest's memory.
            *("-machine", machine.type + (",mem-share=on" if declaration["shares"] else "")),
            *("-m", str(declaration["mem"]), "-smp", str(declaration["vcpu"])),
            *("-kernel", declaration["kernel"], *(("-initrd", initrd.path) if initrd.path else ())),
            *("-append", _kernel_command_line(machine), "-serial", "stdio"),
            *("-object", "rng-random,id=rng,filename=/dev/random", *machine.device("virtio-rng", "rng=rng,id=rng_dev")),
            *(("-mem-path", HUGE_PAGES_PREFIX + declaration["name"]) if declaration["hugepage_mem"] else ()),
            *_balloon(machine),
            *_disks(machine),
            *_shares(machine),
            *(("-qmp", f"unix:{socket},server,nowait") if socket else ()),
        ]
        for interface in declaration["interfaces"]:
            arguments += _interface(machine, interface, macvtaps)
        if declaration["vsock"]["cid"] is not None:
            arguments += machine.device("vhost-vsock", f"id=vsock,guest-cid={declaration['vsock']['cid']}")
        return Command(
            argv=words(*arguments, *declaration["stratovirt"]["extra_args"]),
            notify_port=notify_port(declaration),
            shutdown=guest_shutdown(declaration, machine.word),
            # It takes two commands that come together for one, which is none.
            balloon=qmp_balloon(declaration, negotiates=False),
            multi_queue=_queues(declaration) > 1,
            macvtaps=pairs(macvtaps),
            stale=(socket,) if socket else (),
            initrd_credentials=initrd.names,
            initrd_descriptor=initrd.descriptor,
            # Its console on standard input and output is the only one that both reads and writes there.
            terminal=True,
            clean_end=machine.word,
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


def _kernel_command_line(machine: StratovirtMachine) -> str:
    console = "ttyS0" if machine.facts.architecture == "x86_64" else "ttyAMA0"
    own = [f"console={console}", *machine.parameters, "panic=-1", *notify_parameters(machine.declaration)]
    return kernel_command_line([*own, *kernel_parameters(machine.declaration, by_serial=True)])


def _switch(value: Optional[bool]) -> str:
    return "on" if value else "off"


def _balloon(machine: StratovirtMachine) -> List[str]:
    if not machine.declaration["balloon"]:
        return []
    # Unlike those of other devices, these two are not on and off.
    deflate = "true" if machine.declaration["deflate_on_oom"] else "false"
    return machine.device("virtio-balloon", f"id=balloon0,deflate-on-oom={deflate},free-page-reporting=true")


def _disks(machine: StratovirtMachine) -> List[str]:
    arguments: List[str] = []
    declaration = machine.declaration
    if declaration["store_disk"]:
        options = f"id=store,format=raw,readonly=on,file={declaration['store_disk']},if=none,aio=io_uring,direct=false"
        serial = f",serial={STORE_SERIAL}" if declaration["image"] else ""
        arguments += ["-drive", options, *machine.device("virtio-blk", f"drive=store,id=blk_store{serial}")]
    for volume, name in zip(declaration["volumes"], disk_names(declaration)):
        options = f"id={name},format=raw,if=none,aio=io_uring,file={volume['image']}"
        options += f",direct={_switch(volume['direct'])},readonly={_switch(volume['read_only'])}"
        own = disk_serial(declaration, volume)
        device = f"drive={name},id=blk_{name}" + (f",serial={own}" if own else "")
        arguments += ["-drive", options, *machine.device("virtio-blk", device)]
    return arguments


def _shares(machine: StratovirtMachine) -> List[str]:
    arguments: List[str] = []
    for index, share in enumerate(machine.declaration["shares"]):
        arguments += ["-chardev", f"socket,id=fs{index},path={share['socket']}"]
        arguments += machine.device("vhost-user-fs", f"chardev=fs{index},tag={share['tag']},id=fs{index}")
    return arguments


def _queues(declaration: Declaration) -> int:
    return min(MOST_QUEUES, int(declaration["vcpu"]))


def _interface(machine: StratovirtMachine, interface: Interface, macvtaps: Descriptors) -> List[str]:
    name, queues = interface["id"], _queues(machine.declaration)
    own = [str(descriptor) for descriptor in macvtaps.get(name, [])]
    end = f"ifname={name}" if not own else f"fd={own[0]}" if len(own) == 1 else f"fds={':'.join(own)}"
    backend = ["tap", f"id={name}", f"queues={queues}", end, *(("vhost=on",) if interface["tap"]["vhost"] else ())]
    device = f"id=net_{name},netdev={name},mac={interface['mac']},mq={_switch(queues > 1)}"
    return ["-netdev", ",".join(backend), *machine.device("virtio-net", device)]
