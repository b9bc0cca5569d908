# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of SSH servers, compared with the host keys of guests that `microvm ssh` has recorded on the host."""

from __future__ import annotations

from typing import Optional

from ..declaration.names import KNOWN_HOSTS
from ..schema.excerpts import last_lines
from . import known_hosts
from .capture import capture
from .commands import HostError
from .deadline import Deadline

DIFFERENT = b"Host key verification failed"
"""Error of ssh(1) where the server has another key than the recorded one, or does not prove that it has it."""

NOT_LET_IN = b"Permission denied"
"""Error of ssh(1) where the server has the recorded key and asks for a login."""

OPTIONS = (
    "BatchMode=yes",
    "GlobalKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    # Nobody logs in: only the key is asked for.
    "PreferredAuthentications=none",
    "LogLevel=ERROR",
)


class OtherHostKey(HostError):
    """Answer of an SSH server that has not the key of the guest that was asked."""


def check(name: str, address: str, port: int, deadline: Deadline) -> Optional[str]:
    """Compare the host key of an SSH server with the one that is recorded under a name, if one is.

    Returns why the key was not seen; ``None`` where it is the recorded one. Raises OtherHostKey for another key, and
    HostError where ssh is not installed.
    """
    if not known_hosts.has_key(name):
        return None
    options = (*OPTIONS, f"UserKnownHostsFile={KNOWN_HOSTS}", f"HostKeyAlias={name}")
    words = ["ssh", "-F", "/dev/null", *(word for option in options for word in ("-o", option))]
    done = capture([*words, "-p", str(port), "-l", "root", "--", address, "true"], deadline.remaining)
    if DIFFERENT in done.errors:
        raise OtherHostKey(
            f"the SSH server at {address} has another host key than the one recorded for {name}: another machine "
            f"answers there, or the guest was made anew; then delete the old key: ssh-keygen -f {KNOWN_HOSTS} -R {name}"
        )
    if done.status == 0 or NOT_LET_IN in done.errors:
        return None
    if done.status is None:
        return f"the SSH server at {address} has not shown its host key in time"
    return last_lines(done.errors.decode(errors="replace"), 1) or f"ssh ended with status {done.status}"
