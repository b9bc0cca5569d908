# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Root of a user namespace (user_namespaces(7)), who owns a range of IDs and nothing else: no privilege is needed.

The user is root there, and the user's subordinate IDs (subuid(5)) are all other users.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
from dataclasses import dataclass
from typing import Callable, List, Mapping, NoReturn, Optional, Sequence

from . import files
from .commands import HostError, run, search_path

IDS = 65536
"""Number of users and groups that a Debian system may have."""

_CLONE_NEWUSER, _PR_SET_PDEATHSIG = 0x10000000, 1

SUBORDINATES = {"/etc/subuid": "newuidmap", "/etc/subgid": "newgidmap"}
"""Files with the ranges of users, and the programs that make use of them."""


@dataclass(frozen=True)
class Range:
    """Consecutive IDs."""

    first: int
    count: int


def subordinate(content: str, user: str, number: int) -> Optional[Range]:
    """Return the first range in a file's content that is large enough for all users of a system but root."""
    for line in content.splitlines():
        owner, _colon, numbers = line.partition(":")
        first, _colon, count = numbers.partition(":")
        if owner in (user, str(number)) and first.isdecimal() and count.isdecimal() and int(count) >= IDS - 1:
            return Range(int(first), int(count))
    return None


def missing(user: Optional[str] = None, paths: Optional[Mapping[str, str]] = None) -> List[str]:
    """Return what this user lacks to be root of a namespace, in words."""
    name, paths = _user() if user is None else user, SUBORDINATES if paths is None else paths
    lacking = [program for program in paths.values() if shutil.which(program, path=search_path()) is None]
    ranges = [path for path in paths if _range(path, name) is None]
    return [
        *([f"{' and '.join(lacking)} of the Debian package uidmap"] if lacking else []),
        *(
            [f"{IDS} subordinate IDs of {name} in {' and '.join(ranges)} (`usermod --add-subuids … --add-subgids …`)"]
            if ranges
            else []
        ),
    ]


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _range(path: str, user: str) -> Optional[Range]:
    return subordinate(files.read_text(path) or "", user, os.geteuid())


def as_root_of_namespace(work: Callable[[], None]) -> None:
    """Do ``work`` in a child process that is root of a new user namespace. Raises HostError with the child's error.

    The child ends with this process, and with it all that it has started in a PID namespace.
    """
    unshared, mapped, failure = os.pipe(), os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(work, unshared[1], (unshared[0], mapped[1], failure[0]), mapped[0], failure[1])
    for descriptor in (unshared[1], mapped[0], failure[1]):
        os.close(descriptor)
    try:
        if os.read(unshared[0], 1):
            _map(child)
            os.write(mapped[1], b"m")
    finally:
        # Without a byte in it, the end of this pipe ends a child that waits for its IDs.
        os.close(mapped[1])
        with os.fdopen(failure[0], "rb") as text:
            error = text.read().decode(errors="replace")
        os.close(unshared[0])
        _pid, status = os.waitpid(child, 0)
    if status != 0:
        raise HostError(error or f"the process in the user namespace ended with status {status}")


def _in_child(work: Callable[[], None], unshared: int, others: Sequence[int], mapped: int, failure: int) -> NoReturn:
    """Do ``work`` once the parent has mapped the IDs. The process ends here, without its parent's end."""
    status = 1
    try:
        for descriptor in others:
            os.close(descriptor)
        _enter_namespace()
        os.write(unshared, b"u")
        if os.read(mapped, 1):
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            work()
            status = 0
    except (HostError, OSError, ValueError, LookupError) as error:
        os.write(failure, str(error).encode(errors="replace"))
    finally:
        os._exit(status)


def _enter_namespace() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if library.unshare(_CLONE_NEWUSER) != 0:
        raise HostError(f"no user namespace can be created: {os.strerror(ctypes.get_errno())}")


def _map(process: int) -> None:
    """Make the user root of a process's namespace, and the subordinate IDs the other users. Raises HostError."""
    own = {"/etc/subuid": os.geteuid(), "/etc/subgid": os.getegid()}
    for path, program in SUBORDINATES.items():
        numbers = _range(path, _user())
        if numbers is None:
            raise HostError("; ".join(missing()))
        run([program, str(process), "0", str(own[path]), "1", "1", str(numbers.first), str(IDS - 1)])
