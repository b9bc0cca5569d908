# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quote values for the files that root's programs read, and write the lines of these files.

Each format has one function that makes ``Quoted`` of a value, and the functions that write lines take nothing else, so
that an unquoted value is an error of mypy. A value that a format cannot express is a ValueError: the checks of the
option tables (``checks.py``) refuse it before. Shell words are quoted in ``runner/scripts/shell.py``, the lists of a
hypervisor's options in its own folder.
"""

from __future__ import annotations

import re
from typing import Iterable, List, NewType

Quoted = NewType("Quoted", str)
"""Value as a line has it."""

CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""Characters that end a line somewhere, command a terminal, show a text in another order than it has, or are not in
UTF-8. Part of a regular expression, for a set in brackets."""

_CONTROL = re.compile(f"[{CONTROL}]")
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+,~-]*|[0-9]+%")
_NETWORK = re.compile(r"[A-Za-z0-9_.:/%-]+")


def without_control(text: str) -> str:
    """Return a text of one line. Raises ValueError where it has control characters."""
    if _CONTROL.search(text):
        raise ValueError(f"{text!r} contains a control character")
    return text


def printable(text: str) -> str:
    """Return a text for a terminal: characters that do not print are written as Python escapes them."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def plain(value: object) -> Quoted:
    """Return a value of which no format takes a character for anything else, such as a number or the name of a unit."""
    if not _PLAIN.fullmatch(str(value)):
        raise ValueError(f"{value!r} requires quotes")
    return Quoted(str(value))


INSTANCE = Quoted("%i")
"""Name of the instance of a template unit."""


UNIT_NAME = re.compile(
    r"(?=.{1,255}$)[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\@-]+)?"
    r"\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)"
)
"""Name of a unit that is no template (systemd.unit(5))."""


def unit_reference(name: str) -> Quoted:
    """Return the name of a unit in a dependency, such as ``mnt-my\\x2dnas.mount``, where systemd keeps backslashes."""
    if not UNIT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a unit")
    return Quoted(name)


def of_instance(directory: str, *entries: str, is_optional: bool = False) -> Quoted:
    """Return the path of something below a directory that is named after the instance of a template unit."""
    path = "/".join([plain(directory), "%i", *map(plain, entries)])
    return Quoted(f"-{path}" if is_optional else path)


def unit_word(text: str) -> Quoted:
    """Return a word of a setting that systemd splits into words, such as ``ReadWritePaths=``.

    Quotes keep blanks together and a backslash away from the end of the line, a doubled percent sign is no specifier
    (systemd.syntax(7), systemd.unit(5)). Lines of sysusers.d(5) and tmpfiles.d(5) are read alike. ``BindPaths=`` is
    not: versions of systemd differ in how often they read its quotes and backslashes, so it takes ``plain`` paths only.
    """
    escaped = without_control(text).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return Quoted(f'"{escaped}"')


def unit_credential(name: str, path: str) -> Quoted:
    """Return the value of ``LoadCredential=`` (systemd.exec(5)): a name, and the path of a file.

    There are no quotes in it. A backslash at the end of the line would join the next one, and from version 254 on
    systemd passes name and path on to another process as words, which that splits and unescapes once more.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.@-]+", name):
        raise ValueError(f"{name!r} is not the name of a credential")
    if not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
        raise ValueError(f"{path!r} is not an absolute path without '.', '..' and repeated or final slashes")
    if " " in path or "\\" in path:
        raise ValueError(f"{path!r} contains a blank or a backslash")
    return Quoted(f"{name}:{without_control(path).replace('%', '%%')}")


def unit_assignment(name: str, value: Quoted) -> Quoted:
    """Return the value of ``Environment=`` that sets a variable to a plain value."""
    return Quoted(f"{plain(name)}={plain(value)}")


def network_value(text: str) -> Quoted:
    """Return an address or the name of an interface for systemd.network(5), which has no specifiers."""
    if not _NETWORK.fullmatch(text):
        raise ValueError(f"{text!r} is neither an address nor the name of an interface")
    return Quoted(text)


def environment_value(value: object) -> Quoted:
    """Return a value of an environment file.

    Systemd removes quotes from it (systemd.exec(5)), ``microvm-start`` reads it as it is: it must need none.
    """
    return plain(value)


def setting(key: str, *values: Quoted) -> str:
    """Return a line of a unit, of a file of systemd-networkd, or of an environment file."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", key):
        raise ValueError(f"{key!r} is not the name of a setting")
    return f"{key}={' '.join(values)}\n"


def section(name: str, lines: Iterable[str]) -> str:
    """Return a section of a unit or of a file of systemd-networkd."""
    return "".join([f"[{name}]\n", *lines])


def fields(*values: Quoted) -> str:
    """Return fields as one line without an end, as sysusers.d(5), tmpfiles.d(5) and fstab(5) have them."""
    return " ".join(values)


def fstab_field(text: str) -> Quoted:
    """Return a field of fstab(5), where backslashes and blanks are written as octal numbers.

    Not every version of the C library reads other characters back so: a number sign at the beginning, which makes a
    comment of the line, cannot be written.
    """
    if not text or text.startswith("#"):
        raise ValueError(f"{text!r} is empty or begins with '#'")
    return Quoted(without_control(text).replace("\\", "\\134").replace(" ", "\\040"))


def nft_string(text: str) -> Quoted:
    """Return a string of nft(8), which has no escapes, and where an asterisk at the end stands for any characters."""
    if set(text) & set('"\\*'):
        raise ValueError(f"{text!r} contains a quote, a backslash or an asterisk")
    return Quoted(f'"{without_control(text)}"')


def nft_value(value: object) -> Quoted:
    """Return an address, a subnet or an identifier of nft(8)."""
    if not re.fullmatch(r"[A-Za-z0-9_.:/-]+", str(value)):
        raise ValueError(f"{value!r} is neither an address nor an identifier")
    return Quoted(str(value))


def one_per_line(texts: Iterable[object]) -> str:
    """Return a list file, each of whose lines is one value."""
    return "".join(f"{without_control(str(text))}\n" for text in texts)


def kernel_command_line(parameters: Iterable[str]) -> str:
    """Return the kernel's command line. Blanks separate its parameters outside of double quotes."""
    listed: List[str] = list(parameters)
    for parameter in listed:
        if not KERNEL_PARAMETER.fullmatch(parameter):
            raise ValueError(f"{parameter!r} is not a single kernel parameter")
    return " ".join(listed)


KERNEL_PARAMETER = re.compile(rf'([^\s"{CONTROL}]|"[^"{CONTROL}]*")+')
"""One parameter of the kernel: a blank is part of it in double quotes."""
