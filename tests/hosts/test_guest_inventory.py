# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible reaches guests through their host, if their host key is recorded. The guest is the host itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .host import Host
from .packages import echoing
from .paths import KNOWN_HOSTS, RECORDS

OWN_KEY = "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub"
ASK = "- {hosts: guest, gather_facts: false, tasks: [{ansible.builtin.raw: 'echo $((6 * 7)) > /run/answer'}]}\n"
MULTIPLEXER = """\
#!/bin/sh
read -r request
[ "$request" = "CONNECT 22" ] && echo "OK 1073741824" && exec socat - TCP:127.0.0.1:22
"""
"""Other end of a hypervisor's Unix socket, behind which ports of a vsock are."""


@pytest.mark.parametrize("is_known_beforehand", [True, False], ids=["an address", "what its host knows"])
def test_a_guest_is_reached_through_its_host_by_its_recorded_key(
    host: Host, tmp_path: Path, is_known_beforehand: bool
) -> None:
    host.send("/root/guest", echoing("guest"))
    host.microvm("create guest --package /root/guest")
    record = json.loads(host.run(f"cat {RECORDS}/guest.json"))
    record["ready"] = {"check": "none", "address": "127.0.0.1", "port": 22, "timeout": 300}
    host.send(RECORDS, {"guest.json": json.dumps(record)})
    declared = {"name": "guest", "kernel": "/boot/vmlinuz"}
    ready = {"ready": {"address": "127.0.0.1"}} if is_known_beforehand else {}
    (tmp_path / "guests.microvm.yml").write_text("plugin: microvm.fleet.guests\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(json.dumps({"microvm_vms": [{**declared, **ready}]}))
    # A connection that is kept open would not ask for the key again.
    variables = {"ansible_control_path": "none", "ansible_ssh_private_key_file": str(host.key)}
    options = ("-i", str(tmp_path / "guests.microvm.yml"), "-e", json.dumps(variables))
    host.run(f"echo guest $({OWN_KEY}) > {KNOWN_HOSTS}")
    host.play(tmp_path, ASK, *options)
    assert host.run("cat /run/answer; rm /run/answer") == "42\n"
    if is_known_beforehand:
        host.run(f"echo other $({OWN_KEY}) > {KNOWN_HOSTS}")
        with pytest.raises(AssertionError, match="Host key verification failed"):
            host.play(tmp_path, ASK, *options)
        host.run("ls /run/answer", 2)
    host.run(f"rm {KNOWN_HOSTS}")


def test_a_guest_without_a_network_is_reached_by_its_vsock(host: Host, tmp_path: Path) -> None:
    socket = "/run/test-multiplexer.sock"
    host.send("/root/guest", {**echoing("guest"), "share/microvm/vsock-socket": f"{socket}\n"})
    host.microvm("create guest --package /root/guest")
    host.send("/root", {"multiplexer": MULTIPLEXER})
    listen = f"socat UNIX-LISTEN:{socket},fork EXEC:/root/multiplexer"
    host.run(f"systemd-run --quiet --unit=test-multiplexer {listen}")
    host.run(f"timeout 90 sh -c 'until test -S {socket}; do sleep 0.1; done'")
    declared = {"name": "guest", "kernel": "/boot/vmlinuz", "hypervisor": "cloud-hypervisor", "vsock": {"cid": 7}}
    (tmp_path / "guests.microvm.yml").write_text("plugin: microvm.fleet.guests\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(json.dumps({"microvm_vms": [declared]}))
    variables = {"ansible_control_path": "none", "ansible_ssh_private_key_file": str(host.key)}
    host.run(f"echo guest $({OWN_KEY}) > {KNOWN_HOSTS}")
    host.play(tmp_path, ASK, "-i", str(tmp_path / "guests.microvm.yml"), "-e", json.dumps(variables))
    assert host.run("cat /run/answer; rm /run/answer") == "42\n"
    host.run(f"systemctl stop test-multiplexer; rm -f {socket} {KNOWN_HOSTS} /root/multiplexer")
