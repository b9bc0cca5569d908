# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of alioth (the source of its parser)."""

from __future__ import annotations

from typing import List, Optional

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
from ..requests import guest_shutdown, notify_parameters, notify_port
from ..words import TapDevice, Text, join, words
from .profile import PROFILE

NAMED = ("store_disk", "volumes[].image", "shares[].socket", "shares[].tag")
"""Values of options that are taken as a whole for a file's name where they cannot be read."""

IDENTIFIER = "id_"
"""Beginning of a value that stands for the value of an ``--object``."""

MTU = 1500
"""Bytes of a packet; alioth has no default of its own."""


class Alioth(Hypervisor):
    """alioth: young, small, and without a control socket, so a guest is only stopped from inside."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return program_path(declaration["alioth"]["package"], PROFILE.name)

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        refuse_in(declaration, NAMED, ",=", PROFILE.name)
        _refuse_identifiers(declaration)
        initrd = initrd_with_credentials(declaration, FIRST_DESCRIPTOR, by_serial=False)
        arguments: List[Text] = [
            *(self.program(declaration, facts), "run"),
            *("--memory", f"size={declaration['mem']}M,backend=memfd", "--cpu", f"count={declaration['vcpu']}"),
            *("-k", declaration["kernel"], *(("-i", initrd.path) if initrd.path else ())),
            *("-c", _kernel_command_line(declaration, facts), "--entropy"),
            *_disks(declaration),
        ]
        for share in declaration["shares"]:
            arguments += ["--fs", f"vu,socket={_path(share['socket'])},tag={share['tag']}"]
        for interface in declaration["interfaces"]:
            arguments += ["--net", _interface(declaration, interface)]
        if declaration["vsock"]["cid"] is not None:
            arguments += ["--vsock", f"vhost,cid={declaration['vsock']['cid']}"]
        arguments += declaration["alioth"]["extra_args"]
        return Command(
            argv=words(*arguments),
            notify_port=notify_port(declaration),
            shutdown=guest_shutdown(declaration, "poweroff"),
            multi_queue=declaration["vcpu"] > 1,
            initrd_credentials=initrd.names,
            initrd_descriptor=initrd.descriptor,
            # Its released versions have no other console.
            terminal=True,
        )


HYPERVISOR = Alioth()


def _refuse_identifiers(declaration: Declaration) -> None:
    """Raise DeclarationError for names that alioth takes for the identifier of an object (``--object``)."""
    names = [(f"shares[{index}].tag", share["tag"]) for index, share in enumerate(declaration["shares"])]
    names += [(f"interfaces[{index}].id", interface["id"]) for index, interface in enumerate(declaration["interfaces"])]
    for key, name in names:
        if name.startswith(IDENTIFIER):
            raise DeclarationError(
                key, f"begins with {IDENTIFIER!r}, which alioth takes for an object; use another name"
            )


def _path(path: Optional[str]) -> str:
    """Return a path that alioth does not take for the identifier of an object."""
    return f"./{path}" if path and path.startswith(IDENTIFIER) else path or ""


def _kernel_command_line(declaration: Declaration, facts: HostFacts) -> str:
    console = "ttyS0" if facts.architecture == "x86_64" else "ttyAMA0"
    # It has no keyboard controller, which the kernel would poll for minutes. By ACPI a guest reboots in place; a triple
    # fault ends the process, but with the status of a poweroff.
    own = [f"console={console}", "reboot=a", "panic=1", *notify_parameters(declaration)]
    return kernel_command_line([*own, *kernel_parameters(declaration, by_serial=False)])


def _disks(declaration: Declaration) -> List[str]:
    disks = [f"file,path={declaration['store_disk']},readonly=true"] if declaration["store_disk"] else []
    for volume in declaration["volumes"]:
        disks.append(f"file,path={_path(volume['image'])},readonly={'true' if volume['read_only'] else 'false'}")
    return [argument for disk in disks for argument in ("--blk", disk)]


def _interface(declaration: Declaration, interface: Interface) -> Text:
    options = f"mac={interface['mac']},queue_pairs={declaration['vcpu']},mtu={MTU}"
    if interface["type"] == "macvtap":
        return join("tap,tap=", TapDevice(interface["id"]), f",{options}")
    return f"tap,if={interface['id']},{options}"
