# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of single values. Each returns what is wrong and what to do, or ``None``."""

from __future__ import annotations

import ipaddress
import re
from typing import Callable, List, Mapping, Optional, Tuple

from . import quoting
from .credentials import has_credentials
from .quoting import CONTROL

_SIZE = re.compile(r"^(0|[1-9][0-9]*) ?(M|MiB|G|GiB|T|TiB)?$")
MOST_MEBIBYTES = 2**40
"""Largest size, 1 EiB: bash and systemd count bytes in 64 bits, and ignore what has more."""
MOST_NUMBER = 2**31 - 1
"""Largest number: systemd ignores a limit that it cannot read."""
_MEBIBYTES = {None: 1, "M": 1, "MiB": 1, "G": 1024, "GiB": 1024, "T": 1024 * 1024, "TiB": 1024 * 1024}


def mebibytes(size: object) -> int:
    """Return a size such as ``512``, ``512M`` or ``2G`` in MiB. Raises ValueError for anything else."""
    match = _SIZE.match(str(size).strip()) if not isinstance(size, bool) else None
    if match is None:
        raise ValueError(f"{size!r} is not a size")
    mebibytes = int(match.group(1)) * _MEBIBYTES[match.group(2)]
    if mebibytes > MOST_MEBIBYTES:
        raise ValueError(f"{size!r} is larger than 1 EiB")
    return mebibytes


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
        return None if compiled.fullmatch(str(value)) else f"{_shown(value)} {explanation}"

    return check


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


MOST_SHOWN = 200
"""Characters of a refused value that a message has."""
MOST_IN_PATH, MOST_IN_NAME = 4000, 240
"""Bytes of a path, and of a name in it: the kernel takes 4095 and 255 (path_resolution(7)), and ours are made under a
longer name, or below a directory, first."""
MOST_IN_CREDENTIAL = 255
"""Characters of a credential's name (systemd.exec(5))."""


def unless_number(
    check: Callable[[str], Optional[str]], written: Callable[[str], Optional[str]]
) -> Callable[[str], Optional[str]]:
    """Return a check of strings of which YAML makes numbers: it reads digits between colons to the base of 60.

    ``written`` returns what somebody has written of whom YAML has made this number; ``None`` if it cannot be told.
    """

    def check_string(value: object) -> Optional[str]:
        text = str(value)
        problem = check(text)
        if problem is None or not _NUMBER.fullmatch(text):
            return problem
        example = written(text)
        shown = f", such as {example!r}" if example is not None and check(example) is None else ""
        return f"{_shown(text)} is a number, which YAML reads where a value has no quotes; put it in quotes{shown}"

    return check_string


_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def _in_sixties(count: int) -> Callable[[str], Optional[str]]:
    """Return what writes a number with so many digits to the base of 60, the first of which may be larger."""

    def written(text: str) -> Optional[str]:
        if not text.isdigit() or int(text) < 60 ** (count - 1):
            return None
        return _digits(int(text), count)

    return written


def _digits(number: int, count: int) -> str:
    digits: List[int] = []
    for _digit in range(count - 1):
        number, digit = divmod(number, 60)
        digits.append(digit)
    return ":".join(f"{digit:02}" for digit in (number, *reversed(digits)))


def _written_pci_address(text: str) -> Optional[str]:
    slot, dot, function = text.partition(".")
    return f"00{_digits(int(slot), 3)}{dot}{function}"


def path_pattern(expression: str, explanation: str) -> Callable[[object], Optional[str]]:
    """Return a check of a path that matches ``expression``, and that is not too long for the kernel."""
    matches = pattern(expression, explanation)
    return lambda value: matches(value) or _too_long(str(value))


def _too_long(path: str) -> Optional[str]:
    longest = max(len(name.encode()) for name in path.split("/"))
    if len(path.encode()) <= MOST_IN_PATH and longest <= MOST_IN_NAME:
        return None
    return (
        f"{_shown(path)} is too long: a path has at most {MOST_IN_PATH} bytes, and {MOST_IN_NAME} between two slashes"
    )


name = pattern(
    r"(?!.*\.partial$)[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "is not a name: it becomes a unit's and a directory's name, so use 1 to 63 letters, digits, '.', '_' and '-', "
    "begin with a letter or digit, and do not end with '.partial'",
)
vm_tag = pattern(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    "is not a tag of a MicroVM: use 1 to 63 letters, digits, '.', '_' and '-', and begin with a letter or digit",
)
hostname = pattern(
    r"(?!.{65})[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    "is not a host name: use labels of letters, digits and '-', joined by '.', with at most 64 characters in all, "
    "which is the limit of Linux",
)
interface_name = pattern(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}",
    "is not an interface name: the kernel allows at most 15 characters; use letters, digits, '_', '.' and '-'",
)
alternative_name = pattern(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}",
    "is not an alternative name of an interface: use at most 127 letters, digits, '_', '.' and '-'",
)
_NO_INTERFACE = ("all", "default", "lo")
"""Names that Linux or systemd uses for something else."""


def new_interface_name(value: str) -> Optional[str]:
    """Check the name of an interface that is to be made on a host."""
    if value in ("all", "default"):
        return f"{value!r} means all interfaces of the host to the kernel; choose another name, such as lab0"
    if value == "lo":
        return "'lo' is the loopback interface of every host; choose another name, such as lab0"
    return interface_name(value)


def guest_interface_name(value: str) -> Optional[str]:
    """Check the name of an interface in a guest, as systemd.link(5) takes it."""
    if value in _NO_INTERFACE or value.isdigit():
        return f"{value!r} cannot be the name of an interface; choose another, such as lan0"
    return interface_name(value)


interface_id = pattern(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
    "is not an interface's id: use letters, digits, '_', '.' and '-', and begin with a letter or a digit",
)
mac_address = unless_number(
    pattern(
        r"(?!00(:00){5}$)[0-9a-fA-F][02468aceACE]:([0-9a-fA-F]{2}:){4}[0-9a-fA-F]{2}",
        "is not a unicast MAC address: write six octets such as 02:00:00:00:00:01, the first one even, and not all 0",
    ),
    _in_sixties(6),
)
machine_id = pattern(
    r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "is not a machine id: write 32 hexadecimal digits, or a UUID",
)
serial = pattern(r"[A-Za-z0-9._-]{1,20}", "is not a serial: use at most 20 letters, digits, '.', '_' and '-'")
tag = pattern(
    rf"(?!\.{{1,2}}$|#)[^/{CONTROL}]{{1,36}}",
    "is not a tag: use at most 36 characters, without '/', control characters or a leading '#'",
)
label = pattern(
    rf"[^{CONTROL}]{{1,255}}", "is not a label: write at most 255 characters, none of them a control character"
)
MOST_IN_ARGUMENT = 65536
"""Characters of an argument, of which the kernel takes 128 KiB (execve(2))."""
argument = pattern(
    rf"[^{CONTROL}]{{1,{MOST_IN_ARGUMENT}}}",
    f"is not an argument: write 1 to {MOST_IN_ARGUMENT} characters, none of them a control character",
)
account = pattern(r"[a-z_][a-z0-9_-]{0,30}\$?|[0-9]+", "is not the name or numeric ID of an account")
account_or_own = pattern(r"\{group\}|[a-z_][a-z0-9_-]{0,30}\$?|[0-9]+", "is not the name or numeric ID of an account")
cpu_model = pattern(r"[A-Za-z0-9][A-Za-z0-9_.,+=-]*", "is not a model of a processor, such as max or Haswell")
number = pattern(r"(0x)?[0-9a-fA-F]+", "is not a number: write digits, or 0x and hexadecimal digits")
threads = pattern(r"[0-9]+|`?nproc`?", "is not a number of threads: write a whole number, or nproc")
byte_size = pattern(r"[1-9][0-9]*[kKMGT]?", "is not a size: write a number with M or G (256M)")
file_system = pattern(r"[a-z0-9][a-z0-9_.-]*", "is not the name of a file system, such as ext4")
package_path = path_pattern(
    rf"[^{CONTROL}/-][^{CONTROL}/]*|(/[^{CONTROL}/]+)+/?", "is neither an absolute path nor the name of a program"
)
oem_string = pattern(
    rf"(?!.*oem_strings)[^{CONTROL},\[\]\"]+",
    "is not a single OEM string: write one string per element, without commas, brackets and quotes",
)
pci_address = unless_number(
    pattern(
        r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]",
        "is not the address of a PCI device with its domain, such as 0000:01:00.0",
    ),
    _written_pci_address,
)
usb_number = pattern(
    r"[0-9a-fA-F]{4}", "is not a number of USB: write four hexadecimal digits in quotes, such as '1050'"
)
usb_serial = pattern(
    r"[A-Za-z0-9_.:@+~-]{1,126}", "is not a serial number that udev can compare: use letters, digits and '_.:@+~-'"
)
driver = pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", "is not the name of a driver, such as e1000e or virtio-pci")
absolute_path = path_pattern(rf"/[^{CONTROL}]*", "is not an absolute path: begin with '/', without control characters")
plain_path = path_pattern(
    r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+",
    "is not a plain absolute path: units name it, so use letters, digits, '.', '_' and '-' between its slashes",
)
state_path = path_pattern(
    rf"(?!-)(?!(.*/)?\.\.(/|$))[^{CONTROL}]+",
    "is not a path: write an absolute path, or one relative to the MicroVM's working directory, without '..', "
    "control characters or a leading '-'",
)
kernel_setting = pattern(
    r"CONFIG_[A-Za-z0-9_]+", "is not the name of a setting of a kernel, such as CONFIG_NET_9P_VIRTIO"
)
kernel_parameter = pattern(
    quoting.KERNEL_PARAMETER.pattern,
    'is not a single kernel parameter: write KEY, KEY=VALUE or KEY="VALUE WITH SPACES"',
)
authorized_key = pattern(
    rf"([^{CONTROL}]+ )?(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^{CONTROL}]*)?",
    "is not a line of authorized_keys(5): write the content of a .pub file, one key for each element",
)


mode = pattern(r"0[0-7]{3,4}", "is not a mode: write octal digits in quotes and with a leading 0, such as '0644'")
file_path = path_pattern(
    rf"(/(?!\.{{1,2}}(/|$))[^/{CONTROL}]+)+", "is not the path of a file: write an absolute path without '.' and '..'"
)
digest = pattern(r"[0-9a-f]{32}", "is not a digest: it has 32 hexadecimal digits")
SOCKET_BYTES = 107
"""Longest path of a Unix socket (unix(7): 108, with a zero at the end)."""


def socket_path(value: object) -> Optional[str]:
    """Check a path below the state directory, or absolute, that the kernel takes for a socket."""
    problem = state_path(value)
    length = 0 if problem else len(str(value).encode())
    if length > SOCKET_BYTES:
        return f"has {length} bytes, but the path of a socket has at most {SOCKET_BYTES}; use a shorter path"
    return problem


def share_socket(value: object) -> Optional[str]:
    """Check the path of a socket that a unit names."""
    return plain_path(str(value).replace("{name}", "name")) or socket_path(value)


_identity_map = pattern(
    r"(map|guest|host|squash-guest|squash-host):[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}|forbid-guest:[0-9]{1,10}:[0-9]{1,10}",
    "is not a translation of virtiofsd: write TYPE:GUEST:HOST:COUNT with the type map, guest, host, squash-guest or "
    "squash-host, such as map:0:100000:65536, or forbid-guest:GUEST:COUNT",
)


def identity_map(value: object) -> Optional[str]:
    """Check a translation of virtiofsd, whose ranges end before the number that stands for nobody."""
    problem = _identity_map(value)
    if problem is not None:
        return problem
    kind, *numbers = str(value).split(":")
    *starts, count = map(int, numbers)
    # The other kinds have one number on one side.
    if kind in ("map", "guest", "host") and max(starts) + count > _NOBODY:
        most = _NOBODY - max(starts)
        last = f"{_NOBODY - 1}, the last number of a user or group"
        return f"{_shown(value)} goes beyond {last}; set COUNT to {most} or less"
    return None


_NOBODY = 2**32 - 1
"""Number that no user and no group has (credentials(7))."""
package = pattern(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?", "is not the name of a Debian package")
mirror = pattern(
    rf"(https?|file|copy):[^\s{CONTROL}]+|deb(-src)? [^{CONTROL}]+",
    "is not a mirror: write a URL, or a line of sources.list(5)",
)


def positive(value: int) -> Optional[str]:
    """Check a number of one or more."""
    return _too_large(value) if value >= 1 else f"{value} is too small; write 1 or more"


def not_negative(value: int) -> Optional[str]:
    """Refuse a number below zero."""
    return _too_large(value) if value >= 0 else f"{value} is too small; write 0 or more"


def _too_large(value: int) -> Optional[str]:
    return None if value <= MOST_NUMBER else f"{value} is too large; write at most {MOST_NUMBER}"


MOST_IN_PACKET = 65535
LEAST_IN_PACKET = 68
"""Packet that each host of IPv4 forwards whole (RFC 791), less than which no interface takes."""


def mtu(value: int) -> Optional[str]:
    """Check the largest packet of an interface."""
    if LEAST_IN_PACKET <= value <= MOST_IN_PACKET:
        return None
    return f"{value} is not an MTU; write {LEAST_IN_PACKET} to {MOST_IN_PACKET}"


MOST_LINK_GROUP = 0x7FFFFFFF


def link_group(value: int) -> Optional[str]:
    """Check the number of a group of interfaces."""
    if 0 <= value <= MOST_LINK_GROUP:
        return None
    return f"{value} is not the number of a group of interfaces; write 0 to {MOST_LINK_GROUP}"


def percentage(value: int) -> Optional[str]:
    """Check a percentage of one CPU."""
    if 1 <= value <= MOST_PERCENT:
        return None
    return f"{value} is not a percentage of one CPU; write 1 to {MOST_PERCENT}"


MOST_PERCENT = 10_000_000
"""Largest percentage: systemd counts hundredths of it in 32 bits."""


AUTO = "auto"
"""Value of options that are derived where nobody says more."""

AUTOMATIC_CONTEXT = 0
"""Number that stands for a context identifier which is to be derived; no guest has it."""


def context_identifier(value: object) -> Optional[str]:
    """Check a guest's address in vsock(7): 0 to 2 are taken, and the largest number means any."""
    text = str(value)
    if text == AUTO or (re.fullmatch(r"[0-9]{1,10}", text) and 3 <= int(text) < 0xFFFFFFFF):
        return None
    return f"{_shown(value)} is not a context identifier of a guest; write 3 to 4294967294, or auto"


def context_number(value: object) -> int:
    """Return a checked context identifier, AUTOMATIC_CONTEXT for one that is to be derived."""
    return AUTOMATIC_CONTEXT if value == AUTO else int(str(value))


CREDENTIAL = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.@-]*")
SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def credential_files(entry: Tuple[str, str]) -> Optional[str]:
    """Check the name of a credential (systemd.exec(5)) and the path of a file, which the unit names."""
    name, path = entry
    if not CREDENTIAL.fullmatch(name) or len(name) > MOST_IN_CREDENTIAL:
        return f"{_shown(name)} is not the name of a credential: use letters, digits, '.', '_', '-' and '@'"
    problem = file_path(path)
    if problem:
        return problem
    try:
        quoting.unit_credential(name, path)
    except ValueError:
        return f"{_shown(path)} cannot be written in a unit; use a path without blanks and backslashes"
    return None


def shell_commands(value: object) -> Optional[str]:
    """Check commands of a shell, of several lines; a carriage return would be part of a word."""
    problem = re.search(rf"(?![\t\n])[{CONTROL}]", str(value))
    return f"contains {problem.group()!r}, which no shell command has; remove it" if problem else None


def bin_scripts(entry: Tuple[str, str]) -> Optional[str]:
    """Check the name of a script; its content is the user's."""
    name, text = entry
    if name == "microvm-run":
        return (
            "cannot be extended because it ends by executing the hypervisor; use pre_start for commands that run before"
        )
    if not SCRIPT.fullmatch(name) or len(name) > MOST_IN_NAME:
        return f"{_shown(name)} is not the name of a script: use letters, digits, '.', '_', '-'"
    return shell_commands(text)


machine_option_name = pattern(
    r"[A-Za-z0-9][A-Za-z0-9_.-]*", "is not a machine option: use letters, digits, '.', '_', '-'"
)


def machine_options(entry: Tuple[str, str]) -> Optional[str]:
    """Check an option of QEMU's machine and its value."""
    name, value = entry
    return machine_option_name(name) or (argument(value) if value else None)


def mount_point(value: object) -> Optional[str]:
    """Check a mount point in the guest: systemd makes a unit's name of it, and reads lines of at most 4 KiB."""
    problem = None if value == "/" else file_path(value)
    if problem or len(quoting.fstab_field(str(value))) <= MOST_IN_FIELD:
        return problem
    return f"{_shown(value)} is too long for a line of fstab(5); use a shorter path"


MOST_IN_FIELD = 3072
"""Characters of a field of fstab(5), so that its line fits into the C library's buffer (getmntent(3))."""

optional_path = path_pattern(
    rf"(/[^{CONTROL}]*)?", "is not an absolute path: begin with '/', without control characters"
)
store_path = path_pattern(
    r"/nix/store/[0-9a-z]{32}-[A-Za-z0-9+._?=-]+",
    "is not a path in the store of Nix: write it as `nix path-info` prints it, /nix/store/HASH-NAME",
)
image_reference = path_pattern(
    rf"/[^{CONTROL}]*|[A-Za-z0-9][A-Za-z0-9._-]*", "is neither the name of an image nor an absolute path"
)


def connection_count(value: int) -> Optional[str]:
    """Check a number of connections."""
    return None if 0 <= value <= 1_000_000 else f"{value} is not a number of connections; write 0 to 1000000"


def vlan(value: int) -> Optional[str]:
    """Check the number of a VLAN, or 0 for none."""
    return None if 0 <= value <= 4094 else f"{value} is not a VLAN; write 1 to 4094, or 0 for none"


def port(value: int) -> Optional[str]:
    """Check a TCP port."""
    return None if 1 <= value <= 65535 else f"{value} is not a port; write 1 to 65535"


def protocol_port(value: str) -> Optional[str]:
    """Check a protocol with one of its ports."""
    protocol, _slash, number = value.partition("/")
    if protocol in ("tcp", "udp") and re.fullmatch("[1-9][0-9]{0,4}", number, re.ASCII):
        return port(int(number))
    return f"{_shown(value)} is not a protocol with a port; write it such as tcp/8080 or udp/123"


def _ip_address(value: str) -> Optional[str]:
    """Check an IPv4 or IPv6 address; after a percent sign, Python takes anything for its zone."""
    address, percent, zone = value.partition("%")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"{_shown(value)} is not an IP address"
    if percent and not (parsed.version == 6 and parsed.is_link_local):
        return f"{_shown(value)} has a zone, which only a link-local IPv6 address may have; remove it"
    return interface_name(zone) if percent else None


ip_address = unless_number(_ip_address, _in_sixties(8))


def address_without_zone(value: str) -> Optional[str]:
    """Check an address of a host that is reached through an interface which is known already."""
    return f"{_shown(value)} has a zone; write the address without it" if "%" in value else ip_address(value)


def ipv4_address(value: str) -> Optional[str]:
    """Check an IPv4 address."""
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        return f"{_shown(value)} is not an IPv4 address"
    return None


def ipv4_subnet(value: str) -> Optional[str]:
    """Check an IPv4 address or subnet."""
    try:
        ipaddress.IPv4Network(value)
    except ValueError as problem:
        return f"{_shown(value)} is not an IPv4 subnet ({problem}); write it such as 203.0.113.0/24 or 203.0.113.7"
    return None


def interface_name_or_ipv4_subnet(value: str) -> Optional[str]:
    """Check the name of a network, or an IPv4 address or subnet."""
    return ipv4_subnet(value) if re.fullmatch("[0-9./]+", value, re.ASCII) else interface_name(value)


def ipv6_address(value: str) -> Optional[str]:
    """Check an IPv6 address without a zone."""
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return f"{_shown(value)} is not an IPv6 address"
    return address_without_zone(value)


def interface_address(value: str) -> Optional[str]:
    """Check an address with its prefix length."""
    if "%" in value:
        return f"{_shown(value)} has a zone; write the address without it"
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        return f"{_shown(value)} is not an address; write it with its prefix length, such as 10.0.0.2/24"
    if "/" not in value:
        return f"{value!r} has no prefix length; write it as {value}/24, for example"
    return None


def route_destination(value: str) -> Optional[str]:
    """Check an address or a subnet that a route leads to."""
    try:
        ipaddress.ip_network(value)
    except ValueError as problem:
        return f"{_shown(value)} is not a subnet ({problem}); write it such as 10.1.0.0/16, or 0.0.0.0/0 for all"
    return f"{_shown(value)} has a zone; write the subnet without it" if "%" in value else None


def weight(value: int) -> Optional[str]:
    """Check a weight of systemd.resource-control(5)."""
    return None if 1 <= value <= 10000 else f"{value!r} is not a weight; write 1 to 10000"


def order(value: int) -> Optional[str]:
    """Check a place in an order."""
    return None if 0 <= value <= 99 else f"{value!r} is not a position; write 0 to 99"


unit_name = pattern(
    quoting.UNIT_NAME.pattern,
    "is not the name of a unit: write the whole name, such as vault-agent.service or srv-nas.mount",
)


_HOUR = r"([01][0-9]|2[0-3]):[0-5][0-9]"
time_window = pattern(f"{_HOUR}-{_HOUR}", "is not a time window; write its start and its end, such as 22:00-04:30")


nix_key = pattern(
    r"[A-Za-z0-9_.@-]+:[A-Za-z0-9+/]{43}=",
    "is not a public key of Nix: write NAME:BASE64, as `nix key convert-secret-to-public` and caches show it",
)
nix_user = pattern(
    r"@?[a-z_][a-z0-9_-]{0,30}\$?",
    "is neither a user nor a group of the host: write NAME, or @NAME for a group; everybody (*) cannot be trusted",
)
nix_age = pattern(r"[1-9][0-9]{0,4}d", "is not an age in days: write a number and d, such as 30d")
_NIX_SUBSTITUTER = pattern(
    rf"[a-z][a-z0-9+.-]*://[^\s#{CONTROL}]+", "is not the URL of a binary cache, such as https://cache.example.com"
)
_NIX_SETTING = re.compile(r"(?!include$)[a-z][a-z0-9-]*")


_CREDENTIALS = (
    "contains a user, password or token, and everybody reads these settings; write them to a netrc(5) file of root's, "
    "and name that file in nix_settings.netrc-file"
)


def nix_substituter(value: object) -> Optional[str]:
    """Check the URL of a binary cache, which must not switch the check of signatures off."""
    if has_credentials(str(value)):
        return _CREDENTIALS
    decoded = re.sub("%([0-9A-Fa-f]{2})", lambda digits: chr(int(digits[1], 16)), str(value))
    if re.search(r"[?&]trusted=(true|1|yes)", decoded):
        return f"{_shown(value)} is trusted without signatures; remove trusted=, and list its key in nix_trusted_keys"
    return _NIX_SUBSTITUTER(value)


_OF_SETTINGS: Mapping[str, Callable[[object], Optional[str]]] = {
    **dict.fromkeys(
        ("substituters", "trusted-substituters", "binary-caches", "trusted-binary-caches"), nix_substituter
    ),
    "trusted-users": nix_user,
}
"""Checks of the words of settings, also of the former names of those that have one, that options of ours add to."""


def nix_setting(entry: Tuple[str, object]) -> Optional[str]:
    """Check the name and value of a setting, for a line of nix.conf."""
    name, value = entry
    if not _NIX_SETTING.fullmatch(name):
        return f"{_shown(name)} is not the name of a setting of Nix, such as max-jobs"
    if name in ("access-tokens", "extra-access-tokens"):
        return "is a secret, and everybody reads these settings; write it to a file of root's that nix.conf includes"
    if name == "require-sigs" and value not in (True, "true"):
        return (
            "must stay true, since packages are executed as root; list the keys that sign them in nix_trusted_keys, or "
            "those who may copy without signatures in nix_trusted_users"
        )
    elements = value if isinstance(value, (list, tuple)) else [value]
    if any(not isinstance(element, (str, int)) for element in elements):
        return f"{_shown(value)} is not a value of a setting; write a string, a whole number, true, false, or a list"
    if re.search(rf"[#{CONTROL}]", " ".join(map(str, elements))):
        return f"{_shown(value)} contains '#', which begins a comment there, or a control character; remove it"
    if any(map(has_credentials, map(str, elements))):
        return _CREDENTIALS
    check = _OF_SETTINGS.get(name.removeprefix("extra-"))
    words = " ".join(map(str, elements)).split()
    return next(filter(None, map(check, words)), None) if check is not None else None
