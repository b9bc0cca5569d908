# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm-run``: makes what is missing and becomes the hypervisor."""

from __future__ import annotations

import posixpath
import shlex
from typing import Iterator, List, Sequence

from ...declaration.names import ENDED_FILE, EVENTS_FIFOS, NOTIFICATION_SOCKET, PROCESS_FILE, TERMINAL_LINK
from ...declaration.types import Volume
from ...declaration.vms.block_devices import is_formatted
from ...declaration.vms.host_key import files_of_credentials
from ...declaration.vms.parse import Declaration
from ...declaration.vms.share_sources import SOURCE_MODE
from ...hypervisors.command import Command
from ...hypervisors.words import CredentialFile, TapDevice, Variable, Word
from . import sources
from .shell import HOME, call, definitions, header, quoted, shell_command, socat_escape

_LABEL_OPTIONS = {"vfat": "-n"}
_QUIET = ("ext2", "ext3", "ext4", "xfs", "btrfs")


def microvm_run(declaration: Declaration, built: Command) -> str:
    """Return the script, which runs in the state directory."""
    script = header(f"Runs MicroVM {declaration['name']} in the working directory.")
    script += definitions(list(_words(declaration, built))) + (HOME if built.needs_home else "")
    if declaration["pre_start"]:
        script += f"\n{declaration['pre_start'].rstrip()}\n"
    script += _directories(declaration, built) + _volumes(declaration) + _sockets(built)
    if built.events:
        script += sources.EVENTS + "\n" + call("record_reason_of_end", *EVENTS_FIFOS, ENDED_FILE)
    if built.terminal:
        # Before descriptors are opened, of which the process beside the hypervisor gets none.
        script += sources.TERMINAL + "\n" + call("provide_terminal", TERMINAL_LINK)
    script += _initrd(declaration, built) + _macvtaps(built)
    if built.sets_balloon:
        size = declaration["initial_balloon_mem"]
        script += f'{sources.INITIAL_BALLOON}\nset_initial_balloon "$package"/bin/microvm-balloon {size}\n'
    return script + sources.RECORD_PROCESS + "\n" + call("record_process", PROCESS_FILE) + _become(declaration, built)


def _words(declaration: Declaration, built: Command) -> Iterator[Word]:
    """Yield every word of the script that may have variables."""
    yield from built.argv
    yield from built.sidecar
    yield from (_credential(declaration, name) for name in built.initrd_credentials)
    yield from (Word((TapDevice(interface),)) for interface, _descriptor in built.macvtaps)
    if built.sets_balloon:
        yield Word((Variable.PACKAGE,))


def _directories(declaration: Declaration, built: Command) -> str:
    """Return what creates directories in the working directory: of images, of sockets, and those that 9p shares."""
    files = [volume["image"] for volume in declaration["volumes"] if volume["auto_create"]]
    files += [declaration["socket"] or "", built.sidecar_socket, *built.stale]
    files += [built.notify.socket] if built.notify else []
    directories = [posixpath.dirname(file) for file in files]
    shared = [share for share in declaration["shares"] if share["proto"] == "9p" and share["source"][0] != "/"]
    directories += [share["source"] for share in shared]
    inside = {posixpath.normpath(directory) for directory in directories if directory and directory[0] != "/"} - {"."}
    # Before the others, whose mode is that of the unit. One that exists keeps its mode.
    own = {share["source"]: share["source_mode"] for share in shared if share["source_mode"] != SOURCE_MODE}
    script = "".join(call("mkdir", "-p", "-m", mode, "--", source) for source, mode in sorted(own.items()))
    return script + (call("mkdir", "-p", "--", *sorted(inside)) if inside else "")


def _volumes(declaration: Declaration) -> str:
    created = [
        call("create_volume", volume["image"], str(volume["size"]), *_mkfs(volume))
        for volume in declaration["volumes"]
        if volume["auto_create"]
    ]
    formatted = [
        call("format_if_blank", volume["image"], *_mkfs(volume))
        for volume in declaration["volumes"]
        if is_formatted(volume)
    ]
    script = sources.VOLUMES + "\n" + "".join(created) if created else ""
    return script + (sources.FORMAT_IF_BLANK + "\n" + "".join(formatted) if formatted else "")


def _mkfs(volume: Volume) -> List[str]:
    """Return the program that makes the file system of a volume, and its arguments."""
    kind, label = volume["fs_type"], volume["label"]
    arguments = [f"mkfs.{kind}", *(("-q",) if kind in _QUIET else ())]
    arguments += [_LABEL_OPTIONS.get(kind, "-L"), label] if label else []
    return arguments + volume["mkfs_extra_args"]


def _sockets(built: Command) -> str:
    """Return what removes stale sockets and starts the programs behind others."""
    stale = list(built.stale) + ([built.sidecar_socket] if built.sidecar_socket else [])
    script = ""
    if built.notify:
        listener = f"{built.notify.socket}_{built.notify.port}"
        stale.append(listener)
        script += sources.NOTIFY_RELAY + "\n" + call("relay_notifications", socat_escape(listener))
    if built.notify_port is not None:
        script += sources.TAKE_NOTIFICATION + "\n" + call("take_notification", NOTIFICATION_SOCKET)
    if built.sidecar:
        start = f"start_sidecar {shlex.quote(built.sidecar_socket)}"
        script += f"{sources.SIDECAR}\n{start} \\\n    {shell_command(built.sidecar)}\n"
    return (_removal(stale) if stale else "") + script


def _removal(stale: Sequence[str]) -> str:
    """Return what removes what the former hypervisor has left under some names, which may be anything."""
    return f"\n{shlex.join(['chmod', '-R', 'u+rwX', '--', *stale])} 2>/dev/null || true\n" + call(
        "rm", "-rf", "--", *stale
    )


def _initrd(declaration: Declaration, built: Command) -> str:
    """Return what makes the initial RAM disk with the credentials that are appended to it, and opens it."""
    if not built.initrd_credentials:
        return ""
    script = sources.INITRD_CREDENTIALS + "\n" + call("begin_initrd", declaration["name"])
    for name in built.initrd_credentials:
        script += f"add_credential {quoted(_credential(declaration, name))} {shlex.quote(name)}\n"
    script += call("join_initrd", declaration["initrd_path"] or "")
    return script + f'exec {built.initrd_descriptor}<"$initrd_directory/initrd"\nend_initrd\n'


def _credential(declaration: Declaration, name: str) -> Word:
    """Return the path of a credential: the declared file, or the package's own."""
    files = files_of_credentials(declaration)
    own = (Variable.PACKAGE, f"/share/microvm/credentials/{name}")
    return Word((CredentialFile(name, files[name]),) if name in files else own)


def _macvtaps(built: Command) -> str:
    """Return what opens the devices of macvtaps at the descriptors that the hypervisor expects."""
    return "".join(
        f"exec {descriptor}<>{quoted(Word((TapDevice(interface),)))}\n" for interface, descriptor in built.macvtaps
    )


def _become(declaration: Declaration, built: Command) -> str:
    script = ""
    name = f"-a {shlex.quote('microvm@' + declaration['name'])} " if declaration["pretty_procnames"] else ""
    argv = shell_command(built.argv)
    if declaration["extra_args_script"]:
        script += sources.EXTRA_ARGUMENTS + "\n" + call("read_extra_arguments", declaration["extra_args_script"])
        # bash before 4.4 calls an empty list unset.
        argv += ' \\\n    ${extra_arguments[@]+"${extra_arguments[@]}"}'
    return script + f"\nexec {name}{argv}\n"
