# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Strict sandbox of a hypervisor's unit: what a MicroVM needs of its host, and nothing else (systemd.exec(5)).

Whoever breaks out of the guest is the MicroVM's user in this sandbox, for as long as the unit runs.
"""

from __future__ import annotations

import posixpath
import re
from typing import Iterator, Sequence

from ..declaration.names import CONSOLE_DIRECTORY
from ..declaration.vms.parse import Declaration
from ..hypervisors.command import Command
from ..hypervisors.facts import HostFacts
from ..hypervisors.registry import profile
from ..schema.quoting import plain, setting, unit_word
from .scripts.shell import readable

_STRICT = """\
AmbientCapabilities=
CapabilityBoundingSet=
DevicePolicy=closed
KeyringMode=private
LimitCORE=0
NoNewPrivileges=yes
PrivateIPC=yes
PrivateMounts=yes
ProtectHostname=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service seccomp
SystemCallFilter=~@keyring @privileged @resources process_vm_readv process_vm_writev
UMask=0077
"""
"""Settings added to the template for every declaration. Without PrivateUsers: of a process in another user namespace
the script that stops it would see nothing. Hypervisors confine themselves further by seccomp(2), which @system-service
has only since systemd 254."""

_EMPTY = {
    # Sockets of the host's services: the journal, D-Bus, container engines.
    "/run": "TemporaryFileSystem=/run:ro,size=1M\n",
    "/tmp": "TemporaryFileSystem=/tmp:size=64M,nr_inodes=4096,mode=1777\n",
    "/var/tmp": "TemporaryFileSystem=/var/tmp:size=64M,nr_inodes=4096,mode=1777\n",
    # Initial RAM disks with credentials are made here.
    "/dev/shm": "TemporaryFileSystem=/dev/shm:size=1G,nr_inodes=4096,mode=1777\n",
}
"""Settings for the empty file systems, in memory of the unit's own limit, that take the place of those of the host."""

_PRIVATE = ("/tmp", "/var/tmp")
"""Directories in the place of which any unit has its own (``PrivateTmp=``)."""

_ALIASES = {"/var/run": "/run", "/run/shm": "/dev/shm"}

_RESOLVERS = ("systemd/resolve/stub-resolv.conf", "systemd/resolve/resolv.conf", "NetworkManager/resolv.conf")
"""Files below ``/run`` that resolv.conf(5) may be a link to."""

_INACCESSIBLE = ("/sys/fs/cgroup", "/sys/fs/bpf", "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing")
"""What names the units of the host, and what only its administrators read."""

_HOMES = ("/home", "/root", "/run/user")

_IO_URING = ("~io_uring_enter", "io_uring_register", "io_uring_setup")

_PLAIN = re.compile(r"[A-Za-z0-9/._@+~-]+")
"""Paths that a bind mount can name without another level of quotes."""

_PATH = re.compile(r"(?<![^=,:])/[^\s,:\"]+")
"""A path, in the middle of a word too, as in ``socket,path=/run/swtpm/socket``."""

_ASKS_FOR_IO_URING = re.compile(r"=(io_?)?uring\b")

_LOCKS_MEMORY = re.compile(r"\b(lock|mem-lock|mlock|vdpa|vfio)")


def strict_settings(declaration: Declaration, built: Command, facts: HostFacts, written: Sequence[str]) -> str:
    """Return the settings for a declaration and its command, which writes below the directories ``written``."""
    lines = [setting("RestrictAddressFamilies", *map(plain, _address_families(declaration)))]
    lines.append(setting("ProtectHome", plain("read-only" if _uses_homes(declaration) else "yes")))
    if not uses_io_uring(declaration, built):
        lines.append(setting("SystemCallFilter", *map(plain, _IO_URING)))
    if not _has_user_network(declaration):
        lines.append(setting("IPAddressDeny", plain("any")))
    if not (declaration["interfaces"] or _has_usb(declaration)) and declaration["vsock"]["cid"] is None:
        # Abstract sockets of the host's services have no path; taps are opened where they were made.
        lines.append(setting("PrivateNetwork", plain("yes")))
    if facts.accel == "kvm":
        # A translator writes the code that it runs, and asks for the processor's frequency.
        lines += [setting("MemoryDenyWriteExecute", plain("yes")), setting("ProcSubset", plain("pid"))]
    if not _locks_memory(declaration, built):
        lines.append(setting("LimitMEMLOCK", plain("64M")))
    lines += [setting("InaccessiblePaths", plain(f"-{path}")) for path in _INACCESSIBLE]
    return _STRICT + "".join([*lines, *_files(declaration, built, written)])


def uses_io_uring(declaration: Declaration, built: Command) -> bool:
    """Return whether a command reads or writes files by io_uring(7), by its own words or by those of its user."""
    return built.io_uring or any(_ASKS_FOR_IO_URING.search(word) for word in _host_words(declaration, built))


def _host_words(declaration: Declaration, built: Command) -> Iterator[str]:
    """Yield the words of a command that the hypervisor reads, without what the guest's kernel is told."""
    for word in map(readable, (*built.argv, *built.sidecar)):
        for parameter in declaration["kernel_params"]:
            word = word.replace(parameter, "")
        yield word


def is_hidden(path: str) -> bool:
    """Return whether a strict sandbox has an empty file system where the path is on the host."""
    return bool(_root(path))


def _files(declaration: Declaration, built: Command, written: Sequence[str]) -> Iterator[str]:
    """Yield the empty file systems, and what of the host is in them all the same."""
    directories = {_resolved(path) for path in written if is_hidden(path)}
    named = {_resolved(path) for path in _named(declaration, built)}
    # All of /tmp, where a volume is to be made there; and what a bind mount cannot name.
    visible = directories & set(_EMPTY) - {"/run"}
    visible |= {_root(path) for path in directories | named if not _PLAIN.fullmatch(path)}
    yield setting("PrivateTmp", plain("no"))
    yield from (line for root, line in _EMPTY.items() if root not in visible)
    # `microvm run` has no console.
    yield _bind(f"-{CONSOLE_DIRECTORY}/{declaration['name']}")
    bound = sorted(path for path in directories if _root(path) not in visible and path not in _EMPTY)
    yield from map(_bind, bound)
    optional = (path for path in sorted(named) if _root(path) not in visible and not _is_below(path, bound))
    yield from (_bind(f"-{path}") for path in optional)
    yield from (setting("ReadWritePaths", unit_word(path)) for path in sorted(directories) if _root(path) in visible)
    yield from (setting("BindReadOnlyPaths", plain(f"-/run/{path}")) for path in _services(declaration))


def compat_settings(declaration: Declaration, built: Command, written: Sequence[str]) -> str:
    """Return the settings of a relaxed sandbox for a declaration: its private ``/tmp`` has what is named there."""
    directories = {_resolved(path) for path in written if is_private(path)}
    named = {_resolved(path) for path in _named(declaration, built) if is_private(path)}
    if any(path in _PRIVATE for path in directories) or not all(map(_PLAIN.fullmatch, directories | named)):
        return setting("PrivateTmp", plain("no")) + setting("ReadWritePaths", *map(plain, _PRIVATE))
    optional = (path for path in named if not _is_below(path, sorted(directories)))
    return "".join([*map(_bind, sorted(directories)), *(_bind(f"-{path}") for path in sorted(optional))])


def is_private(path: str) -> bool:
    """Return whether any unit has a directory of its own where the path is on the host."""
    return _is_below(_resolved(path), _PRIVATE)


def _bind(path: str) -> str:
    return setting("BindPaths", plain(path))


def _services(declaration: Declaration) -> Iterator[str]:
    """Yield what a declaration needs of the host's own below ``/run``."""
    if declaration["use_notify_sockets"]:
        yield "systemd/notify"
    if _has_usb(declaration):
        yield "udev"
    if _has_user_network(declaration):
        yield from _RESOLVERS


def _named(declaration: Declaration, built: Command) -> Iterator[str]:
    """Yield the hidden paths that a declaration or its command names, in the user's own arguments too."""
    files = [declaration[key] for key in ("kernel", "initrd_path", "store_disk", "extra_args_script")]
    files += [volume["image"] for volume in declaration["volumes"]]
    files += [share["source"] for share in declaration["shares"] if share["proto"] != "virtiofs"]
    yield from (file for file in files if file and is_hidden(file))
    for word in _host_words(declaration, built):
        yield from (match.group() for match in _PATH.finditer(word) if is_hidden(match.group()))


def _resolved(path: str) -> str:
    path = posixpath.normpath(path)
    for alias, target in _ALIASES.items():
        if _is_below(path, [alias]):
            return target + path[len(alias) :]
    return path


def _root(path: str) -> str:
    """Return the empty file system that hides a path, or nothing."""
    return next((root for root in _EMPTY if _is_below(_resolved(path), [root])), "")


def _is_below(path: str, directories: Sequence[str]) -> bool:
    return any(f"{path}/".startswith(f"{directory}/") for directory in directories)


def _address_families(declaration: Declaration) -> Sequence[str]:
    opens_sockets = profile(declaration).needs_internet_sockets
    internet = _has_user_network(declaration) or (opens_sockets and declaration["interfaces"])
    families = ["AF_UNIX", *(("AF_INET", "AF_INET6") if internet else ())]
    return [*families, *(["AF_NETLINK"] if _has_usb(declaration) else [])]


def _has_usb(declaration: Declaration) -> bool:
    """Return whether libusb is to hear from udev of devices: by netlink, in the host's network alone."""
    return any(device["bus"] == "usb" for device in declaration["devices"])


def _has_user_network(declaration: Declaration) -> bool:
    return any(interface["type"] == "user" for interface in declaration["interfaces"])


def _locks_memory(declaration: Declaration, built: Command) -> bool:
    """Return whether the guest's memory is locked: for devices of the host, or by the user's own arguments."""
    passes_devices = any(device["bus"] == "pci" for device in declaration["devices"])
    return passes_devices or any(_LOCKS_MEMORY.search(word) for word in _host_words(declaration, built))


def _uses_homes(declaration: Declaration) -> bool:
    files = [declaration[key] for key in ("kernel", "initrd_path", "store_disk", "extra_args_script", "socket")]
    files += [volume["image"] for volume in declaration["volumes"]]
    files += [share["source"] for share in declaration["shares"]]
    files += declaration["credential_files"].values()
    return any(file and posixpath.normpath(file).startswith(_HOMES) for file in files)
