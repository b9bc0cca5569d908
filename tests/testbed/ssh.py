# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH into the hosts, from outside their network: one configuration for people, Ansible and the bed itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from . import keys
from .commands import write_aside
from .network import inside
from .paths import NETWORK, Bed, Host


def write_config(bed: Bed) -> None:
    """Write ``ssh_config`` and ``known_hosts`` for the hosts that exist."""
    hosts = bed.hosts()
    (bed.state / "ssh").mkdir(mode=0o700, exist_ok=True)
    write_aside(bed.state / "known_hosts", "".join(_known_host(host) for host in hosts))
    write_aside(bed.ssh_config, config(bed, hosts))


def _known_host(host: Host) -> str:
    key = (host.upper / "etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="ascii").split()
    return f"{host.address} {key[0]} {key[1]}\n"


def config(bed: Bed, hosts: Sequence[Host]) -> str:
    """Text of the file: the hosts by name and by address, and nothing about any other."""
    names = "".join(f"Host {host.name}\n    HostName {host.address}\n" for host in hosts)
    patterns = " ".join([*(host.name for host in hosts), f"{NETWORK}.*"])
    return f"""{names}Host {patterns}
    User root
    IdentityFile {keys.private(bed)}
    IdentitiesOnly yes
    UserKnownHostsFile {bed.state}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    ProxyCommand {" ".join(inside(bed))} socat - TCP:%h:%p
    LogLevel ERROR
"""


def command(host: Host, words: Sequence[str] = ()) -> list[str]:
    """The command that runs ``words``, or a shell, on ``host``."""
    return ["ssh", "-F", str(host.bed.ssh_config), host.name, *words]


def probe(host: Host, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run ``words`` on ``host`` without asking anybody anything, and return how it went."""
    quick = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    ssh, *rest = command(host, words)
    return subprocess.run([ssh, *quick, *rest], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def become(host: Host, words: Sequence[str]) -> None:
    """Replace this process by ``words``, or a shell, on ``host``."""
    os.execvp("ssh", command(host, words))
