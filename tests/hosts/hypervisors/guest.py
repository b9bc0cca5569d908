# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest of one hypervisor on a host, and its operations for cells. Waiting is generous: nested guests are slow."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from dataclasses import dataclass, replace

from _microvm.declaration.vms.parse import parse_vm
from _microvm.hypervisors import registry
from _microvm.hypervisors.facts import HostFacts
from _microvm.hypervisors.profile import Profile

from ..host import Host
from ..paths import CONSOLES, KNOWN_HOSTS, SSH_KEY, STATE
from .cells import Declaration, FellShort, combined
from .image import GuestImage

PATIENCE = 600
"""Seconds within which a guest does what was asked of it."""

BRIDGE, HOST_ADDRESS, SUBNET = "exam0", "10.88.0.1", "10.88.0"
PROGRAMS = "/opt/hypervisors"
"""Directory on the host whose `bin` has the programs that are not in Debian."""

SECRET = "examined by its secret"
SECRET_FILE = "/root/examination-secret"

PATIENT = (
    *("systemd.default_device_timeout_sec=600", "systemd.default_timeout_start_sec=600"),
    *("quiet", "mitigations=off", "init_on_alloc=0", "no_timer_check", "tsc=reliable", "nowatchdog"),
)
"""Parameters of the guest's kernel: on an emulated host everything takes longer, output above all."""

PREPARE = f"""\
ip link show {BRIDGE} > /dev/null 2>&1 || ip link add {BRIDGE} type bridge
ip address replace {HOST_ADDRESS}/24 dev {BRIDGE}
ip link set {BRIDGE} up
printf '{SECRET}' > {SECRET_FILE}
modprobe -a vhost_vsock vhost_net 2> /dev/null
true
"""


def shows_banner(address: str, seconds: int) -> str:
    """Return the shell's question whether an SSH server shows its banner within some seconds."""
    return f"timeout {seconds} bash -c 'head -c 4 < /dev/tcp/{address}/22' 2> /dev/null | grep -q SSH"


AWAIT_BANNER = """\
until {banner}; do
    [ $SECONDS -lt 60 ] || break
    sleep 1
done
"""
"""Script that waits for the banner of a guest's SSH server: a login of each try would slow down an emulated host."""

SSH = (
    f"ssh -n -q -i {SSH_KEY} -l root -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={KNOWN_HOSTS}"
    " -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=2"
)
"""Reaches a guest with the host key alone that the host has made for it."""


@dataclass(frozen=True)
class Place:
    """Host of an examination: what its kernel offers, and the guest's image."""

    host: Host
    image: GuestImage
    has_kvm: bool
    has_vsock: bool


def place(host: Host, image: GuestImage) -> Place:
    """Prepare a host, and return what it offers."""
    host.run(PREPARE)
    vsock = host.run("test -c /dev/vhost-vsock && : 2> /dev/null < /dev/vhost-vsock && echo yes || true")
    kvm = host.run("grep -q -w -e svm -e vmx /proc/cpuinfo && test -c /dev/kvm && echo yes || true")
    return Place(host, image, kvm != "", vsock != "")


@dataclass(frozen=True)
class Guest:
    """MicroVM of one hypervisor."""

    place: Place
    profile: Profile
    more: Declaration
    """Options beside those that every guest of the examination has."""

    @property
    def host(self) -> Host:
        """Return the host."""
        return self.place.host

    @property
    def name(self) -> str:
        """Return the name of the MicroVM."""
        return f"exam-{self.profile.name}"

    @property
    def program(self) -> str:
        """Return the name of the hypervisor's program."""
        return program(self.profile.name)

    @property
    def unit(self) -> str:
        """Return the unit of the MicroVM."""
        return f"microvm@{self.name}.service"

    @property
    def address(self) -> str:
        """Return the guest's address on the bridge."""
        return f"{SUBNET}.{self.profile.order}"

    @property
    def cid(self) -> int:
        """Return the context identifier of the guest's vsock."""
        return 1000 + self.profile.order

    @property
    def declaration(self) -> Declaration:
        """Return the declaration."""
        base: dict[str, object] = {
            "name": self.name,
            "hypervisor": self.profile.name,
            "image": self.place.image.path,
            "mem": 512,
            "kernel_params": [*PATIENT],
            "autostart": False,
            "interfaces": [{"bridge": BRIDGE}],
            # The image is known to the host by its path, and not by what it uses.
            "guest": {"host_access": True, "host_key": True, "networks": [{"addresses": [f"{self.address}/24"]}]},
            "volumes": [{"image": "data.img", "size": 64, "mount_point": "/data"}],
            "ready": {"check": "ssh", "timeout": PATIENCE},
            "startup_timeout": PATIENCE,
            "stop_timeout": 120,
        }
        if self.place.has_vsock:
            base["vsock"] = {"cid": self.cid}
        if self.profile.credentials:
            base["credential_files"] = {"exam.secret": SECRET_FILE}
        if not self.profile.packages:
            base[self.profile.group.name] = {"package": PROGRAMS}
        return combined(base, self.more)

    def with_options(self, more: Declaration) -> Guest:
        """Return the guest with more options."""
        return replace(self, more=combined(self.more, more))

    def apply(self, state: str = "started") -> None:
        """Apply the declaration by the command, which waits until the guest is up. Raises FellShort."""
        file = f"/root/{self.name}.json"
        self.host.send("/root", {f"{self.name}.json": json.dumps({**self.declaration, "state": state})})
        self._microvm(f"apply {file}")

    def _microvm(self, words: str) -> str:
        try:
            return self.host.microvm(words, timeout=2 * PATIENCE)
        except AssertionError as error:
            raise FellShort(
                f"microvm {words.partition(' ')[0]}: {last_line(str(error))}{self.last_console()}"
            ) from error

    def microvm(self, command: str, *words: str) -> str:
        """Return the output of a command of ``microvm`` for this guest. Raises FellShort where that fails."""
        return self._microvm(" ".join([command, self.name, *words]))

    def ssh(self, destination: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest, reached in some way, to whatever end."""
        # What a proxy of ssh says may come after ssh has ended.
        words = f"-o HostKeyAlias={self.name} {destination} -- {shlex.quote(command)}"
        line = f"said=$({SSH} {words} 2>&1 < /dev/null); printf '%s\\n%s' \"$said\" $?"
        output, _newline, status = self.host.run(line, timeout=PATIENCE).rpartition("\n")
        return subprocess.CompletedProcess(line, int(status), stdout=output)

    def try_inside(self, command: str) -> str:
        """Return the output of a command in the guest; empty if the guest does not answer or the command fails."""
        done = self.ssh(self.address, command)
        return str(done.stdout) if done.returncode == 0 else ""

    def inside(self, command: str) -> str:
        """Return the output of a command in the guest, which must succeed. Raises FellShort."""
        done = self.ssh(self.address, command)
        if done.returncode != 0:
            raise FellShort(f"`{command}` in the guest ended with status {done.returncode}: {last_line(done.stdout)}")
        return str(done.stdout).strip()

    def end_by(self, command: str) -> None:
        """Run a command in the guest that ends it, and does not come back therefore."""
        self.ssh(self.address, f"(sleep 1; {command}) > /dev/null 2>&1 &")

    def boot_id(self) -> str:
        """Return the identifier of the guest's present boot; empty if the guest does not answer."""
        return self.try_inside("cat /proc/sys/kernel/random/boot_id").strip()

    def _next_boot_id(self) -> str:
        """Return the identifier of the boot; before that, wait a minute at most, on the host, for its SSH server."""
        self.host.run(AWAIT_BANNER.format(banner=shows_banner(self.address, 5)))
        return self.boot_id()

    def is_active(self) -> bool:
        """Return whether the unit is active."""
        return self.host.run(f"systemctl is-active {self.unit} || true").strip() == "active"

    def up(self) -> None:
        """Start the guest unless it answers. Raises FellShort."""
        if not (self.is_active() and self.boot_id()):
            self.microvm("start")
            self.wait_for_boot("")

    def down(self) -> None:
        """Stop the guest, in whatever way."""
        self.host.run(f"systemctl stop {self.unit}", timeout=PATIENCE)

    def wait_for_boot(self, before: str) -> None:
        """Wait until the guest answers, booted anew. Raises FellShort."""
        end = time.monotonic() + PATIENCE
        while (seen := self._next_boot_id()) in ("", before):
            if time.monotonic() > end:
                words = "still runs as before" if seen else "does not answer"
                raise FellShort(
                    f"after {PATIENCE} s the guest {words}; the unit is {self.state()}{self.last_console()}"
                )
            time.sleep(1)

    def wait_until_down(self, seconds: float = PATIENCE) -> None:
        """Wait until the unit has ended for good. Raises FellShort."""
        end = time.monotonic() + seconds
        while (state := self.state()) not in ("inactive dead", "failed failed"):
            if time.monotonic() > end:
                raise FellShort(f"after {seconds:g} s the unit is {state}{self.last_console()}")
            time.sleep(0.5)

    def state(self) -> str:
        """Return the state of the unit, in two words."""
        return " ".join(self.host.run(f"systemctl show -P ActiveState -P SubState {self.unit}").split())

    def processes(self) -> list[str]:
        """Return the processes of the hypervisor, of all those of the unit. Raises FellShort where there are none."""
        group = self.host.run(f"systemctl show -P ControlGroup {self.unit}").strip()
        programs = self.host.run(
            f'for p in $(cat /sys/fs/cgroup{group}/cgroup.procs); do echo "$p $(readlink /proc/$p/exe)"; done; true'
        )
        pairs = (line.partition(" ") for line in programs.splitlines())
        found = [process for process, _space, program in pairs if program.rpartition("/")[2] == self.program]
        if not found:
            raise FellShort(f"no process of the unit is {self.program}: {' '.join(programs.split())}")
        return found

    def journal(self, since: float) -> str:
        """Return the journal of the MicroVM since a time of the host's clock, its console included."""
        return self.host.run(f"journalctl -b -q --no-pager -o cat --since=@{since:.3f} -t microvm@{self.name} || true")

    def now(self) -> float:
        """Return the time of the host's clock."""
        return float(self.host.run("date +%s.%N"))

    def last_console(self) -> str:
        """Return the last line of the console for a reason; empty if there is no console."""
        log = f"{CONSOLES}/{self.name}/console.log"
        seen = self.host.run(f"tail -c 2000 {log} 2> /dev/null | tr -cd '[:print:]\\n' | grep . | tail -n 1 || true")
        return f"; last on its console: {seen.strip()}" if seen.strip() else ""

    def directory(self) -> str:
        """Return the state directory."""
        return f"{STATE}/{self.name}"

    def forget(self) -> None:
        """Remove the MicroVM with its volumes, in whatever state it is."""
        self.host.run(
            f"systemctl stop {self.unit}; systemctl reset-failed 'microvm*@{self.name}.service';"
            f"microvm remove {self.name} --yes; rm -rf {self.directory()}; true",
            timeout=PATIENCE,
        )


def program(hypervisor: str) -> str:
    """Return the name of a hypervisor's program."""
    return registry.program(parse_vm({"name": "any", "kernel": "/k", "hypervisor": hypervisor}), HostFacts())


def last_line(text: str) -> str:
    """Return the line of a failure's output that says why, short enough for a reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("microvm: ", "error", "Error"))]
    return (errors or lines or ["no output"])[-1][:300]
