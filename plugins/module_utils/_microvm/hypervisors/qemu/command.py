# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of QEMU: machines ``microvm`` (docs/system/i386/microvm.rst of its manual), ``q35``, ``virt``."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ...declaration.names import EVENTS_PIPE
from ...declaration.vms.parse import Declaration
from ..command import Command
from ..descriptors import macvtap_descriptors, pairs
from ..facts import HostFacts
from ..hypervisor import Hypervisor
from ..requests import QmpRequest, Shutdown, notify_port, qmp_balloon
from ..words import Text, join, words
from .devices import (
    balloon_device,
    display,
    network_device,
    passthrough,
    root_ports,
    share_device,
    store_disk,
    user_network,
    volumes,
)
from .machine import Machine, escape, fw_cfg_files, kernel, machine, memory, qemu_program, sandbox
from .probe import kvm_probe
from .profile import PROFILE

# The control socket serves one client only, whereas whoever waits for the end must have heard all that was said.
_EVENTS = ("-chardev", f"pipe,id=events,path={EVENTS_PIPE}", "-mon", "chardev=events,mode=control")


class Qemu(Hypervisor):
    """QEMU: runs everywhere, and emulates where there is no KVM."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return qemu_program(declaration, facts)

    def probe(self, architecture: str, kernel: str) -> Tuple[str, ...]:
        """See Hypervisor.probe."""
        return kvm_probe(architecture, kernel)

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        target = Machine(declaration, facts)
        target.check()
        arguments: List[Text] = [
            *machine(target),
            *kernel(target),
            *root_ports(declaration),
            *store_disk(target),
            *display(target),
            *sandbox(target),
            *_control_socket(declaration),
            *_EVENTS,
            *balloon_device(target),
            *volumes(target),
            *memory(target),
        ]
        for index, share in enumerate(declaration["shares"]):
            arguments += share_device(target, index, share)
        descriptors = macvtap_descriptors(declaration, declaration["vcpu"])
        for link in declaration["interfaces"]:
            arguments += network_device(target, link, user_network(declaration, link), descriptors)
        if declaration["vsock"]["cid"] is not None:
            arguments += ["-device", f"vhost-vsock-{target.bus},guest-cid={declaration['vsock']['cid']}"]
        arguments += passthrough(target)
        arguments += fw_cfg_files(target)
        arguments += declaration["qemu"]["extra_args"]
        forwards_to_host = any(port["from"] == "guest" for port in declaration["forward_ports"])
        return Command(
            argv=words(*arguments),
            notify_port=notify_port(declaration),
            shutdown=_shutdown(declaration),
            balloon=qmp_balloon(declaration),
            sets_balloon=declaration["initial_balloon_mem"] > 0 and declaration["socket"] is not None,
            multi_queue=declaration["vcpu"] > 1,
            macvtaps=pairs(descriptors),
            stale=(declaration["socket"],) if declaration["socket"] else (),
            events=True,
            programs=("nc",) if forwards_to_host else (),
        )


HYPERVISOR = Qemu()


def _control_socket(declaration: Declaration) -> List[str]:
    path = declaration["socket"] or ""
    # What stands before an equals sign is a key.
    key = "path=" if "=" in path else ""
    return ["-qmp", f"unix:{key}{escape(path)},server=on,wait=off"] if path else []


def _shutdown(declaration: Declaration) -> Optional[Shutdown]:
    if declaration["socket"] is None:
        return None
    return Shutdown(QmpRequest(declaration["socket"], join('{"execute":"system_powerdown"}')))
