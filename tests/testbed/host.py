# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host of a bed, of whatever kind: its own files, its start and its end."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

from . import cgroup, keys
from .commands import BedError, delete, send_signal
from .kinds import Base
from .network import GATEWAY, inside
from .paths import Host

STOP_SECONDS = 30
PARTS = ("supervisor", "payload")
"""Control groups of a host: of the program that runs it, and of what runs in it."""


def is_running(host: Host) -> bool:
    """Return whether its supervisor and what that runs are both alive."""
    return all(cgroup.is_populated(host.cgroup / part) for part in PARTS)


def start(host: Host, base: Base, lock: int) -> None:
    """Start ``host`` afresh; the descriptor ``lock`` is held until its first process can be found again."""
    remove(host)
    write_files(host, base)
    host.cgroup.mkdir(parents=True)
    with host.console.open("ab") as console:
        command = [*inside(host.bed), *base.command(host)]
        subprocess.Popen(command, stdin=lock, stdout=console, stderr=console, start_new_session=True)


def write_files(host: Host, base: Base) -> None:
    """Write all that makes it this host."""
    for path, text in {**files(host), **base.files(host)}.items():
        target = host.upper / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (host.upper / "root").chmod(0o700)
    (host.upper / "etc/ssh").mkdir()
    keys.make(host.upper / "etc/ssh/ssh_host_ed25519_key", host.name)


def files(host: Host) -> dict[str, str]:
    """Path below the root, and content, of the files of a host of any kind."""
    return {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost ip6-localhost ip6-loopback\n",
        "etc/systemd/network/10-host0.network": (
            f"[Match]\nName=host0\n\n[Network]\nAddress={host.address}/24\nGateway={GATEWAY}\n"
        ),
        "root/.ssh/authorized_keys": keys.public(host.bed),
    }


def stop(hosts: Sequence[Host]) -> None:
    """Power off ``hosts``, together, and wait until they are off or time is up."""
    for host in hosts:
        for process in cgroup.processes(host.cgroup / "supervisor"):
            send_signal(process, signal.SIGTERM)
    for host in hosts:
        cgroup.wait_until_empty(host.cgroup, STOP_SECONDS)


def remove(host: Host) -> None:
    """End what is left of ``host`` and delete its files."""
    cgroup.remove(host.cgroup)
    delete(host.data)
    host.console.unlink(missing_ok=True)


def last_words(host: Host) -> str:
    """The end of the host's console."""
    try:
        return "\n".join(host.console.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    except OSError as error:
        raise BedError(f"{host.name} has no console: {error}") from error
