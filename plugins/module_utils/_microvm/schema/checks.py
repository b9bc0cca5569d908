# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of single values. Each returns what is wrong and what to do, or ``None``."""

from __future__ import annotations

import ipaddress
import re
from typing import Callable, Optional, Tuple

_SIZE = re.compile(r"^(0|[1-9][0-9]*) ?(M|MiB|G|GiB|T|TiB)?$")
_MEBIBYTES = {None: 1, "M": 1, "MiB": 1, "G": 1024, "GiB": 1024, "T": 1024 * 1024, "TiB": 1024 * 1024}


def mebibytes(size: object) -> int:
    """Return a size such as ``512``, ``512M`` or ``2G`` in MiB. Raises ValueError for anything else."""
    match = _SIZE.match(str(size).strip()) if not isinstance(size, bool) else None
    if match is None:
        raise ValueError(f"{size!r} is not a size")
    return int(match.group(1)) * _MEBIBYTES[match.group(2)]


def size_or_none(value: object) -> Optional[str]:
    """Check a size, MiB where no unit is given, or 0 for nothing."""
    try:
        mebibytes(value)
    except ValueError as problem:
        return f"{problem}; write a number of MiB (512) or a number with M, G or T (2G)"
    return None


def size(value: object) -> Optional[str]:
    """Check a size of 1 MiB or more."""
    return size_or_none(value) or (None if mebibytes(value) else f"{value!r} is too small; write 1 or more")


def pattern(expression: str, explanation: str) -> Callable[[object], Optional[str]]:
    """Return a check that the whole value matches ``expression``; ``explanation`` says what is allowed."""
    compiled = re.compile(expression)

    def check(value: object) -> Optional[str]:
        # fullmatch: with `$` a trailing newline would pass.
        return None if compiled.fullmatch(str(value)) else f"{value!r} {explanation}"

    return check


name = pattern(
    r"(?!.*\.partial$)[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "is not a name: it becomes a unit's and a directory's name, so use 1 to 63 letters, digits, '.', '_' and '-', "
    "begin with a letter or digit, and do not end with '.partial'",
)
hostname = pattern(
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    "is not a host name: use labels of letters, digits and '-', joined by '.'",
)
interface_name = pattern(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}",
    "is not an interface name: the kernel allows at most 15 characters; use letters, digits, '_', '.' and '-'",
)
interface_id = pattern(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
    "is not an interface's id: use letters, digits, '_', '.' and '-', and begin with a letter or a digit",
)
mac_address = pattern(
    r"[0-9a-fA-F][02468aceACE]:([0-9a-fA-F]{2}:){4}[0-9a-fA-F]{2}",
    "is not a unicast MAC address: write six octets such as 02:00:00:00:00:01, the first one even",
)
machine_id = pattern(
    r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "is not a machine id: write 32 hexadecimal digits, or a UUID",
)
serial = pattern(r"[A-Za-z0-9._-]{1,20}", "is not a serial: use at most 20 letters, digits, '.', '_' and '-'")
tag = pattern(
    r"(?!\.{1,2}$)[^/\x00-\x1f]{1,36}", "is not a tag: use at most 36 characters, without '/' and control characters"
)
label = pattern(
    r"[^\x00-\x1f]{1,255}", "is not a label: write at most 255 characters, none of them a control character"
)
argument = pattern(r"[^\x00-\x1f]+", "is not an argument: write at least one character, and no control characters")
account = pattern(r"[a-z_][a-z0-9_-]{0,30}\$?|[0-9]+", "is not the name or numeric ID of an account")
account_or_own = pattern(r"\{group\}|[a-z_][a-z0-9_-]{0,30}\$?|[0-9]+", "is not the name or numeric ID of an account")
cpu_model = pattern(r"[A-Za-z0-9][A-Za-z0-9_.,+=-]*", "is not a model of a processor, such as max or Haswell")
number = pattern(r"(0x)?[0-9a-fA-F]+", "is not a number: write digits, or 0x and hexadecimal digits")
threads = pattern(r"[0-9]+|`?nproc`?", "is not a number of threads: write a whole number, or nproc")
byte_size = pattern(r"[1-9][0-9]*[kKMGT]?", "is not a size: write a number with M or G (256M)")
file_system = pattern(r"[a-z0-9][a-z0-9_.-]*", "is not the name of a file system, such as ext4")
package_path = pattern(
    r"[^\x00-\x1f/-][^\x00-\x1f/]*|(/[^\x00-\x1f/]+)+/?", "is neither an absolute path nor the name of a program"
)
oem_string = pattern(
    r"(?!.*oem_strings)[^\x00-\x1f,\[\]\"]+",
    "is not a single OEM string: write one string per element, without commas, brackets and quotes",
)
pci_address = pattern(
    r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]", "is not the address of a PCI device, such as 0000:01:00.0"
)
absolute_path = pattern(r"/[^\x00-\x1f]*", "is not an absolute path: begin with '/', without control characters")
plain_path = pattern(
    r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+",
    "is not a plain absolute path: units name it, so use letters, digits, '.', '_' and '-' between its slashes",
)
state_path = pattern(
    r"(?!-)(?!(.*/)?\.\.(/|$))[^\x00-\x1f]+",
    "is not a path: write an absolute path, or one relative to the MicroVM's state directory, without '..', "
    "control characters or a leading '-'",
)
kernel_parameter = pattern(
    r'([^\s"\x00-\x1f]|"[^"\x00-\x1f]*")+',
    'is not a single kernel parameter: write KEY, KEY=VALUE or KEY="VALUE WITH SPACES"',
)
authorized_key = pattern(
    r"([^\x00-\x1f]+ )?(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\x00-\x1f]*)?",
    "is not a line of authorized_keys(5): write the content of a .pub file, one key for each element",
)


mode = pattern(r"0[0-7]{3,4}", "is not a mode: write octal digits in quotes and with a leading 0, such as '0644'")
file_path = pattern(
    r"(/(?!\.{1,2}(/|$))[^/\x00-\x1f]+)+", "is not the path of a file: write an absolute path without '.' and '..'"
)
digest = pattern(r"[0-9a-f]{32}", "is not a digest: it has 32 hexadecimal digits")
SOCKET_BYTES = 107
"""Longest path of a Unix socket (unix(7): 108, with a zero at the end)."""


def socket_path(value: object) -> Optional[str]:
    """Check a path below the state directory, or absolute, that the kernel takes for a socket."""
    length = len(str(value).encode())
    if length > SOCKET_BYTES:
        return f"has {length} bytes, but the path of a socket has at most {SOCKET_BYTES}; use a shorter path"
    return state_path(value)


package = pattern(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?", "is not the name of a Debian package")
mirror = pattern(
    r"(https?|file|copy):[^\s]+|deb(-src)? [^\x00-\x1f]+", "is not a mirror: write a URL, or a line of sources.list(5)"
)


def positive(value: int) -> Optional[str]:
    """Check a number of one or more."""
    return None if value >= 1 else f"{value} is too small; write 1 or more"


def not_negative(value: int) -> Optional[str]:
    """Refuse a number below zero."""
    return None if value >= 0 else f"{value} is too small; write 0 or more"


def context_identifier(value: int) -> Optional[str]:
    """Check a guest's address in vsock(7): 0 to 2 are taken, and the largest number means any."""
    if 3 <= value < 0xFFFFFFFF:
        return None
    return f"{value} is not a context identifier of a guest; write 3 to 4294967294"


CREDENTIAL = re.compile(r"[A-Za-z0-9_@:][A-Za-z0-9_.@:-]*")
SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def credential_files(entry: Tuple[str, str]) -> Optional[str]:
    """Check the name of a credential (systemd.exec(5)) and the path of a file."""
    name, path = entry
    if not CREDENTIAL.fullmatch(name) or len(name) > 255:
        return f"{name!r} is not the name of a credential: use letters, digits, '.', '_', '-', '@' and ':'"
    return absolute_path(path)


def bin_scripts(entry: Tuple[str, str]) -> Optional[str]:
    """Check the name of a script; its content is the user's."""
    name, _text = entry
    if name == "microvm-run":
        return (
            "cannot be extended because it ends by executing the hypervisor; use pre_start for commands that run before"
        )
    return (
        None if SCRIPT.fullmatch(name) else f"{name!r} is not the name of a script: use letters, digits, '.', '_', '-'"
    )


def port(value: int) -> Optional[str]:
    """Check a TCP port."""
    return None if 1 <= value <= 65535 else f"{value} is not a port; write 1 to 65535"


def ip_address(value: str) -> Optional[str]:
    """Check an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return f"{value!r} is not an IP address"
    return None


def ipv4_address(value: str) -> Optional[str]:
    """Check an IPv4 address."""
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        return f"{value!r} is not an IPv4 address"
    return None


def interface_address(value: str) -> Optional[str]:
    """Check an address with its prefix length."""
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        return f"{value!r} is not an address; write it with its prefix length, such as 10.0.0.2/24"
    if "/" not in value:
        return f"{value!r} has no prefix length; write it as {value}/24, for example"
    return None


def weight(value: int) -> Optional[str]:
    """Check a weight of systemd.resource-control(5)."""
    return None if 1 <= value <= 10000 else f"{value!r} is not a weight; write 1 to 10000"


def order(value: int) -> Optional[str]:
    """Check a place in an order."""
    return None if 0 <= value <= 99 else f"{value!r} is not a position; write 0 to 99"


_HOUR = r"([01][0-9]|2[0-3]):[0-5][0-9]"
time_window = pattern(f"{_HOUR}-{_HOUR}", "is not a time window; write its start and its end, such as 22:00-04:30")
