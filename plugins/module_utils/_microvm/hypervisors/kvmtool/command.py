# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of kvmtool's ``lkvm`` (its manual and source)."""

from __future__ import annotations

from typing import List, Optional

from ...declaration.names import HUGE_PAGES_PREFIX
from ...declaration.types import Interface
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
from ..refusals import refuse_in
from ..requests import Balloon, CommandRequest, guest_shutdown, notify_parameters, notify_port
from ..words import TapDevice, Text, Variable, join, words
from .profile import PROFILE

NAMED = ("store_disk", "volumes[].image", "shares[].source", "shares[].tag")
"""Values of options whose parser has no way to write a comma."""

MOST_DISKS = 4
"""``MAX_DISK_IMAGES`` of its include/kvm/disk-image.h."""
COMMAND_LINE_LENGTH = 2048
"""Length of the kernel's, with the parameters that lkvm adds; its x86/include/kvm/kvm-arch.h."""
ADDED_LENGTH = 200
"""Length of the parameters that lkvm adds, generously (x86/kvm.c)."""


class Kvmtool(Hypervisor):
    """kvmtool: small, and without ACPI, so only the guest itself can end it properly."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return program_path(declaration["kvmtool"]["package"], "lkvm")

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        refuse_in(declaration, NAMED, ",", PROFILE.name)
        name = self.program(declaration, facts)
        initrd = initrd_with_credentials(declaration, FIRST_DESCRIPTOR, by_serial=False)
        arguments: List[Text] = [
            *(name, "run", "--name", declaration["name"]),
            *("-m", str(declaration["mem"]), "-c", str(declaration["vcpu"]), "--console", "serial", "--rng"),
            *("-k", declaration["kernel"], *(("-i", initrd.path) if initrd.path else ())),
            *("-p", _kernel_command_line(declaration)),
            *(("--balloon",) if declaration["balloon"] else ()),
            *(("--hugetlbfs", HUGE_PAGES_PREFIX + declaration["name"]) if declaration["hugepage_mem"] else ()),
            *_disks(declaration),
            *_shares(declaration),
        ]
        arguments += _interfaces(declaration)
        if declaration["vsock"]["cid"] is not None:
            arguments += ["--vsock", str(declaration["vsock"]["cid"])]
        for device in declaration["devices"]:
            arguments += ["--vfio-pci", device["path"]]
        arguments += declaration["kvmtool"]["extra_args"]
        return Command(
            argv=words(*arguments),
            notify_port=notify_port(declaration),
            shutdown=guest_shutdown(declaration, "reboot"),
            balloon=_balloon(declaration, name),
            sets_balloon=declaration["initial_balloon_mem"] > 0,
            initrd_credentials=initrd.names,
            initrd_descriptor=initrd.descriptor,
            needs_home=True,
        )


HYPERVISOR = Kvmtool()


def _kernel_command_line(declaration: Declaration) -> str:
    own = ["console=ttyS0", "reboot=k", "panic=1", *notify_parameters(declaration)]
    text = kernel_command_line([*own, *kernel_parameters(declaration, by_serial=False)])
    if len(text) + ADDED_LENGTH > COMMAND_LINE_LENGTH:
        raise DeclarationError(
            "kernel_params",
            f"have {len(text)} characters, kvmtool accepts {COMMAND_LINE_LENGTH - ADDED_LENGTH}; shorten them",
        )
    return text


def _disks(declaration: Declaration) -> List[str]:
    disks = [f"{declaration['store_disk']},ro"] if declaration["store_disk"] else []
    for volume in declaration["volumes"]:
        flags = [*(["direct"] if volume["direct"] else []), *(["ro"] if volume["read_only"] else [])]
        # A scheme that stands before what is no file.
        place = "./" if volume["image"].startswith("scsi:") else ""
        disks.append(",".join([f"{place}{volume['image']}", *flags]))
    if len(disks) > MOST_DISKS:
        raise DeclarationError(
            "volumes", f"kvmtool supports at most {MOST_DISKS} disks, including the root disk; declare fewer"
        )
    return [argument for disk in disks for argument in ("-d", disk)]


def _shares(declaration: Declaration) -> List[str]:
    arguments: List[str] = []
    for share in declaration["shares"]:
        arguments += ["--9p", f"{share['source']},{share['tag']}"]
    return arguments


def _interfaces(declaration: Declaration) -> List[Text]:
    users = [index for index, interface in enumerate(declaration["interfaces"]) if interface["type"] == "user"]
    if len(users) > 1:
        raise DeclarationError(
            f"interfaces[{users[1]}].type", "kvmtool supports only one interface of type user; remove this one"
        )
    if not declaration["interfaces"]:
        # Else there is a user network that nobody has declared.
        return ["-n", "mode=none"]
    arguments: List[Text] = []
    for interface in declaration["interfaces"]:
        arguments += ["-n", _interface(interface)]
    return arguments


def _interface(interface: Interface) -> Text:
    mac = f"guest_mac={interface['mac']}"
    if interface["type"] == "macvtap":
        return join("mode=tap,tapif=", TapDevice(interface["id"]), f",{mac}")
    return f"mode={interface['type']},tapif={interface['id']},{mac}"


def _balloon(declaration: Declaration, name: str) -> Optional[Balloon]:
    if not declaration["balloon"]:
        return None
    difference = join(Variable.DIFFERENCE)
    grow, shrink = (
        CommandRequest(words(name, "balloon", "-n", declaration["name"], option, difference)) for option in ("-i", "-d")
    )
    return Balloon(grow, shrink)
