# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of crosvm (its book, and the source of its parser)."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple

from ...declaration.identity import STORE_SERIAL, as_uuid
from ...declaration.types import Interface
from ...declaration.vms.guest import disk_serial, kernel_parameters
from ...declaration.vms.parse import Declaration
from ...schema.errors import DeclarationError
from ...schema.quoting import kernel_command_line
from ..command import Command
from ..descriptors import Descriptors, macvtap_descriptors, next_descriptor, pairs
from ..facts import HostFacts
from ..hypervisor import Hypervisor
from ..initrd_credentials import initrd_with_credentials
from ..programs import program_path
from ..refusals import refuse_characters
from ..requests import Balloon, CommandRequest, Shutdown, notify_parameters, notify_port
from ..words import Text, Variable, join, words
from .gpu import gpu_device
from .profile import PROFILE

CONNECT_MILLISECONDS = 30_000
"""Time that crosvm waits for virtiofsd; by default it does not."""


PIVOT_ROOT = "/var/empty"
"""Directory that crosvm makes the root directory of its device processes, unless it is given another."""


class Crosvm(Hypervisor):
    """crosvm: a process for each device, each in a sandbox of its own where the unit is none."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return program_path(declaration["crosvm"]["package"], PROFILE.name)

    def directories(self, declaration: Declaration) -> Mapping[str, str]:
        """See Hypervisor.directories."""
        if declaration["profile"] == "strict" or "--disable-sandbox" in declaration["crosvm"]["extra_args"]:
            return {}
        return {"crosvm.pivot_root": declaration["crosvm"]["pivot_root"] or PIVOT_ROOT}

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        socket, graphics = declaration["socket"], declaration["graphics"]
        name = self.program(declaration, facts)
        macvtaps = macvtap_descriptors(declaration, 1)
        initrd = initrd_with_credentials(declaration, next_descriptor(macvtaps))
        arguments: List[Text] = [
            # Without the first, each end has the status 0.
            *(name, "--extended-status", "run", *_memory(declaration), "-c", str(declaration["vcpu"])),
            *("--serial", "type=stdout,console=true,stdin=true", "-p", _kernel_command_line(declaration)),
            *_balloon(declaration),
            *("--smbios", f"uuid={as_uuid(declaration['machine_id'])}"),
            *_sandbox(declaration),
            *_disks(declaration),
            *_shares(declaration),
            *(("--vhost-user", f"gpu,socket={_value(graphics['socket'])}") if graphics["enable"] else ()),
            *(("-s", socket) if socket else ()),
        ]
        for interface in declaration["interfaces"]:
            arguments += ["--net", _net(interface, macvtaps)]
        if declaration["vsock"]["cid"] is not None:
            arguments += ["--vsock", str(declaration["vsock"]["cid"])]
        for device in declaration["devices"]:
            arguments += ["--vfio", f"/sys/bus/pci/devices/{device['path']},iommu=viommu"]
        arguments += ["--initrd", initrd.path] if initrd.path else []
        arguments += [*declaration["crosvm"]["extra_args"], declaration["kernel"]]
        return Command(
            argv=words(*arguments),
            notify_port=notify_port(declaration),
            shutdown=_shutdown(name, socket),
            balloon=_balloon_request(declaration, name),
            live_options=("--init-mem",),
            macvtaps=pairs(macvtaps),
            stale=(socket,) if socket else (),
            sidecar=gpu_device(declaration),
            sidecar_socket=graphics["socket"] if graphics["enable"] else "",
            initrd_credentials=initrd.names,
            initrd_descriptor=initrd.descriptor,
        )


HYPERVISOR = Crosvm()


def _value(text: str) -> str:
    """Quote a value where it needs quotes, with a backslash before a quote (crosvm's serde_keyvalue)."""
    if not any(character in text for character in ",=\"'[]"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _untyped(text: str) -> str:
    """Quote a value that is read before its type is known, if it would be taken for a number or a boolean."""
    return f'"{text}"' if text[0].isdigit() or text.startswith(("true", "false")) else _value(text)


def _switch(value: Optional[bool]) -> str:
    return "true" if value else "false"


def _sandbox(declaration: Declaration) -> List[str]:
    """Return the options of crosvm's own sandbox, which needs namespaces and mounts: a strict unit permits neither."""
    root = declaration["crosvm"]["pivot_root"]
    if declaration["profile"] != "strict":
        return ["--pivot-root", root] if root else []
    if root:
        raise DeclarationError(
            "crosvm.pivot_root",
            "is part of crosvm's own sandbox, which `profile: strict` replaces; remove it, or set `profile: compat`",
        )
    return ["--disable-sandbox"]


def _memory(declaration: Declaration) -> List[str]:
    return ["-m", str(declaration["mem"]), *(("--hugepages",) if declaration["hugepage_mem"] else ())]


def _kernel_command_line(declaration: Declaration) -> str:
    own = ["console=ttyS0", "reboot=k", "panic=1", *notify_parameters(declaration)]
    return kernel_command_line([*own, *kernel_parameters(declaration, by_serial=True)])


def _balloon(declaration: Declaration) -> List[str]:
    if not declaration["balloon"]:
        return ["--no-balloon"]
    taken = declaration["initial_balloon_mem"]
    initial = ["--init-mem", str(declaration["mem"] - taken)] if taken else []
    return ["--balloon-page-reporting", *initial]


def _disks(declaration: Declaration) -> List[str]:
    disks: List[Tuple[str, Dict[str, Optional[str]]]] = []
    if declaration["store_disk"]:
        serial = STORE_SERIAL if declaration["image"] else None
        disks.append((declaration["store_disk"], {"ro": "true", "id": serial}))
    for volume in declaration["volumes"]:
        serial = disk_serial(declaration, volume)
        options = {"ro": _switch(volume["read_only"]), "direct": _switch(volume["direct"]), "id": serial}
        disks.append((volume["image"], options))
    arguments: List[str] = []
    for path, options in disks:
        written = [f"{key}={value}" for key, value in options.items() if value is not None]
        # A value without its key is one only if it does not begin as a key does.
        arguments += ["--block", ",".join([f"path={_value(path)}", *written])]
    return arguments


def _shares(declaration: Declaration) -> List[str]:
    arguments: List[str] = []
    for index, share in enumerate(declaration["shares"]):
        if share["proto"] == "virtiofs":
            arguments += ["--vhost-user", f"type=fs,socket={_value(share['socket'] or '')}"]
            continue
        for key in ("source", "tag"):
            refuse_characters(share[key], ":", f"shares[{index}].{key}", PROFILE.name)
        if share["read_only"]:
            raise DeclarationError(
                f"shares[{index}].read_only", "crosvm does not support read-only 9p shares; set `proto: virtiofs`"
            )
        arguments += ["--shared-dir", f"{share['source']}:{share['tag']}:type=p9"]
    if any(share["proto"] == "virtiofs" for share in declaration["shares"]):
        arguments += ["--vhost-user-connect-timeout-ms", str(CONNECT_MILLISECONDS)]
    return arguments


def _net(interface: Interface, macvtaps: Descriptors) -> str:
    # One queue: with several, crosvm sets the interface up itself, which its user may not (into_mq_taps in its tap.rs).
    name = interface["id"]
    end = f"tap-fd={macvtaps[name][0]}" if name in macvtaps else f"tap-name={_untyped(name)}"
    options = [end, f"mac={interface['mac']}"]
    return ",".join(options + (["vhost-net"] if interface["tap"]["vhost"] else []))


def _shutdown(name: str, socket: Optional[str]) -> Optional[Shutdown]:
    return Shutdown(CommandRequest(words(name, "powerbtn", socket))) if socket else None


def _balloon_request(declaration: Declaration, name: str) -> Optional[Balloon]:
    socket = declaration["socket"]
    if not declaration["balloon"] or socket is None:
        return None
    return Balloon(CommandRequest(words(name, "balloon", join(Variable.BALLOON_BYTES), socket)))
