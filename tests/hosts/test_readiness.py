# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nobody but the guest that was started counts as its answer. The guests are fakes; a neighbour has an SSH server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from .host import Files, Host
from .packages import BASH, STAY, fake
from .paths import FLEET, RECORDS, SETTINGS

NEIGHBOUR = "10.99.7.2"
PORT = 2299

LISTEN = f"exec python3 -c 'import socket, time; s = socket.create_server((\"127.0.0.1\", {PORT})); time.sleep(600)'"
"""Line of a hypervisor, or of any program, that listens at a port of the host."""

BEGIN_NEIGHBOUR = f"""\
set -e
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f /root/neighbour <<< y > /dev/null
options="-D -e -h /root/neighbour -o PidFile=none"
if sshd -T | grep -q persourcepenalties; then options+=" -o PerSourcePenalties=no"; fi
systemd-run -q --unit=neighbour -p PrivateNetwork=yes -p Type=exec /usr/sbin/sshd $options
process=$(systemctl show -P MainPID neighbour)
ip link add veth-host type veth peer name veth-other netns $process
nsenter --target $process --net sh -c 'ip address add {NEIGHBOUR}/24 dev veth-other; ip link set veth-other up'
ip address add 10.99.7.1/24 dev veth-host
ip link set veth-host up
"""


@pytest.fixture(scope="module")
def neighbour(session_host: Host) -> Iterator[None]:
    """Another machine with an SSH server."""
    session_host.run(BEGIN_NEIGHBOUR)
    session_host.wait_for(
        "a neighbour",
        lambda: session_host.run(f"timeout 2 bash -c 'head -c 4 < /dev/tcp/{NEIGHBOUR}/22' 2>&1 || true"),
        lambda seen: seen == "SSH-",
    )
    yield
    session_host.run("systemctl stop neighbour; ip link delete veth-host 2>/dev/null || true; rm /root/neighbour*")


def install(host: Host, name: str, package: Files, **ready: object) -> None:
    """Install a MicroVM that stays down when it has crashed, and how its guest is known to be up."""
    host.send(f"/root/{name}", package)
    host.microvm(f"create {name} --package /root/{name}")
    host.send(SETTINGS, {f"{name}.env": "ON_CRASH=stop\n"})
    record = json.loads(host.run(f"cat {RECORDS}/{name}.json"))
    record["ready"] = {"address": "127.0.0.1", "port": 22, "timeout": 20, **ready}
    host.send(RECORDS, {f"{name}.json": json.dumps(record)})


def test_a_guest_behind_a_port_of_the_host_is_up_when_its_hypervisor_listens(host: Host) -> None:
    install(host, "forwarded", fake(LISTEN), check="tcp", port=PORT)
    host.microvm("start forwarded")


@pytest.mark.parametrize(("address", "check"), [("127.0.0.1", "ssh"), ("10.99.7.1", "tcp")])
def test_the_hosts_own_ssh_server_is_not_the_guest(host: Host, neighbour: None, address: str, check: str) -> None:
    install(host, "own", fake(STAY), check=check, address=address, timeout=600)
    begin = time.monotonic()
    output = host.microvm("start own", 1)
    assert f"{address} is an address of this host, and another program" in output
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize("check", ["ssh", "tcp"])
def test_another_machine_does_not_answer_for_a_guest_that_crashes(host: Host, neighbour: None, check: str) -> None:
    install(host, "crashes", fake("sleep 0.3", "exit 3"), check=check, address=NEIGHBOUR)
    output = host.microvm("start crashes", 1)
    assert "microvm@crashes.service stopped before its guest was up" in output
    assert "what answered in its place is another machine or program" in output


@pytest.mark.parametrize(("mount_point", "is_compared"), [("/etc/ssh", True), ("/srv", False)])
def test_a_recorded_host_key_is_compared_where_the_guest_keeps_it(
    host: Host, neighbour: None, mount_point: str, is_compared: bool
) -> None:
    share = {"proto": "9p", "tag": "keys", "source": "/srv", "mount_point": mount_point}
    declaration = {"name": "keeps", "isolation": "shared", "interfaces": [], "shares": [share]}
    package = {"share/microvm/declaration.json": json.dumps(declaration), "bin/microvm-run": BASH + STAY}
    install(host, "keeps", package, check="ssh", address=NEIGHBOUR, timeout=60)
    known_hosts = f"{FLEET}/known_hosts"
    host.microvm("start keeps")
    host.run(f"echo keeps $(cut -d' ' -f1,2 /root/neighbour.pub) > {known_hosts}")
    host.microvm("restart keeps")
    host.run(f"echo keeps $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub) > {known_hosts}")
    output = host.microvm("restart keeps", 1 if is_compared else 0)
    assert ("another host key than the one recorded for keeps: another machine answers" in output) == is_compared


def test_a_rollback_starts_a_microvm_that_has_failed(host: Host) -> None:
    install(host, "back", fake(STAY), check="none")
    host.send("/root/newer", fake("exit 3"))
    host.microvm("update back --package /root/newer")
    assert "stopped before its guest was up" in host.microvm("start back", 1)
    host.wait_for_states({"microvm@back": "failed"})
    host.microvm("rollback back")
    host.wait_for_states({"microvm@back": "active"}, 1)
