# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that are containers of systemd-nspawn: they share the machine's kernel and devices."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from . import trees
from .paths import Host
from .trees import Tree

START = Path(__file__).with_name("start-container")
DEVICES = {"/dev/kvm": "0660 root kvm", "/dev/vhost-net": "0660 root kvm", "/dev/net/tun": "0666 root root"}
"""Devices that hypervisors use, with what a host would give them."""


@dataclass(frozen=True)
class ContainerBase:
    """Base tree, below an overlay with the host's own files."""

    tree: Tree

    @property
    def name(self) -> str:
        """See Base.name."""
        return self.tree.name

    def files(self, host: Host) -> dict[str, str]:
        """See Base.files."""
        return {
            "etc/machine-id": hashlib.sha256(f"{host.bed.name}/{host.name}".encode()).hexdigest()[:32] + "\n",
            "etc/resolv.conf": "",
            "etc/tmpfiles.d/testbed.conf": "".join(device_lines()),
        }

    def command(self, host: Host) -> list[str | Path]:
        """See Base.command."""
        machine = f"--machine={host.bed.name}-{host.name}"
        private = ("unshare", "--mount", "--propagation", "private")
        return [*private, START, host.cgroup, self.tree.directory, host.data, machine]


def ensure(suite: str) -> ContainerBase:
    """Return the base of ``suite``, built first if no run did it before."""
    return ContainerBase(trees.ensure(suite))


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
