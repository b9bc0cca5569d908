# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A MicroVM is given nothing of a host that the host itself, or another MicroVM, has. The hypervisor is a fake QEMU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .host import Host

FILE = "/root/clashes.json"

pytestmark = pytest.mark.usefixtures("fake_qemu")

SMALL: dict[str, Any] = {"kernel": "/etc/hostname", "accel": "tcg", "ready": {"check": "none"}, "socket": None}

NETWORK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Take the subnet of an interface
      microvm.fleet.microvm_network:
        networks:
          - {name: free0, address: 172.31.7.1/24}
          - {name: taken0, address: 172.31.9.129/25}
      check_mode: true
      register: refused
      failed_when: >-
        refused is not failed or not refused.msg.startswith('networks[1] (taken0).address: ')
        or 'through lan0' not in refused.msg
"""


@pytest.fixture
def lan(host: Host) -> Iterator[None]:
    """Bridge of somebody else's, with an address of the host."""
    host.run("ip link add lan0 type bridge && ip address add 172.31.8.1/23 dev lan0 && ip link set lan0 up")
    yield
    host.run("ip link delete lan0")


def apply(host: Host, *vms: dict[str, Any], status: int = 0) -> str:
    host.send("/root", {"clashes.json": json.dumps({"microvm_vms": [{**SMALL, **vm} for vm in vms]})})
    return host.microvm(f"apply {FILE}", status)


@pytest.mark.usefixtures("lan")
def test_addresses_of_the_host_are_refused_to_networks_and_guests(host: Host, tmp_path: Path) -> None:
    host.play(tmp_path, NETWORK)
    guest = {"networks": [{"addresses": ["172.31.8.1/23"]}]}
    output = apply(host, {"name": "web", "interfaces": [{"bridge": "lan0"}], "guest": guest}, status=1)
    assert "microvm_vms[0] (web).guest.networks[0].addresses[0]: 172.31.8.1 is an address of the host itself" in output
    assert "'lan0'" in output
    assert "there are no MicroVMs" in host.microvm("list")


def test_a_disk_that_was_there_before_or_that_another_one_has_is_not_taken(host: Host) -> None:
    host.run("mkdir -p /srv/disks && ln -s disks /srv/links")
    host.run("truncate -s 8M /srv/disks/old.img && chmod 666 /srv/disks/old.img")
    volume = {"image": "/srv/disks/old.img", "size": 8}
    apply(host, {"name": "a", "state": "stopped", "volumes": [volume]})
    other = {"name": "b", "state": "stopped", "volumes": [{**volume, "image": "/srv/links//old.img"}]}
    output = apply(host, {"name": "a", "state": "stopped", "volumes": [volume]}, other, status=1)
    assert "microvm_vms[1] (b).volumes[0].image" in output and "microvm_vms[0] (a).volumes[0].image" in output
    apply(host, {"name": "a", "state": "absent", "on_absent": {"volumes": "archive"}})
    assert host.run("ls /srv/disks") == "old.img\n"
    host.run("rm -r /srv/disks /srv/links")
