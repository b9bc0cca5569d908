# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of vfkit, for hosts with macOS (its doc/usage.md)."""

from __future__ import annotations

from typing import List, Optional

from ...declaration.types import VfkitRosetta, Volume
from ...declaration.vms.guest import kernel_parameters
from ...declaration.vms.parse import Declaration
from ...schema.quoting import kernel_command_line
from ..command import Command
from ..facts import HostFacts
from ..hypervisor import Hypervisor
from ..programs import program_path
from ..refusals import refuse_characters, refuse_in
from ..requests import CommandRequest, Shutdown
from ..words import Text, Variable, join, words
from .profile import PROFILE

NAMED = ("kernel", "initrd_path", "store_disk", "volumes[].image", "shares[].source", "shares[].tag", "socket")
"""Values of options whose parser has no way to write a comma or a quote."""


class Vfkit(Hypervisor):
    """vfkit: Apple's own virtualisation. Only packages are made for it, since there is no role for such hosts."""

    profile = PROFILE

    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """See Hypervisor.program."""
        return program_path(declaration["vfkit"]["package"], PROFILE.name)

    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """See Hypervisor.command."""
        _check(declaration)
        options, shows = declaration["vfkit"], declaration["graphics"]["enable"]
        arguments: List[Text] = [
            *(
                self.program(declaration, facts),
                "--cpus",
                str(declaration["vcpu"]),
                "--memory",
                str(declaration["mem"]),
            ),
            *(("--log-level", options["log_level"]) if options["log_level"] else ()),
            *(("--gui",) if shows else ()),
            *("--bootloader", _boot_loader(declaration), "--device", "virtio-rng"),
            *_devices("virtio-gpu", "virtio-input,keyboard", "virtio-input,pointing")[: 6 if shows else 0],
            *(() if shows else _devices("virtio-serial,stdio")),
            *_devices(*_disks(declaration)),
            *_devices(*_shares(declaration)),
            *_devices(*(f"virtio-net,nat,mac={interface['mac']}" for interface in declaration["interfaces"])),
            *_devices(*_rosetta(options["rosetta"])),
        ]
        socket = declaration["socket"]
        if socket is not None:
            place = (socket,) if socket.startswith("/") else (Variable.WORKING_DIRECTORY, f"/{socket}")
            arguments += ["--restful-uri", join("unix://", *place)]
        arguments += options["extra_args"]
        return Command(argv=words(*arguments), shutdown=_shutdown(socket), stale=(socket,) if socket else ())


HYPERVISOR = Vfkit()


def _check(declaration: Declaration) -> None:
    refuse_in(declaration, NAMED, ',"', PROFILE.name)
    for index, parameter in enumerate(declaration["kernel_params"]):
        # A quote only switches the quoting of commas off and on, and stays in the text.
        if '"' in parameter:
            refuse_characters(parameter, ",", f"kernel_params[{index}]", PROFILE.name)


def _devices(*devices: str) -> List[str]:
    return [argument for device in devices for argument in ("--device", device)]


def _boot_loader(declaration: Declaration) -> str:
    console = "console=tty0" if declaration["graphics"]["enable"] else "console=hvc0"
    parameters = kernel_command_line([console, "reboot=t", "panic=-1", *kernel_parameters(declaration, by_serial=True)])
    initrd = f",initrd={declaration['initrd_path']}" if declaration["initrd_path"] else ""
    return f'linux,kernel={declaration["kernel"]}{initrd},cmdline="{parameters}"'


def _disks(declaration: Declaration) -> List[str]:
    disks = [f"virtio-blk,path={declaration['store_disk']},readonly"] if declaration["store_disk"] else []
    return disks + [_disk(volume) for volume in declaration["volumes"]]


def _disk(volume: Volume) -> str:
    read_only = ",readonly" if volume["read_only"] else ""
    serial = f",deviceId={volume['serial']}" if volume["serial"] else ""
    return f"virtio-blk,path={volume['image']}{read_only}{serial}"


def _shares(declaration: Declaration) -> List[str]:
    return [f"virtio-fs,sharedDir={share['source']},mountTag={share['tag']}" for share in declaration["shares"]]


def _rosetta(rosetta: VfkitRosetta) -> List[str]:
    if not rosetta["enable"]:
        return []
    flags = {"install": rosetta["install"], "ignoreIfMissing": rosetta["ignore_if_missing"]}
    return [",".join(["rosetta,mountTag=rosetta"] + [word for word, is_set in flags.items() if is_set])]


def _shutdown(socket: Optional[str]) -> Optional[Shutdown]:
    """Return the request by curl, since macOS has no socat."""
    if socket is None:
        return None
    request = ("--request", "POST", "--header", "Content-Type: application/json", "--data", '{"state":"Stop"}')
    curl = (
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--unix-socket",
        socket,
        *request,
        "http://localhost/vm/state",
    )
    return Shutdown(CommandRequest(words(*curl)))
