# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter of the drop-ins that external packages bring along: a closed list of directives and of their values. Pure.

A drop-in of a unit can execute anything as root. Of a package that somebody else has made, only what our own packages
use is accepted: what narrows the sandbox of the template or limits what it uses, and what gives access to the host if
the declaration of the package names it. Everything else is for the operator of the host, who has drop-ins of his own.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Callable, FrozenSet, Iterator, List, Mapping, Optional, Tuple

from ..declaration.accounts import Account, account
from ..declaration.names import CONSOLE_DIRECTORY, KVM_GROUP, RUN_DIRECTORY, UNIT_DIRECTORY, unit_name
from ..declaration.types import PackagedVm
from ..declaration.vms.block_devices import access, block_devices, is_block_device
from .units import NOTIFY_TEMPLATE, UNIT_FILES, UNIT_TEMPLATES, VIRTIOFSD_TEMPLATE, UnitSettings, host_credentials

_SECTION = "[Service]"
_SETTING = re.compile(r"([A-Za-z]+)=(.*)")
_NOT_PRINTED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_WORD = re.compile(r"-?(/[A-Za-z0-9/._@+=,~-]*)")
"""Path that systemd takes as it stands."""
_QUOTED_WORD = re.compile(r'"((?:[^"\\%]|\\\\|\\"|%%)*)"')
"""Word in quotes, with the escapes that our own packages use (systemd.syntax(7))."""
_CREDENTIAL = re.compile(r"([A-Za-z0-9_.@-]+):((?:[^%]|%%)+)")
_DECLARED_PATH = re.compile(r"(?<![^\s=,:])/[^\s,:\"]+")
"""Path in a string of a declaration, in the middle of an argument too."""
_HIDDEN = re.compile(
    r"/(home|root|(var/)?run(?!/(systemd/(notify|resolve/.+)|udev|NetworkManager/resolv\.conf)$))(/|$)"
)
"""Homes, and what services of the host have below ``/run``, but for what a MicroVM needs there."""
_TEMPORARY = ("/run/", "/tmp/", "/var/run/", "/var/tmp/", "/dev/shm/")
"""Directories that a strict sandbox replaces by empty ones, but for what a declaration names."""

_YES = "yes|true|on|1"
_SIZE = "[0-9]{1,15}[KMGT]?"
_CALLS = "[@a-z][a-z0-9_-]*( [@a-z][a-z0-9_-]*)*"
_DAEMON_CALLS = "(@chown|@setuid|capset|chroot|open_by_handle_at)"
"""System calls that the template allows too, and that may be allowed again after others were taken away; and the one of
file handles, which gives no more than the template's CAP_SYS_ADMIN."""
_STATUS = "[0-9]{1,3}:[a-z]{1,16}"
"""Exit status of a hypervisor, and what it means."""
_MOUNT_OPTION = "(ro|mode=[0-7]+|nr_inodes=[0-9]+|size=[0-9]+[KMG%]?)"
_CAPABILITY = (
    "CAP_(CHOWN|DAC_OVERRIDE|DAC_READ_SEARCH|FOWNER|FSETID|MKNOD|SETFCAP|SETGID|SETPCAP|SETUID|SYS_ADMIN|SYS_CHROOT)"
)

_SWITCHES = (
    *("LockPersonality", "MemoryDenyWriteExecute", "MountAPIVFS", "NoNewPrivileges", "PrivateDevices", "PrivateIPC"),
    *("PrivateMounts", "PrivateNetwork", "PrivateTmp", "ProtectClock", "ProtectControlGroups", "ProtectHostname"),
    *("ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "RemoveIPC", "RestrictNamespaces"),
    *("RestrictRealtime", "RestrictSUIDSGID", "RootDirectoryStartOnly"),
)
"""Directives that narrow a sandbox when they are switched on."""

_NARROWING: Mapping[str, str] = {
    **dict.fromkeys(_SWITCHES, _YES),
    "AmbientCapabilities": "",
    "CPUQuota": "[0-9]{1,9}%",
    "CPUWeight": "[0-9]{1,5}",
    "DevicePolicy": "closed|strict",
    "IOWeight": "[0-9]{1,5}",
    "IPAddressDeny": "any|[0-9a-f.:/]+( [0-9a-f.:/]+)*",
    "InaccessiblePaths": r"-?/[A-Za-z0-9/._-]*( -?/[A-Za-z0-9/._-]*)*",
    "KeyringMode": "private",
    "LimitCORE": _SIZE,
    "LimitFSIZE": _SIZE,
    "LimitMEMLOCK": _SIZE,
    "MemoryMax": "[0-9]{1,12}M",
    "MemorySwapMax": _SIZE,
    "ProcSubset": "pid",
    "ProtectHome": f"{_YES}|read-only|tmpfs",
    "ProtectProc": "invisible|noaccess",
    "ProtectSystem": "strict",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "E[A-Z0-9]{1,15}",
    "TasksMax": "[0-9]{1,9}",
    "UMask": "00[27]7",
}
"""Directives of all units that narrow or limit, with the values that are accepted (systemd.exec(5))."""

_NARROWING_OF: Mapping[str, Mapping[str, str]] = {
    unit_name(""): {
        **_NARROWING,
        "CapabilityBoundingSet": "",
        # Programs that the unit runs as root get the variables too: no other one, such as BASH_ENV.
        "Environment": f"CLEAN_END=(poweroff|reboot)|END_STATUSES={_STATUS}(,{_STATUS})*",
        "NotifyAccess": "all|main|none",
        # The template has no such lists, so that any list is narrower.
        "RestrictAddressFamilies": "none|AF_[A-Z0-9]+( AF_[A-Z0-9]+)*",
        "SystemCallFilter": f"~?{_CALLS}",
        "TemporaryFileSystem": f"/[A-Za-z0-9/._-]*(:{_MOUNT_OPTION}(,{_MOUNT_OPTION})*)?",
        "Type": "notify",
    },
    VIRTIOFSD_TEMPLATE: {
        **_NARROWING,
        "CapabilityBoundingSet": f"({_CAPABILITY}( {_CAPABILITY})*)?",
        "ReadWritePaths": "",
        "SystemCallFilter": f"~{_CALLS}|{_DAEMON_CALLS}( {_DAEMON_CALLS})*",
    },
    NOTIFY_TEMPLATE: {},
}
"""The same by the template unit that a drop-in is of."""

DIRECTIVES = frozenset(directive for accepted in _NARROWING_OF.values() for directive in accepted)
"""Directives that are accepted whatever the package declares."""


@dataclass(frozen=True)
class _Access:
    """Access to the host that the declaration of a package names; none without a declaration."""

    name: str = ""
    account: Optional[Account] = None
    """Account of the MicroVM's own."""
    written: FrozenSet[str] = frozenset()
    """Paths that may be written."""
    named: FrozenSet[str] = frozenset()
    """All paths that the declaration names, in arguments too."""
    credentials: FrozenSet[Tuple[str, str]] = frozenset()
    host_credentials: FrozenSet[str] = frozenset()
    """Values by which units pass on what the host makes for its guest."""
    devices: FrozenSet[str] = frozenset()


_NODES = frozenset(("", *(f"/dev/{node} rw" for node in ("kvm", "net/tun", "vhost-net", "vhost-vsock"))))
"""Values of ``DeviceAllow=`` that the template has too; an empty one forgets them."""


def _access(declaration: PackagedVm) -> _Access:
    own = account(declaration)
    named = {path for string in _strings(declaration) for path in (string, *_DECLARED_PATH.findall(string))}
    written = [*_written(declaration), f"{CONSOLE_DIRECTORY}/{declaration['name']}"]
    kinds = {interface["type"] for interface in declaration["interfaces"]}
    buses = {device["bus"] for device in declaration["devices"]}
    needs = {
        "char-macvtap": "macvtap" in kinds,
        "/dev/vfio/vfio": "pci" in buses,
        "char-vfio": "pci" in buses,
        "char-usb_device": "usb" in buses,
    }
    return _Access(
        declaration["name"],
        own if own.is_own else None,
        frozenset(map(_without_slash, written)),
        frozenset(_without_slash(path) for path in named if path.startswith("/")),
        frozenset(declaration["credential_files"].items()),
        frozenset(host_credentials(declaration)),
        frozenset(
            (
                *(f"{device} rw" for device, needed in needs.items() if needed),
                *(f"{volume['image']} {access(volume)}" for volume in block_devices(declaration)),
            )
        ),
    )


def _written(declaration: PackagedVm) -> Iterator[str]:
    """Yield the absolute paths of directories that a MicroVM writes to, and of those that it shares."""
    yield from (share["source"] for share in declaration["shares"] if share["source"].startswith("/"))
    images = [volume for volume in declaration["volumes"] if not is_block_device(volume)]
    files = [volume["image"] for volume in images if not volume["read_only"]]
    sockets = [declaration["socket"], *(share["socket"] for share in declaration["shares"])]
    yield from (posixpath.dirname(file) for file in (*files, *sockets) if file and file.startswith("/"))


def _without_slash(path: str) -> str:
    return path.rstrip("/") or "/"


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for element in value.values():
            yield from _strings(element)
    elif isinstance(value, (list, tuple)):
        for element in value:
            yield from _strings(element)


def _gives_user(value: str, access: _Access) -> bool:
    return access.account is not None and value == access.account.user


def _gives_group(value: str, access: _Access) -> bool:
    return access.account is not None and value == access.account.group


def _gives_devices(value: str, access: _Access) -> bool:
    return value in _NODES or value in access.devices


def _gives_credential(value: str, access: _Access) -> bool:
    if value in access.host_credentials:
        return True
    match = _CREDENTIAL.fullmatch(value)
    return match is not None and (match.group(1), match.group(2).replace("%%", "%")) in access.credentials


def _writes(value: str, access: _Access) -> bool:
    quoted = _QUOTED_WORD.fullmatch(value)
    if quoted is not None:
        return _without_slash(re.sub(r'\\([\\"])|%(%)', r"\1\2", quoted.group(1))) in access.written
    paths = _paths(value)
    return bool(paths) and all(path in access.written for path in paths)


def _binds(value: str, access: _Access) -> bool:
    """Return whether a writable bind mount shows what the MicroVM writes, or temporary files that are named."""
    if _is_own_directory(value, access):
        return True
    paths = _paths(value)
    return bool(paths) and all(
        path in access.written or (path in access.named and path.startswith(_TEMPORARY)) for path in paths
    )


def _sees(value: str, access: _Access) -> bool:
    """Return whether a read-only bind mount shows nothing but what the template shows, or the declaration names."""
    words = [word for word in value.split(" ") if not _is_own_directory(word, access)]
    paths = _paths(" ".join(words)) if words else []
    return len(paths) == (len(words) if words else 0) and all(
        path in access.named or not _HIDDEN.match(f"/{posixpath.normpath(path).lstrip('/')}") for path in paths
    )


def _is_own_directory(word: str, access: _Access) -> bool:
    """Return whether a word is a directory of this MicroVM among those that the collection has below ``/run``."""
    own = rf"-?{re.escape(RUN_DIRECTORY)}/[a-z-]+/(%i|{re.escape(access.name or '%i')})(/[a-z0-9-]+)*"
    return re.fullmatch(own, word) is not None


def _paths(value: str) -> List[str]:
    """Return the paths of a value; none where one of them is not plain, or is mounted elsewhere.

    Words in quotes are not: of bind mounts, systemd reads quotes twice, and a colon in them ends a path.
    """
    matches = [_WORD.fullmatch(word) for word in value.split(" ")]
    words = [match.group(1) for match in matches if match is not None]
    return [_without_slash(path) for path in words] if len(words) == len(matches) else []


_ACCESSING: Mapping[str, Callable[[str, _Access], bool]] = {
    "BindPaths": _binds,
    "BindReadOnlyPaths": _sees,
    "DeviceAllow": _gives_devices,
    "Group": _gives_group,
    "LoadCredential": _gives_credential,
    "ReadWritePaths": _writes,
    "RootDirectory": _is_own_directory,
    "SupplementaryGroups": lambda value, access: access.account is not None and value == KVM_GROUP,
    "User": _gives_user,
}
"""Directives that give access to the host, with the values that are accepted because of a declaration."""


def problem_of_settings(settings: UnitSettings, declaration: Optional[PackagedVm], package: str, name: str) -> str:
    """Return why the drop-ins of an external package are not accepted, and what to do; nothing if they are.

    ``declaration`` is the one that the package records, ``name`` the MicroVM that is to run it.
    """
    access = _access(declaration) if declaration is not None else _Access()
    for template in UNIT_TEMPLATES:
        file = f"{package}/{UNIT_FILES}/{template}.conf"
        for line, reason in _refused(template, settings.get(template, ""), access):
            place = f"{file}, line {line}" if line else file
            directory = f"{UNIT_DIRECTORY}/{template.replace('@', f'@{name}')}.d"
            return (
                f"{place}: {reason}. External packages may narrow the sandbox of their units, and use what their "
                f"declaration names. Correct the package; if its maker is trusted, put the setting into a drop-in of "
                f"your own, such as {directory}/60-local.conf"
            )
    return ""


def _refused(template: str, text: str, access: _Access) -> Iterator[Tuple[int, str]]:
    """Yield the numbers of lines that are not accepted, and the reasons; 0 where a line is missing."""
    lines = text.split("\n")
    if text and next((line for line in lines if line and line[0] not in "#;"), "") != _SECTION:
        yield 1, f"its first section is not {_SECTION}"
    for number, line in enumerate(lines, 1):
        reason = _problem(template, line, access, lines)
        if reason:
            yield number, f"{line[:120]!a} {reason}"
    if text and not text.endswith("\n"):
        yield len(lines), "the last line has no end"
    if access.account is not None and template == unit_name(""):
        for required in (f"User={access.account.user}", f"Group={access.account.group}"):
            if required not in lines:
                yield 0, f"it lacks {required!r}, which its declaration requires"


def _problem(template: str, line: str, access: _Access, lines: List[str]) -> str:
    if _NOT_PRINTED.search(line):
        return "contains a control character"
    if line.endswith("\\"):
        return "continues in the next line"
    if line in ("", _SECTION) or line[0] in "#;":
        return ""
    match = _SETTING.fullmatch(line)
    if match is None:
        return "is not a setting of a service"
    directive, value = match.groups()
    if directive not in _NARROWING_OF[template] and directive not in _ACCESSING:
        return "is not among the settings that are accepted from an external package"
    return "" if _is_accepted(template, directive, value, access, lines) else "has a value that is not accepted"


def _is_accepted(template: str, directive: str, value: str, access: _Access, lines: List[str]) -> bool:
    pattern = _NARROWING_OF[template].get(directive)
    if pattern is not None and re.fullmatch(pattern, value):
        return True
    if (directive, value) == ("PrivateTmp", "no"):
        return _replaces_temporary_directories(lines, access)
    return directive in _ACCESSING and _ACCESSING[directive](value, access)


def _replaces_temporary_directories(lines: List[str], access: _Access) -> bool:
    """Return whether a unit without temporary directories of its own has empty ones, or names something in them."""
    return all(
        any(line.startswith(f"TemporaryFileSystem={directory}:") for line in lines)
        or any(path.startswith(directory) for path in (*access.written, *access.named))
        for directory in ("/tmp", "/var/tmp")
    )
