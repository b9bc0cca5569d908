# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU: the machines ``microvm`` (docs/system/i386/microvm.rst of QEMU's manual), ``q35``, ``virt`` and others."""

from __future__ import annotations

from typing import List, Optional

from ...declaration.guest import credentials
from ...declaration.parse import Declaration
from ..capabilities import QEMU
from ..interface import Balloon, Command, HostFacts, Hypervisor, QmpRequest, Shutdown, Text, Variable, join, words
from .devices import (
    balloon,
    display,
    interface,
    macvtaps,
    passthrough,
    root_ports,
    share,
    store_disk,
    user_network,
    volumes,
)
from .machine import Machine, escape, kernel, machine, memory, sandbox

CREDENTIAL_PREFIX = "opt/io.systemd.credentials/"


class Qemu(Hypervisor):
    """Runs everywhere, and emulates where there is no KVM."""

    name = QEMU

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
            *balloon(target),
            *volumes(target),
            *memory(target),
        ]
        for index, one in enumerate(declaration["shares"]):
            arguments += share(target, index, one)
        descriptors = macvtaps(declaration)
        for one in declaration["interfaces"]:
            arguments += interface(target, one, user_network(declaration, one), descriptors)
        if declaration["vsock"]["cid"] is not None:
            arguments += ["-device", f"vhost-vsock-{target.bus},guest-cid={declaration['vsock']['cid']}"]
        arguments += passthrough(target)
        arguments += _credentials(declaration)
        arguments += declaration["qemu"]["extra_args"] or []
        forwards_to_host = any(port["from"] == "guest" for port in declaration["forward_ports"])
        return Command(
            argv=words(*arguments),
            shutdown=_shutdown(declaration),
            balloon=_balloon(declaration),
            multi_queue=declaration["vcpu"] > 1,
            macvtaps=descriptors,
            stale=(declaration["socket"],) if declaration["socket"] else (),
            programs=("nc",) if forwards_to_host else (),
        )


def _control_socket(declaration: Declaration) -> List[str]:
    path = declaration["socket"]
    return ["-qmp", f"unix:{escape(path)},server=on,wait=off"] if path else []


def _credentials(declaration: Declaration) -> List[Text]:
    """Files, never arguments: what stands in one is nobody's business but the guest's."""
    arguments: List[Text] = []
    for name in credentials(declaration, by_serial=True):
        file = (Variable.PACKAGE, f"/share/microvm/credentials/{name}")
        arguments += ["-fw_cfg", join(f"name={CREDENTIAL_PREFIX}{name},file=", *file)]
    for name, path in sorted(declaration["credential_files"].items()):
        arguments += ["-fw_cfg", f"name={CREDENTIAL_PREFIX}{name},file={escape(path)}"]
    return arguments


def _shutdown(declaration: Declaration) -> Optional[Shutdown]:
    if declaration["socket"] is None:
        return None
    return Shutdown(QmpRequest(declaration["socket"], join('{"execute":"system_powerdown"}')))


def _balloon(declaration: Declaration) -> Optional[Balloon]:
    if not declaration["balloon"] or declaration["socket"] is None:
        return None
    command = join('{"execute":"balloon","arguments":{"value":', Variable.GUEST_BYTES, "}}")
    return Balloon(QmpRequest(declaration["socket"], command))
