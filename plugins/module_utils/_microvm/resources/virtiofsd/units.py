# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units of a share that belongs to no MicroVM: a socket of systemd's, and the daemon that it starts. Pure.

The socket is there as long as the share is, whether a hypervisor is connected or not. A daemon serves one connection
and ends with it; the next one starts another.
"""

from __future__ import annotations

from typing import Iterator, List

from ...declaration.accounts import ROOT_NAMES
from ...declaration.names import SHARE_ROOT_DIRECTORY, share_service_unit, share_socket_unit
from ...declaration.types import HostShare
from ...runner.scripts.virtiofsd import MODIFIED_CAPABILITIES
from ...runner.units import VIRTIOFSD_CAPABILITIES, VIRTIOFSD_ROOT, VIRTIOFSD_WITHOUT_NAMESPACES, paths_of_program
from ...schema.quoting import plain, section, setting, unit_word
from .state import UnitContents, UserNumbers

_HEADER = "# Written by module microvm_virtiofsd, which replaces it.\n"

_ROOT_SOURCE = "/share"
"""Place of the source in the root directory of a daemon of root's."""

_EVERYBODY = 4294967295
"""Number of users and of groups that Linux can have."""

_STARTS = (setting("StartLimitIntervalSec", plain("10")), setting("StartLimitBurst", plain("50")))
"""Starts after which the socket ends too, until somebody starts it. Each connection is a start, and virtual machines
that restart make many; but a daemon that cannot start must not be started for ever."""

_CONFINED = """\
UMask=0000
KillMode=mixed
LimitNOFILE=1048576
NoNewPrivileges=yes
ProtectSystem=strict
PrivateNetwork=yes
IPAddressDeny=any
DevicePolicy=closed
PrivateDevices=yes
PrivateIPC=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX
RestrictRealtime=yes
RestrictSUIDSGID=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
"""
"""Sandbox of all daemons."""


def units_of(share: HostShare, user: UserNumbers, program: str) -> UnitContents:
    """Return the contents of the files of a share's units. The daemon runs ``program`` as ``user``."""
    return {
        share_socket_unit(share["name"]): _socket(share),
        share_service_unit(share["name"]): _service(share, user, program),
    }


def _socket(share: HostShare) -> str:
    name, group = share["name"], share["group"]
    unit = [setting("Description", plain("Socket"), plain("of"), plain("share"), plain(name))]
    lines = [
        setting("ListenStream", plain(share["socket"])),
        setting("SocketUser", plain("root")),
        *([setting("SocketGroup", plain(group))] if group else []),
        setting("SocketMode", plain("0660" if group else "0600")),
        setting("DirectoryMode", plain("0755")),
        setting("RemoveOnStop", plain("yes")),
    ]
    install = [setting("WantedBy", plain("sockets.target"))]
    return _HEADER + section("Unit", unit) + section("Socket", lines) + section("Install", install)


def _service(share: HostShare, user: UserNumbers, program: str) -> str:
    source = share["source"] or ""
    unit = [
        setting("Description", plain("virtiofsd"), plain("of"), plain("share"), plain(share["name"])),
        setting("RequiresMountsFor", plain(source)),
        *_STARTS,
    ]
    is_root = share["user"] in ROOT_NAMES
    # With a colon, dollar signs are no variables (systemd.service(5)).
    command = [plain(f":{program}"), *map(unit_word, _arguments(share, user))]
    lines = [setting("Type", plain("exec")), setting("ExecStart", *command), _CONFINED]
    lines += list(_of_root(share, program)) if is_root else _of_user(share, user)
    return _HEADER + section("Unit", unit) + section("Service", lines)


def _arguments(share: HostShare, user: UserNumbers) -> Iterator[str]:
    is_root = share["user"] in ROOT_NAMES
    yield "--fd=3"
    yield f"--shared-dir={_ROOT_SOURCE if is_root else share['source']}"
    yield f"--sandbox={'chroot' if is_root else 'none'}"
    if is_root:
        yield MODIFIED_CAPABILITIES
    yield f"--cache={share['cache']}"
    yield f"--thread-pool-size={share['thread_pool_size']}"
    yield f"--inode-file-handles={share['inode_file_handles'] or 'never'}"
    yield "--xattr"
    if share["posix_acl"]:
        yield "--posix-acl"
    if share["read_only"]:
        yield "--readonly"
    if share["tag"]:
        yield f"--tag={share['tag']}"
    for option, maps, number in (("uid", share["translate_uid"], user.uid), ("gid", share["translate_gid"], user.gid)):
        everybody = [] if is_root else [f"squash-guest:0:{number}:{_EVERYBODY}", f"squash-host:0:0:{_EVERYBODY}"]
        for words in maps or everybody:
            yield f"--translate-{option}={words}"
    yield from share["extra_args"]


def _of_root(share: HostShare, program: str) -> Iterator[str]:
    """Yield the lines of a daemon of root's, which sees its source and programs, and nothing else of the host."""
    name, handles = share["name"], share["inode_file_handles"] in ("prefer", "mandatory")
    yield setting("RuntimeDirectory", plain(f"{SHARE_ROOT_DIRECTORY[len('/run/') :]}/{name}"))
    yield setting("RootDirectory", plain(f"{SHARE_ROOT_DIRECTORY}/{name}"))
    yield VIRTIOFSD_ROOT
    for path in paths_of_program(program):
        yield setting("BindReadOnlyPaths", plain(path))
    key = "BindReadOnlyPaths" if share["read_only"] else "BindPaths"
    yield setting(key, plain(f"{share['source']}:{_ROOT_SOURCE}"))
    capabilities = [*VIRTIOFSD_CAPABILITIES, *(["CAP_DAC_READ_SEARCH"] if handles else [])]
    yield setting("CapabilityBoundingSet", *map(plain, capabilities))
    yield VIRTIOFSD_WITHOUT_NAMESPACES
    if handles:
        yield setting("SystemCallFilter", plain("open_by_handle_at"))


def _of_user(share: HostShare, user: UserNumbers) -> List[str]:
    lines = [
        setting("User", plain(user.uid)),
        setting("Group", plain(user.gid)),
        setting("CapabilityBoundingSet"),
        setting("RestrictNamespaces", plain("yes")),
        setting("ProtectProc", plain("invisible")),
        setting("SystemCallFilter", plain("~@privileged"), plain("@resources")),
        # It asks to be who it is already.
        setting("SystemCallFilter", plain("@chown"), plain("@setuid")),
    ]
    return lines if share["read_only"] else [*lines, setting("ReadWritePaths", plain(share["source"]))]
