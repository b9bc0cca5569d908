# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys of guests, by the names of their MicroVMs (sshd(8), known_hosts)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import List

from ..declaration.names import KNOWN_HOSTS
from ..schema.quoting import one_per_line
from . import files


def has_key(name: str) -> bool:
    """Return whether a host key of a MicroVM is known."""
    return any(_is_of(line, name) for line in _lines())


def rename_key(former: str, name: str) -> None:
    """Let the host keys of a MicroVM be those of another name, and forget what that had before."""
    lines = [line for line in _lines() if not _is_of(line, name)]
    renamed = [_with_name(line, name) if _is_of(line, former) else line for line in lines]
    files.replace_file(KNOWN_HOSTS, one_per_line(renamed).encode(), 0o644)


def forget(name: str) -> None:
    """Forget the host keys of a MicroVM."""
    lines = [line for line in _lines() if not _is_of(line, name)]
    files.replace_file(KNOWN_HOSTS, one_per_line(lines).encode(), 0o644)


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
