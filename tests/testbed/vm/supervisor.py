# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Process that runs one host: it thaws the machine, makes it this host, and ends with it.

``python3 -m testbed.vm.supervisor BED NUMBER BASE`` in the bed's network, with the bed's lock as standard input.
"""

from __future__ import annotations

import base64
import io
import os
import signal
import sys
import tarfile
from pathlib import Path

from .. import cgroup
from ..commands import BedError, run
from ..network import BRIDGE
from ..paths import Bed, Host
from . import running
from .base import VmBase
from .hardware import Machine

IN_GROUP = ("sh", "-euc", 'echo $$ > "$0/cgroup.procs"; exec "$@"')
"""Words before a control group and a command that run the command in the group."""

BECOME = """\
date --set=@$(cat /sys/class/rtc/rtc0/since_epoch)
echo {archive} | base64 --decode | tar -xz -C / --no-same-owner
hostname --file /etc/hostname
networkctl reload
systemctl reload ssh.service
"""
"""Script that makes a machine that has thawed a host, with its files as an archive; the hardware clock is right."""


def main(words: list[str]) -> int:
    """Run the host to its end; returns the exit status."""
    bed, number, base = words
    host = Bed(bed).host(int(number))
    try:
        return supervise(host, VmBase(Path(base)))
    except BedError as error:
        print(f"{host.name}: {error}", file=sys.stderr)
        return 1


def supervise(host: Host, base: VmBase) -> int:
    """Run the host; returns QEMU's exit status."""
    _join(host)
    machine = Machine(base.tree, base.disk, host.data, host.console, host.name)
    prefix = (*IN_GROUP, host.cgroup / "payload")
    with running.started(machine, base.state, prefix) as (process, line):
        run("ip", "link", "set", machine.tap, "master", BRIDGE, "up")
        line.run(BECOME.format(archive=archive(host.upper)))
    try:
        return process.wait()
    finally:
        process.kill()


def _join(host: Host) -> None:
    """Enter the control group, then let go of the bed's lock: from now on `down` finds this process and ends it."""
    # An exception, which ends the machine too, whatever is done with it at the moment.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    for part in ("supervisor", "payload"):
        (host.cgroup / part).mkdir()
    cgroup.enter(host.cgroup / "supervisor")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def archive(directory: Path) -> str:
    """Return the files of ``directory`` as root's, in a compressed archive, in Base64."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            member = tar.gettarinfo(path, str(path.relative_to(directory)))
            member.uid = member.gid = 0
            member.uname = member.gname = "root"
            with path.open("rb") as file:
                tar.addfile(member, file)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
