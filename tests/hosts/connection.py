# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connection of SSH that the commands on a host share: a login takes longer than most of them (ssh_config(5))."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence

from testbed import ssh
from testbed.paths import Host

MASTER = (
    *("ControlMaster=yes", "ControlPersist=600", "BatchMode=yes", "ConnectTimeout=60"),
    # An emulated host that is busy answers late.
    *("ServerAliveInterval=30", "ServerAliveCountMax=6"),
)
"""Options of the process that keeps the connection: it ends after ten minutes without a command."""


class Connection:
    """Connection to one host, opened by the first command; where it cannot be had, a command logs in by itself."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._socket = host.bed.state / "ssh" / f"{host.name}.socket"
        self._opening = threading.Lock()

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs words on the host."""
        with self._opening:
            if not self._socket.exists():
                self._run(*MASTER, words=["true"])
        return self._ssh("ControlMaster=no", words=words)

    def close(self) -> None:
        """Close the connection, before the host goes down: nobody would tell its process."""
        with self._opening:
            if self._socket.exists():
                self._run("ControlMaster=no", words=["-O", "exit"])
                self._socket.unlink(missing_ok=True)

    def _ssh(self, *options: str, words: Sequence[str]) -> list[str]:
        program, *rest = ssh.command(self._host, words)
        own = (word for option in (f"ControlPath={self._socket}", *options) for word in ("-o", option))
        return [program, *own, *rest]

    def _run(self, *options: str, words: Sequence[str]) -> None:
        null = subprocess.DEVNULL
        command = self._ssh(*options, words=words)
        subprocess.run(command, stdin=null, stdout=null, stderr=null, check=False, timeout=180)
