# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with the units of role ``host``, and packages that are written by hand for it."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import jinja2
import yaml

from .. import ssh
from ..paths import Bed

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "host"
TESTBED = Path(__file__).parents[1] / "testbed"
STATE = "/var/lib/microvms"

Files = Mapping[str, str]


class UnitHost:
    """The one host of a bed."""

    def __init__(self, name: str) -> None:
        self.bed = Bed(name)
        self.host = self.bed.host(1)

    def up(self, suite: str) -> None:
        """Boots it, with the role's units and what they need."""
        subprocess.run([TESTBED, "up", "1", "--name", self.bed.name, "--suite", suite], check=True)
        wanted = "socat qemu-system-x86" + (" virtiofsd" if suite == "trixie" else "")
        self.run(
            f"apt-get -q update && apt-get -qy install --no-install-recommends {wanted}; getent group kvm || "
            f"groupadd --system kvm; useradd --system --gid kvm --no-create-home microvm; mkdir -p {STATE}"
        )
        self.send("/etc/systemd/system", units())
        scripts = {file.name: file.read_text(encoding="utf-8") for file in (ROLE / "files").iterdir()}
        self.send("/usr/local/lib/microvm-fleet", scripts)
        self.run("systemctl daemon-reload; systemctl enable --now microvms.target")

    def down(self) -> None:
        """Removes it."""
        subprocess.run([TESTBED, "down", "--name", self.bed.name], check=True)

    def run(self, line: str, timeout: float = 180) -> str:
        """What the shell prints for ``line``, within a number of seconds."""
        done = subprocess.run(
            ssh.command(self.host, [line]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def reboot(self, meanwhile: str = "true") -> None:
        """Restarts it and waits until it is there again; the shell runs ``meanwhile`` as soon as it can."""
        ask = "cat /proc/sys/kernel/random/boot_id; systemctl show --property=UserspaceTimestampMonotonic"
        boot = self.run(ask)
        ssh.probe(self.host, ["systemctl reboot"])
        self.wait_for(lambda: ssh.probe(self.host, [ask]).stdout not in ("", boot), 120)
        self.run(f"{meanwhile}; systemctl is-system-running --wait || true")

    def send(self, directory: str, files: Files) -> None:
        """Writes files, executable ones, below a directory."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, text in files.items():
                member = tarfile.TarInfo(name)
                content = text.encode("latin-1" if "\0" in text else "utf-8")
                member.size, member.mode = len(content), 0o755
                tar.addfile(member, io.BytesIO(content))
        unpack = f"mkdir -p {shlex.quote(directory)} && tar --no-same-owner -C {shlex.quote(directory)} -xf -"
        subprocess.run(ssh.command(self.host, [unpack]), input=archive.getvalue(), check=True, timeout=60)

    def make(self, packages: Mapping[str, Files], settings: Mapping[str, str] | None = None) -> None:
        """Makes MicroVMs by the files of their packages, and their files of settings."""
        self.send(
            STATE, {f"{name}/package/{path}": text for name, files in packages.items() for path, text in files.items()}
        )
        self.send("/etc/microvm-fleet/vms", {f"{name}.env": text for name, text in (settings or {}).items()})
        names = " ".join(packages)
        self.run(f"cd {STATE} && for vm in {names}; do ln -sfn package $vm/current && chown microvm:kvm $vm; done")

    def states(self, names: Iterable[str]) -> dict[str, str]:
        """Active states of MicroVMs."""
        listed = list(names)
        units_ = " ".join(f"microvm@{name}" for name in listed)
        return dict(zip(listed, self.run(f"systemctl is-active {units_} || true").split(), strict=True))

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Waits until it holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.run("journalctl -b --no-pager -o short-monotonic -n 60")
            time.sleep(0.3)

    def journal(self, name: str) -> list[str]:
        """What the host has said of a MicroVM; its console is at a priority of its own."""
        return self.run(f"journalctl -b --no-pager -o cat -p info -t microvm@{name}").splitlines()


def units() -> dict[str, str]:
    """The role's units, as Ansible would write them."""
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    names = variables["__microvm_units"]
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    values = {
        "microvm_state_dir": STATE,
        "__microvm_host_scripts": variables["__microvm_host_scripts"],
        "__microvm_helpers": [name.partition("@")[0] for name in names if name.startswith("microvm-")],
    }
    texts = {name: (ROLE / "templates" / f"{name}.j2").read_text(encoding="utf-8") for name in names}
    return {name: environment.from_string(text).render(values) for name, text in texts.items()}
