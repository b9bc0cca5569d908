# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys of guests, by the names of their MicroVMs (sshd(8), known_hosts)."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
from typing import Callable, Dict, List

from ..declaration.names import KNOWN_HOSTS
from ..schema.quoting import one_per_line
from . import files


def has_key(name: str) -> bool:
    """Return whether a host key of a MicroVM is known."""
    return any(_is_of(line, name) for line in _lines())


def recorded_keys() -> Dict[str, List[str]]:
    """Return types and public keys by the names that are not hashed."""
    keys: Dict[str, List[str]] = {}
    for line in _lines():
        for name in line.partition(" ")[0].split(","):
            keys.setdefault(name, []).append(_key(line))
    return keys


def keys_of(name: str) -> List[str]:
    """Return types and public keys of a MicroVM, under its name or a hash of it."""
    return [_key(line) for line in _lines() if _is_of(line, name)]


def record(name: str, key: str) -> None:
    """Let a key be the only one of its type that a MicroVM has: a server shows one of each."""
    kind = key.split()[0]
    _replace(
        lambda lines: [
            *(line for line in lines if not (_is_of(line, name) and _key(line).split()[:1] == [kind])),
            f"{name} {key}",
        ]
    )


def rename_key(former: str, name: str) -> None:
    """Let the host keys of a MicroVM be those of another name, and forget what that had before."""
    _replace(
        lambda lines: [
            _with_name(line, name) if _is_of(line, former) else line for line in lines if not _is_of(line, name)
        ]
    )


def forget(name: str) -> None:
    """Forget the host keys of a MicroVM."""
    _replace(lambda lines: [line for line in lines if not _is_of(line, name)])


def _replace(change: Callable[[List[str]], List[str]]) -> None:
    """Replace the lines by what they become. Keys of several MicroVMs may be recorded at the same time."""
    directory = os.open(os.path.dirname(KNOWN_HOSTS), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        files.replace_file(KNOWN_HOSTS, one_per_line(change(_lines())).encode(), 0o644)
    finally:
        os.close(directory)


def _key(line: str) -> str:
    """Return type and public key of a line."""
    return " ".join(line.split()[1:3])


def _lines() -> List[str]:
    return (files.read_text(KNOWN_HOSTS) or "").splitlines()


def _with_name(line: str, name: str) -> str:
    return " ".join([name, *line.split(" ")[1:]])


def _is_of(line: str, name: str) -> bool:
    """Return whether a line has a key of a name, which may be hashed (ssh_config(5), HashKnownHosts)."""
    hosts = line.partition(" ")[0]
    if not hosts.startswith("|1|"):
        return name in hosts.split(",")
    salt, _bar, digest = hosts[3:].partition("|")
    try:
        expected = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
    except binascii.Error:
        return False
    return base64.b64encode(expected).decode() == digest
