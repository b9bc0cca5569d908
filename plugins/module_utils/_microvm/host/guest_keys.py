# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys that this host makes for its guests: the private ones, and their public halves in ``known_hosts``."""

from __future__ import annotations

import base64
import os
import stat
import struct
from typing import FrozenSet, Iterable, Optional, Tuple

from ..declaration.modes import HOST_KEY_DIRECTORY_MODE
from ..declaration.names import HOST_KEY_DIRECTORY, PARTIAL_SUFFIX
from ..declaration.vms.host_key import KEY_TYPE, host_key_file
from . import files, known_hosts
from .commands import HostError, run

_BEGIN, _END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"
_NUMBER = 4
"""Bytes of a number, such as the length before each field."""


def public_half(text: str) -> Optional[str]:
    """Return type and public key of an unencrypted private key in OpenSSH's format; ``None`` for anything else."""
    lines = text.split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) < 3 or (lines[0], lines[-1]) != (_BEGIN, _END):
        return None
    try:
        return _public_half(base64.b64decode("".join(lines[1:-1]), validate=True))
    except (ValueError, struct.error):
        return None


def _public_half(data: bytes) -> Optional[str]:
    """Return the public half in decoded data. Raises ValueError and struct.error."""
    cipher, end = _field(data, len(_MAGIC))
    _derivation, end = _field(data, end)
    _options, end = _field(data, end)
    # The number of keys, which is 1, is before the first one.
    key, _end = _field(data, end + _NUMBER)
    key_type, _end = _field(key, 0)
    if not data.startswith(_MAGIC) or cipher != b"none":
        return None
    return f"{key_type.decode('ascii')} {base64.b64encode(key).decode()}"


def _field(data: bytes, begin: int) -> Tuple[bytes, int]:
    """Return a field, and where it ends."""
    (length,) = struct.unpack_from(">I", data, begin)
    end = begin + _NUMBER + length
    if end > len(data):
        raise ValueError("the key is cut off")
    return data[begin + _NUMBER : end], end


def given_names(names: Iterable[str]) -> FrozenSet[str]:
    """Return those MicroVMs whose guests have a key of this host that is recorded as theirs."""
    recorded = known_hosts.recorded_keys()
    return frozenset(name for name in names if _public_key(host_key_file(name)) in recorded.get(name, ()))


def is_made(name: str) -> bool:
    """Return whether this host has made a key for a guest."""
    return os.path.lexists(host_key_file(name))


def give(name: str) -> None:
    """Make the key of a guest, unless there is one, and record it as the only one of its type. Raises HostError."""
    path = host_key_file(name)
    if not is_made(name):
        _make(name)
    public = _public_key(path)
    if public is None:
        raise HostError(
            f"{path} is no SSH key that only root can read; correct its owner and mode (0600), or delete it, by which "
            "the guest gets another key, and run again"
        )
    known_hosts.record(name, public)


def receive_key(name: str, path: str) -> None:
    """Let the key of a guest be the one that another host has made, and record it. Raises HostError."""
    public = _public_key(path)
    if public is None:
        raise HostError(f"{path} is no SSH key that only root can read; run the move again, which copies it again")
    partial = _cleared_partial(name)
    files.write_synced(partial, (files.read_text(path) or "").encode(), 0o600)
    _put(partial, host_key_file(name))
    known_hosts.record(name, public)


def rename_made_key(former: str, name: str) -> None:
    """Let the key of a guest be that of another name."""
    if is_made(former):
        os.replace(host_key_file(former), host_key_file(name))
        files.sync_directory(HOST_KEY_DIRECTORY)


def delete_made_key(name: str) -> None:
    """Delete the key of a guest."""
    files.remove(host_key_file(name))


def _public_key(path: str) -> Optional[str]:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, PermissionError):
        # Others than root do not see whether there is one.
        return None
    is_key = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    return public_half(files.read_text(path) or "") if is_key else None


def _cleared_partial(name: str) -> str:
    """Path under which a key is written, without what a killed run has left there. No MicroVM's name begins with a
    dot."""
    os.makedirs(HOST_KEY_DIRECTORY, HOST_KEY_DIRECTORY_MODE, exist_ok=True)
    partial = os.path.join(HOST_KEY_DIRECTORY, f".{name}{PARTIAL_SUFFIX}")
    for leftover in (partial, f"{partial}.pub"):
        files.remove(leftover)
    return partial


def _put(partial: str, path: str) -> None:
    """Put a key that is on the disk into its place."""
    os.replace(partial, path)
    files.sync_directory(HOST_KEY_DIRECTORY)


def _make(name: str) -> None:
    partial = _cleared_partial(name)
    try:
        # Its comment is the guest's to see, and says nothing of the host.
        run(["ssh-keygen", "-q", "-t", KEY_TYPE, "-b", "256", "-N", "", "-C", name, "-f", partial])
    except HostError as error:
        raise HostError(
            f"the SSH host key of the guest cannot be made ({error}); role microvm.fleet.host installs ssh-keygen "
            "(openssh-client); or set `guest.host_key: false`"
        ) from error
    files.remove(f"{partial}.pub")
    with open(partial, "rb") as key:
        os.fsync(key.fileno())
    _put(partial, host_key_file(name))
