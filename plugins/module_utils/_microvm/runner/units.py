# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sandbox of a MicroVM's units: drop-ins of the host's template units (systemd.exec(5), systemd.unit(5)).

They follow from the declaration alone, so they are part of the package, ``share/microvm/systemd/TEMPLATE.conf``: an
older package that is activated again brings its sandbox along.
"""

from __future__ import annotations

import posixpath
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

from ..declaration.accounts import account
from ..declaration.names import (
    GARBAGE_ROOTS,
    HOST_KEY_CREDENTIAL,
    HOST_KEY_DIRECTORY,
    KVM_GROUP,
    NOTIFY,
    REGISTRATION_CREDENTIAL,
    SHARE_DIRECTORY,
    VIRTIOFSD,
    unit_name,
)
from ..declaration.types import PackagedVm, Share
from ..declaration.vms.block_devices import access, block_devices, is_block_device
from ..declaration.vms.guest_store import closure_name, is_registered, registration_file
from ..declaration.vms.parse import Declaration
from ..hypervisors.command import Command
from ..hypervisors.facts import HostFacts
from ..hypervisors.profile import Profile
from ..hypervisors.programs import program_path
from ..hypervisors.registry import profile
from ..schema.quoting import Quoted, of_instance, plain, section, setting, unit_assignment, unit_credential, unit_word
from .sandbox import compat_settings, is_hidden, is_private, strict_settings
from .scripts import virtiofsd

UNIT_FILES = "share/microvm/systemd"

VIRTIOFSD_TEMPLATE = f"{VIRTIOFSD}@.service"

NOTIFY_TEMPLATE = f"{NOTIFY}@.service"

_KVM = "/dev/kvm"

HOST_KEY = of_instance(f"{HOST_KEY_CREDENTIAL}:{HOST_KEY_DIRECTORY}")
"""Value of ``LoadCredential=`` that passes on the SSH host key that the host has made for the guest of a unit."""

VIRTIOFSD_ROOT = """\
RootDirectoryStartOnly=yes
MountAPIVFS=yes
BindReadOnlyPaths=/usr -/bin -/sbin -/lib -/lib32 -/lib64 -/nix/store
BindReadOnlyPaths=-/etc/ld.so.cache -/etc/alternatives -/etc/passwd -/etc/group
BindReadOnlyPaths=-/run/systemd/notify
PrivateDevices=yes
"""
"""What the root directory of shares' daemons contains. TemporaryFileSystem=/ without RootDirectory= has no effect: the
root directory stays that of the host."""

VIRTIOFSD_WITHOUT_NAMESPACES = """\
RestrictNamespaces=yes
SystemCallFilter=~@mount @privileged @resources
SystemCallFilter=@chown @setuid capset chroot
"""

VIRTIOFSD_CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETGID", "CAP_SETUID"),
    # To confine itself: it changes its root directory, then drops what it does not need.
    *("CAP_SYS_CHROOT", "CAP_SETPCAP"),
)

_CAPABILITIES_WITHOUT_ROOT = ("CAP_CHOWN", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP")
"""What the script takes to give sockets to a group, and to execute daemons of other users only."""

UNIT_TEMPLATES = (unit_name(""), VIRTIOFSD_TEMPLATE, NOTIFY_TEMPLATE)
"""Template units that MicroVMs have settings of their own for."""

UnitSettings = Dict[str, str]
"""Contents of drop-ins by the template unit that they belong to."""

MEMORY_BESIDE, MEMORY_FOR_TRANSLATION = 512, 1024
"""MiB that a hypervisor needs beside the guest's memory and an eighth of it; a translator keeps code besides."""


def unit_settings_of(read: Callable[[str], str]) -> UnitSettings:
    """Return the drop-ins that a package brings along; ``read`` gives the content of its files, empty where none is."""
    contents = {template: read(f"{UNIT_FILES}/{template}.conf") for template in UNIT_TEMPLATES}
    return {template: content for template, content in contents.items() if content}


def packaged_drop_ins(declaration: Declaration, built: Command, facts: HostFacts) -> UnitSettings:
    """Return the drop-ins that the package of a declaration, with its command line, brings along."""
    texts = {unit_name(""): _hypervisor(declaration, built, facts)}
    if any(share["proto"] == "virtiofs" for share in declaration["shares"]):
        texts[VIRTIOFSD_TEMPLATE] = _virtiofsd(declaration)
    if built.notify_port is not None:
        # The unit of the hypervisor takes what its own user sends.
        texts[NOTIFY_TEMPLATE] = "".join(_account(declaration))
    return {template: section("Service", [text]) for template, text in texts.items() if text}


def host_credentials(declaration: PackagedVm) -> List[Quoted]:
    """Return the values of ``LoadCredential=`` that pass on what the host makes for the guest of a unit."""
    values = [HOST_KEY] if declaration["guest"]["host_key"] else []
    if is_registered(declaration):
        file = registration_file(closure_name(declaration["store_paths"]))
        values.append(of_instance(f"{REGISTRATION_CREDENTIAL}:{GARBAGE_ROOTS}", file))
    return values


def translates(settings: UnitSettings) -> bool:
    """Return whether the hypervisor of a package runs without KVM, as far as its drop-ins say so."""
    drop_in = settings.get(unit_name(""))
    return drop_in is not None and setting("DeviceAllow", plain(_KVM), plain("rw")) not in drop_in.splitlines(
        keepends=True
    )


def writable_paths(declaration: PackagedVm) -> Tuple[str, ...]:
    """Return what the MicroVM's process writes outside of its state directory: paths of files and directories."""
    images = [volume for volume in declaration["volumes"] if not is_block_device(volume)]
    volumes = [volume["image"] for volume in images if not volume["read_only"]]
    # An image that is yet to be made needs a directory to be made in.
    volumes = [posixpath.dirname(image) for image in volumes if image.startswith("/")]
    shares = [share["source"] for share in _external_shares(declaration) if not share["read_only"]]
    # Directories of sockets to virtiofsd are root's.
    socket = declaration["socket"] or ""
    directories = [posixpath.dirname(socket)] if socket.startswith("/") else []
    return tuple(sorted({*volumes, *shares, *directories}))


def external_directories(declaration: PackagedVm) -> Tuple[str, ...]:
    """Directories outside of the state directory that must be there before the MicroVM starts."""
    return tuple(sorted({*writable_paths(declaration), *(share["source"] for share in _external_shares(declaration))}))


def _external_shares(declaration: PackagedVm) -> List[Share]:
    return [share for share in declaration["shares"] if share["source"].startswith("/")]


def _hypervisor(declaration: Declaration, built: Command, facts: HostFacts) -> str:
    owner, devices = account(declaration), _devices(declaration, facts)
    lines = _account(declaration)
    if owner.is_own and any(device.startswith(("/dev/kvm", "/dev/vhost")) for device in devices):
        lines.append(setting("SupplementaryGroups", plain(KVM_GROUP)))
    written, is_strict = writable_paths(declaration), declaration["profile"] == "strict"
    has_own = is_hidden if is_strict else is_private
    lines += _writable(path for path in written if not has_own(path))
    # Root reads them; the hypervisor's user gets copies that no other one can read.
    credentials = sorted(declaration["credential_files"].items())
    lines += [setting("LoadCredential", unit_credential(name, path)) for name, path in credentials]
    lines += [setting("LoadCredential", value) for value in host_credentials(declaration)]
    lines += [setting("MemoryMax", plain(f"{_memory(declaration, facts)}M"))]
    lines += _meanings(profile(declaration), built)
    # The one who notifies is a relay beside the hypervisor.
    lines += (
        [setting("Type", plain("notify")), setting("NotifyAccess", plain("all"))]
        if declaration["use_notify_sockets"]
        else []
    )
    # An empty value forgets what the template allows.
    lines += [setting("DeviceAllow"), *(setting("DeviceAllow", plain(device), plain("rw")) for device in devices)]
    lines += [
        setting("DeviceAllow", plain(volume["image"]), plain(access(volume))) for volume in block_devices(declaration)
    ]
    text = "".join(lines)
    if is_strict:
        return text + strict_settings(declaration, built, facts, written)
    return text + compat_settings(declaration, built, written)


def _account(declaration: Declaration) -> List[str]:
    """Return the account of a MicroVM's own; nothing for one that runs as the template says."""
    owner = account(declaration)
    return [setting("User", plain(owner.user)), setting("Group", plain(owner.group))] if owner.is_own else []


def _meanings(hypervisor: Profile, built: Command) -> List[str]:
    """Return the variables by which the unit's main process tells how the guest has ended."""
    lines = [setting("Environment", unit_assignment("CLEAN_END", plain(built.clean_end or hypervisor.clean_end)))]
    meanings = ",".join(f"{status}:{meaning}" for status, meaning in sorted(hypervisor.statuses.items()))
    return lines + ([setting("Environment", unit_assignment("END_STATUSES", plain(meanings)))] if meanings else [])


def _writable(paths: Iterable[str]) -> List[str]:
    return [setting("ReadWritePaths", unit_word(path)) for path in paths]


def _memory(declaration: Declaration, facts: HostFacts) -> int:
    guest = int(declaration["mem"]) + int(declaration["hotplug_mem"])
    return guest + guest // 8 + MEMORY_BESIDE + (MEMORY_FOR_TRANSLATION if facts.accel == "tcg" else 0)


def _devices(declaration: Declaration, facts: HostFacts) -> Sequence[str]:
    kinds = {interface["type"] for interface in declaration["interfaces"]}
    buses = {device["bus"] for device in declaration["devices"]}
    vhost = any(interface["tap"]["vhost"] for interface in declaration["interfaces"])
    needs = {
        _KVM: facts.accel != "tcg",
        "/dev/net/tun": "tap" in kinds,
        "/dev/vhost-net": vhost,
        "/dev/vhost-vsock": declaration["vsock"]["cid"] is not None,
        "char-macvtap": "macvtap" in kinds,
        # The node of all containers, which is of another kind than those of groups.
        "/dev/vfio/vfio": "pci" in buses,
        "char-vfio": "pci" in buses,
        "char-usb_device": "usb" in buses,
    }
    return [device for device, needed in needs.items() if needed]


def _virtiofsd(declaration: Declaration) -> str:
    """Return the sandbox of the shares' daemons: what serving these sources takes, and nothing else to be seen.

    Sources are links that the unit has created before (``microvm-package virtiofsd-prepare``), with plain names:
    systemd 255 and newer reads quotes and backslashes of BindPaths= twice, older versions once.
    """
    daemons = virtiofsd.daemons(declaration)
    root = of_instance(SHARE_DIRECTORY, "root")
    lines = [setting("RootDirectory", root), VIRTIOFSD_ROOT, setting("ReadWritePaths")]
    program = program_path(declaration["virtiofsd"]["package"], "virtiofsd")
    lines += [_bind("BindReadOnlyPaths", path) for path in paths_of_program(program)]
    for number, share in enumerate(daemons):
        key = "BindReadOnlyPaths" if share["read_only"] else "BindPaths"
        lines.append(setting(key, of_instance(SHARE_DIRECTORY, "sources", str(number), is_optional=True)))
    sockets = {posixpath.dirname(share["socket"] or "") for share in daemons}
    lines += [_bind("BindPaths", path) for path in sorted(sockets) if path.startswith("/")]
    if not virtiofsd.chooses_sandbox(declaration):
        ours = VIRTIOFSD_CAPABILITIES if _has_daemon_of_root(declaration) else _CAPABILITIES_WITHOUT_ROOT
        capabilities = [*ours, *_capabilities_by_option(declaration)]
        lines += [setting("CapabilityBoundingSet"), setting("CapabilityBoundingSet", *map(plain, capabilities))]
        lines.append(VIRTIOFSD_WITHOUT_NAMESPACES)
    lines += [setting("SystemCallFilter", plain("open_by_handle_at"))] if _uses_file_handles(declaration) else []
    return "".join(lines)


def _uses_file_handles(declaration: Declaration) -> bool:
    handles = declaration["virtiofsd"]["inode_file_handles"]
    return handles in ("prefer", "mandatory") and _has_daemon_of_root(declaration)


def _has_daemon_of_root(declaration: Declaration) -> bool:
    return not all(share["user"] for share in virtiofsd.daemons(declaration))


def _bind(key: str, path: str) -> str:
    """Return a line that mounts a path where there is one."""
    return setting(key, plain(f"-{path}"))


def paths_of_program(program: str) -> Sequence[str]:
    """Return what a root directory of VIRTIOFSD_ROOT lacks of a program: what it was installed with, or its file."""
    if not program.startswith("/") or program.startswith(("/usr/", "/bin/", "/sbin/", "/nix/store/")):
        return []
    prefix, _slash, directory = posixpath.dirname(program).rpartition("/")
    return [prefix if prefix and directory in ("bin", "sbin", "libexec") else program]


def _capabilities_by_option(declaration: Declaration) -> Sequence[str]:
    needs = {
        # A daemon that has this opens any file of the file system that its source is on.
        "CAP_DAC_READ_SEARCH": _uses_file_handles(declaration),
        # virtiofsd wants these by default, unless its arguments take them away.
        **dict.fromkeys(("CAP_MKNOD", "CAP_SETFCAP"), virtiofsd.chooses_capabilities(declaration)),
    }
    return [capability for capability, needed in needs.items() if needed]
