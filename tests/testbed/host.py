# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host of a bed: its own files over the base tree, its start and its end."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import cgroup, keys
from .commands import BedError, delete, send_signal
from .network import GATEWAY, inside
from .paths import Host
from .trees import Tree

START = Path(__file__).with_name("start-host")
STOP_SECONDS = 30
DEVICES = {"/dev/kvm": "0660 root kvm", "/dev/vhost-net": "0660 root kvm", "/dev/net/tun": "0666 root root"}
"""Devices that hypervisors use, with what a host would give them."""


def is_running(host: Host) -> bool:
    """Return whether the container's supervisor and its systemd are both alive."""
    return all(cgroup.is_populated(host.cgroup / part) for part in ("supervisor", "payload"))


def start(host: Host, tree: Tree, lock: int) -> None:
    """Start ``host`` afresh; the descriptor ``lock`` is held until its first process can be found again."""
    remove(host)
    write_files(host)
    host.cgroup.mkdir(parents=True)
    command: list[str | Path] = [*inside(host.bed), "unshare", "--mount", "--propagation", "private", START]
    command += [host.cgroup, tree.directory, host.data, f"--machine={host.bed.name}-{host.name}"]
    with host.console.open("wb") as console:
        subprocess.Popen(command, stdin=lock, stdout=console, stderr=console, start_new_session=True)


def write_files(host: Host) -> None:
    """Fill the host's upper layer with all that makes it this host."""
    for part in ("upper", "work", "root"):
        (host.data / part).mkdir(parents=True)
    for path, text in files(host).items():
        target = host.upper / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (host.upper / "root").chmod(0o700)
    (host.upper / "etc/ssh").mkdir()
    keys.make(host.upper / "etc/ssh/ssh_host_ed25519_key", host.name)


def files(host: Host) -> dict[str, str]:
    """Path below the root, and content, of the host's own files."""
    return {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost ip6-localhost ip6-loopback\n",
        "etc/machine-id": hashlib.sha256(f"{host.bed.name}/{host.name}".encode()).hexdigest()[:32] + "\n",
        "etc/resolv.conf": "",
        "etc/systemd/network/10-host0.network": (
            f"[Match]\nName=host0\n\n[Network]\nAddress={host.address}/24\nGateway={GATEWAY}\n"
        ),
        "etc/tmpfiles.d/testbed.conf": "".join(device_lines()),
        "root/.ssh/authorized_keys": keys.public(host.bed),
    }


def device_lines(devices: dict[str, str] | None = None) -> list[str]:
    """tmpfiles.d(5) lines for the machine's devices.

    They make nodes of the container's own, not bind mounts: so an owner set in the container is not one on the machine.
    """
    lines = []
    for path, owner in (DEVICES if devices is None else devices).items():
        if os.path.exists(path):
            number = os.stat(path).st_rdev
            kind = "c" if stat.S_ISCHR(os.stat(path).st_mode) else "b"
            lines.append(f"{kind} {path} {owner} - {os.major(number)}:{os.minor(number)}\n")
    return lines


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
