# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A package's script that sets the balloon attacks the host: it is held in the sandbox of the MicroVM's service."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ..host import ROOT, Files, Host
from ..packages import BASH, STAY, fake
from ..paths import FLEET, RUNTIME, SETTINGS, STATE, UNITS

TRY = """
tries=0
attempt() { # what it is, command
    tries=$((tries + 1))
    local what=$1
    shift
    if "$@" > /dev/null 2>&1; then echo "BROKE: $what"; fi
}
"""

PLACES = (
    "/etc",
    "/usr/local/bin",
    "/root",
    "/var",
    "/var/tmp/../lib",
    "/opt",
    "/srv",
    "/boot",
    "/run",
    UNITS,
    STATE,
    FLEET,
)

ATTACKS = f"""
for place in {" ".join(PLACES)} {SETTINGS} {STATE}/other /run/systemd/system {RUNTIME} /sys/fs/cgroup /dev; do
    attempt "write $place" touch "$place/planted"
done
for link in current booted old; do attempt "replace $link" ln -sfn /tmp "{STATE}/$1/$link"; done
attempt "leave the control group" sh -c 'echo $$ > /sys/fs/cgroup/cgroup.procs'
attempt "open the terminal" sh -c ': < /dev/tty'
for descriptor in 0 1 2; do attempt "have a terminal as $descriptor" test -t "$descriptor"; done
attempt "have a descriptor besides" sh -c 'exec 2>&-; ls /proc/$PPID/fd | grep -vxE "0|1|2|255|[0-9]+:.*" | grep -q .'
attempt "have capabilities" grep -qE '^Cap(Inh|Prm|Eff|Bnd|Amb):.*[1-9a-f]' /proc/self/status
attempt "gain privileges" grep -q '^NoNewPrivs:.*0' /proc/self/status
attempt "have credentials" test -n "${{CREDENTIALS_DIRECTORY:-}}"
for socket in journal/socket journal/stdout journal/dev-log private notify; do
    attempt "reach $socket" socat -u /dev/null "UNIX-CLIENT:/run/systemd/$socket"
done
attempt "reach the bus" socat -u /dev/null UNIX-CONNECT:/run/dbus/system_bus_socket
attempt "list units" systemctl --no-pager list-units
attempt "start a unit" systemd-run --quiet true
attempt "read root's files" cat /etc/shadow
attempt "open /dev/kvm" sh -c ': < /dev/kvm'
"""

SURVIVE = """
setsid sleep 4321 < /dev/null > /dev/null 2>&1 &
(setsid sh -c 'trap "" TERM HUP; sleep 4322; sleep 4323' < /dev/null > /dev/null 2>&1 &)
"""

STRICT = {"name": "strict", "hypervisor": "qemu", "accel": "tcg", "kernel": "/etc/hostname", "profile": "strict"}


def install(host: Host, name: str, package: Files) -> None:
    """Install and start a MicroVM of a hostile package."""
    host.send(f"/root/{name}", package)
    host.microvm(f"create {name} --package /root/{name}")
    host.microvm(f"start {name}")


def strict(directory: Path, script: str) -> Files:
    """Return a package that is rendered for the strict sandbox and for a fake QEMU, with another script."""
    declaration, target = directory / "strict.json", directory / "package"
    declaration.write_text(json.dumps(STRICT))
    command: list[str | Path] = [sys.executable, ROOT / "bin/microvm", "render", declaration, "--output", target]
    subprocess.run(command, check=True, timeout=60)
    files: dict[str, str | bytes] = {
        str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()
    }
    del files["bin/microvm-shutdown"]
    return {**files, "bin/microvm-run": BASH + STAY, "bin/microvm-balloon": BASH + script}


def processes(host: Host) -> str:
    """Return the processes that a script has tried to leave."""
    return host.run("pgrep -af '[s]leep 432[0-9]|[m]icrovm-balloon' || true")


@pytest.mark.parametrize("profile", ["default", "strict"])
def test_a_hostile_script_is_held(host: Host, tmp_path: Path, profile: str) -> None:
    script = f"{TRY}set -- {profile}\n{ATTACKS}{SURVIVE}echo tries: $tries\n"
    package = strict(tmp_path, script) if profile == "strict" else fake(STAY, microvm_balloon=script)
    host.run(f"mkdir -p {STATE}/other")
    install(host, profile, package)
    output = host.microvm(f"balloon {profile} 64")
    print(profile, output)
    assert "BROKE" not in output and "tries: " in output
    assert processes(host) == ""
    host.run(f"rmdir {STATE}/other; ! find {' '.join(PLACES)} -maxdepth 2 -name planted | grep .")


def test_a_script_has_the_account_and_the_directory_of_the_service(host: Host, tmp_path: Path) -> None:
    install(host, "strict", strict(tmp_path, "id; pwd; echo $#:$1"))
    shown = host.run("systemctl show --property=User,Group,WorkingDirectory microvm@strict")
    settings: Mapping[str, str] = dict(line.split("=", 1) for line in shown.split())
    identity, directory, words = host.microvm("balloon strict 0064").splitlines()
    assert f"({settings['User']})" in identity and "gid=" in identity and f"({settings['Group']})" in identity
    assert (directory, words) == (settings["WorkingDirectory"], "1:0064")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("yes", "more than 65536 bytes"),
        ("yes >&2", "more than 65536 bytes"),
        ("trap '' TERM; while :; do sleep 1; done", "not ended within 15 s"),
        ("while :; do echo x; sleep 1; done", "not ended within 15 s"),
        ("exec sleep 4321 >&- 2>&-", "not ended within 15 s"),
        ("kill -9 $$", "failed"),
        ("while :; do sleep 4321 & done", "not ended within 15 s"),
    ],
)
def test_a_script_that_does_not_end_is_ended(host: Host, script: str, message: str) -> None:
    install(host, "web", fake(STAY, microvm_balloon=script))
    # The command itself is given up after three minutes.
    assert message in host.microvm("balloon web 64", 1)
    assert processes(host) == ""


def test_what_a_script_prints_does_not_reach_the_terminal_as_commands(host: Host) -> None:
    hostile = r"printf '\033]0;owned\007\033[2J\302\233\377'"
    install(host, "web", fake(STAY, microvm_balloon=f'{hostile}\nif [ "$1" = 1 ]; then {hostile} >&2; exit 1; fi'))
    for words, status in (("balloon web 64", 0), ("balloon web 1", 1)):
        output = host.microvm(words, status)
        assert "owned" in output and output.replace("\n", "").isprintable()


@pytest.mark.parametrize("end", ["systemctl stop microvm@web", "pkill -f '^sleep infinity'"])
def test_a_script_ends_with_the_microvm_and_does_not_start_it_again(host: Host, end: str) -> None:
    install(host, "web", fake(STAY, microvm_balloon="trap '' TERM; echo > /tmp/begun; while :; do sleep 1; done"))
    host.send(SETTINGS, {"web.env": "ON_CRASH=stop\nON_POWEROFF=stop\n"})
    host.run(
        "(microvm balloon web 64 > /root/balloon 2>&1; echo ended >> /root/balloon) < /dev/null > /dev/null 2>&1 &"
    )
    host.wait_for("the script", lambda: processes(host), lambda seen: "microvm-balloon" in seen)
    host.run(end)
    said = host.wait_for("the script's end", lambda: host.run("cat /root/balloon"), lambda seen: "ended\n" in seen)
    # By itself, it ends later.
    assert "not ended within" not in said
    assert processes(host) == ""
    host.wait_for_states({"microvm@web": "failed" if "pkill" in end else "inactive"})
    assert "is not running" in host.microvm("balloon web 64", 1)


HOLD = """\
#!/usr/bin/env python3
import socket, time
server = socket.socket(socket.AF_UNIX)
server.bind("hold.sock")
server.listen()
connection = server.accept()[0]
_data, held, _flags, _address = socket.recv_fds(connection, 1, 2)
open("held", "w").write(str(len(held)))
connection.send(b"x")
time.sleep(3600)
"""

GIVE = """
python3 - << 'END'
import socket
connection = socket.socket(socket.AF_UNIX)
connection.connect("hold.sock")
socket.send_fds(connection, [b"x"], [1, 2])
connection.recv(1)
END
echo done
"""


def test_a_hypervisor_that_is_given_the_pipes_of_a_script_is_not_waited_for(host: Host) -> None:
    package = fake('exec "$(dirname "$(readlink -f "$0")")/hold"', microvm_balloon=GIVE)
    install(host, "web", {**package, "bin/hold": HOLD})
    begin = time.monotonic()
    assert "done" in host.microvm("balloon web 64")
    # The limit of a script that does not end.
    assert time.monotonic() - begin < 15
    assert host.run(f"cat $(find {STATE}/web -name held)") == "2"
