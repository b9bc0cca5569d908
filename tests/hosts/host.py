# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host of the test bed, prepared by role ``host``, and its operations for tests."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import testbed
from testbed import keys, ssh
from testbed.paths import Bed
from testbed.vm import running
from testbed.vm.hardware import monitor_socket
from testbed.vm.monitor import Monitor

from .connection import Connection
from .paths import CONSOLES, FLEET, SETTINGS, STATE, TARGET, UNITS

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / ".tree"
"""The collection of this checkout, where Ansible looks for it."""
TESTBED = Path(testbed.__file__).with_name("testbed")
PLAY_SECONDS = 300
"""Time limit of one run of a playbook."""
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
INSTALL_ROLE = """\
- hosts: all
  gather_facts: false
  roles: [microvm.fleet.host]
"""
DECLARED = {
    "name": "any",
    "kernel": "/boot/vmlinuz",
    "volumes": [{"image": "data.img", "size": 8}],
    "shares": [{"proto": "virtiofs", "tag": "files", "source": "/srv", "mount_point": "/mnt"}],
}
"""Decides which packages the role installs: QEMU, virtiofsd, the tools of file systems."""

Files = Mapping[str, str | bytes]
"""Content of files by their paths."""

Seen = TypeVar("Seen")


class Host:
    """The only host of a separate test bed, of a kind that the test bed knows."""

    def __init__(self, bed: str, kind: str = "container") -> None:
        self._bed = Bed(bed)
        self._host = self._bed.host(1)
        self._connection = Connection(self._host)
        self._kind = kind
        self._begin = 0.0

    @property
    def key(self) -> Path:
        """Path of the private key that root of the host lets in."""
        return Path(keys.private(self._bed))

    def up(self) -> None:
        """Boot the host afresh and install role ``host`` on it."""
        self.boot()
        self.install_role()

    def boot(self) -> None:
        """Boot the host afresh, as Debian made it."""
        self.down()
        # A virtual machine is built once, which takes some minutes.
        words = ("up", "1", "--kind", self._kind, "--name", self._bed.name)
        subprocess.run([TESTBED, *words], check=True, timeout=1800)

    def down(self) -> None:
        """Remove the host."""
        self._connection.close()
        subprocess.run([TESTBED, "down", "--name", self._bed.name], check=True, timeout=300)

    def install_role(self, collections: Path = TREE, *options: str) -> str:
        """Run role ``host``, which installs units, scripts, accounts and the command for all tests."""
        with tempfile.TemporaryDirectory() as directory:
            words = ("--extra-vars", json.dumps({"microvm_vms": [DECLARED]}), *options)
            return self.play(Path(directory), INSTALL_ROLE, *words, collections=collections)

    def play(
        self,
        directory: Path,
        playbook: str,
        *options: str,
        watch: Callable[[str], object] = lambda line: None,
        collections: Path = TREE,
        status: int = 0,
    ) -> str:
        """Return the output of ansible-playbook, which must end with ``status``.

        Its files, and its temporary ones, are in ``directory``. ``watch`` is called with each line as it is printed;
        ``collections`` is where the collection is.
        """
        inventory, file = directory / "inventory.yml", directory / "play.yml"
        file.write_text(playbook, encoding="utf-8")
        words: list[str | Path] = [TESTBED, "inventory", "--name", self._bed.name, "--output", inventory]
        subprocess.run(words, check=True, timeout=60)
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "TMPDIR": str(directory)}
        with subprocess.Popen(
            ["timeout", str(PLAY_SECONDS), PLAYBOOK, "-i", inventory, file, *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                watch(line)
        output = "".join(lines)
        assert process.returncode == status, output
        return output

    def run(self, line: str, status: int = 0, stdin: bytes = b"", timeout: float = 180) -> str:
        """Return the output, errors included, of a line in the host's shell, which must end with ``status``."""
        done = subprocess.run(
            self._connection.command([line]),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=timeout,
        )
        output = done.stdout.decode(errors="replace")
        assert done.returncode == status, f"`{line}` ended with status {done.returncode}, not {status}:\n{output}"
        return output

    def monitor(self) -> AbstractContextManager[Monitor]:
        """Return QEMU's monitor of a virtual machine, by which devices are plugged in and out."""
        return running.monitored(monitor_socket(self._host.data))

    def terminal(self, line: str) -> list[str]:
        """Return the command that runs a line on the host with a terminal."""
        program, *words = ssh.command(self._host, [line])
        return [program, "-tt", *words]

    def microvm(self, words: str, status: int = 0, timeout: float = 180) -> str:
        """Return the output of the command ``microvm``."""
        return self.run(f"microvm {words}", status, timeout=timeout)

    def info(self, name: str) -> Any:
        """Return the command's report of one MicroVM."""
        return json.loads(self.microvm(f"info {name} --json"))

    def send(self, directory: str, files: Files) -> None:
        """Write executable files below a directory."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, text in files.items():
                content = text.encode() if isinstance(text, str) else text
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o755
                tar.addfile(member, io.BytesIO(content))
        place = shlex.quote(directory)
        self.run(f"mkdir -p {place} && tar --no-same-owner -C {place} -xf -", stdin=archive.getvalue())

    def reboot(self, meanwhile: str = "true") -> None:
        """Restart the host and wait until it has started; the shell runs ``meanwhile`` as soon as SSH answers."""
        question = "cat /proc/sys/kernel/random/boot_id && systemctl show --property=UserspaceTimestampMonotonic"
        before = self.run(question)

        def answer() -> str:
            # A host that is going down may answer the first half alone, which differs from a whole answer.
            asked = ssh.probe(self._host, [question])
            return asked.stdout if asked.returncode == 0 else ""

        self._connection.close()
        ssh.probe(self._host, ["systemctl reboot"])
        self.wait_for("another start of the host", answer, lambda seen: seen not in ("", before), 300)
        self.run(f"{meanwhile}; systemctl is-system-running --wait || true")

    def wait_for(
        self, what: str, read: Callable[[], Seen], accept: Callable[[Seen], bool], seconds: float = 90
    ) -> Seen:
        """Read until a value is accepted, and return it; fail after some seconds with the last value."""
        end = time.monotonic() + seconds
        while not accept(seen := read()):
            if time.monotonic() > end:
                journal = self.run("journalctl -b --no-pager -o short-monotonic -n 60")
                raise AssertionError(f"no {what} within {seconds:g} s; last seen: {seen!r}\n{journal}")
            time.sleep(0.3)
        return seen

    def states(self, units: Iterable[str]) -> dict[str, str]:
        """Return the active states of units."""
        listed = list(units)
        return dict(zip(listed, self.run(f"systemctl is-active {' '.join(listed)} || true").split(), strict=True))

    def wait_for_states(self, states: Mapping[str, str], seconds: float = 90) -> None:
        """Wait until units have these active states."""
        self.wait_for(f"states {dict(states)}", lambda: self.states(states), lambda seen: seen == states, seconds)

    def invocation(self, unit: str) -> str:
        """Return the identifier of a unit's present start."""
        return self.run(f"systemctl show --property=InvocationID --value {unit}").strip()

    def journal(self, name: str) -> list[str]:
        """Return the host's journal of a MicroVM in this test, without its console, which has another priority."""
        return self.messages(f"-p info -t microvm@{name}")

    def messages(self, selection: str) -> list[str]:
        """Return what the host's journal has of this test by some options of journalctl.

        Tests share a host and names of MicroVMs, so what earlier ones have left must not be counted.
        """
        since = f"--since=@{self._begin:.6f}"
        return self.run(f"journalctl -b -q --no-pager -o cat {since} {selection} || true").splitlines()

    def begin_journal(self) -> None:
        """Begin ``journal`` and ``messages`` now. A container has the clock of this machine, and is not asked."""
        self._begin = time.time() if self._kind == "container" else float(self.run("date +%s.%N"))

    def install_packages(self, packages: Mapping[str, Files], settings: Mapping[str, str] | None = None) -> None:
        """Install MicroVMs of hand-written packages, as an external build would make them, and their settings."""
        files = {f"{name}/package/{path}": text for name, package in packages.items() for path, text in package.items()}
        self.send(STATE, files)
        self.send(SETTINGS, {f"{name}.env": text for name, text in (settings or {}).items()})
        names = " ".join(packages)
        self.run(
            f"cd {STATE} && for vm in {names}; do mkdir -p $vm/work $vm/sockets && ln -sfn package $vm/current &&"
            " chown microvm:microvm $vm/work && chmod 0700 $vm/work; done"
        )

    def stop_microvms(self) -> None:
        """Stop all MicroVMs, and wait for their helper units."""
        self.run("systemctl stop 'microvm@*'", timeout=600)
        units = "systemctl list-units --plain --no-legend 'microvm*@*' --state=active,activating,deactivating"
        seconds = 90 if self._kind == "container" else 180
        self.wait_for("end of the units", lambda: self.run(units), lambda seen: seen == "", seconds)

    def traces(self) -> str:
        """Return processes, consoles and interfaces of MicroVMs; there are none after all have been stopped."""
        return self.run(
            "ps --no-headers -eo user:32,args | grep -E '^microvm|/microvm-' | grep -v grep;"
            f"ls {CONSOLES} 2>/dev/null; ip -brief link show type tun; ip -brief link show type macvtap"
        )

    def remove_microvms(self) -> None:
        """Remove all MicroVMs and their files, in whatever state they are."""
        self.run(
            # Hypervisors of tests do not end when they are asked to.
            "systemctl stop --no-block 'microvm@*'; systemctl kill --signal=KILL 'microvm*@*' 2>/dev/null;"
            "systemctl stop 'microvm@*';"
            f"rm -rf {UNITS}/{TARGET}.wants {UNITS}/microvm*@*.service.d {SETTINGS} {STATE}/* /nix;"
            # The key is the host's.
            f"find {FLEET} -mindepth 1 -maxdepth 1 ! -name ssh -exec rm -rf {{}} +;"
            "for user in $(getent passwd | grep -o '^microvm-[^:]*'); do userdel $user; done;"
            "systemctl daemon-reload; systemctl reset-failed 'microvm*' 2>/dev/null; true",
            timeout=600,
        )


def active(units: Collection[str]) -> dict[str, str]:
    """Return the states of units that are all active."""
    return dict.fromkeys(units, "active")
