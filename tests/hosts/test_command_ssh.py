# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests are reached by the addresses in their package and record. ``ssh`` is a fake that prints its arguments."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .fleet import Fleet, declaration
from .host import Host
from .packages import echoing
from .paths import RECORDS, SSH_KEY, STATE


@pytest.fixture
def deaf(host: Host) -> Iterator[str]:
    """MicroVM with a vsock, on a host whose ``ssh`` prints its arguments."""
    recorded = {"name": "deaf", "isolation": "shared", "interfaces": [], "vsock": {"cid": 7}}
    share = {"share/microvm/declaration.json": json.dumps(recorded), "share/microvm/vsock-cid": "7\n"}
    host.send("/root/deaf", {**echoing("deaf"), **share})
    host.send("/usr/local/bin", {"ssh": "#!/bin/sh\necho $*\n"})
    host.microvm("create deaf --package /root/deaf")
    yield "deaf"
    host.run("rm /usr/local/bin/ssh")


def test_a_guest_without_address_is_reached_by_vsock(host: Host, deaf: str) -> None:
    assert host.microvm(f"ssh {deaf}").endswith("vsock/7\n")


def test_a_guest_that_lets_its_host_in_is_reached_with_the_key_of_the_host(host: Host, deaf: str) -> None:
    assert "id_ed25519" not in host.microvm(f"ssh {deaf}")
    recorded = {"name": "open", "isolation": "shared", "vsock": {"cid": 8}, "guest": {"host_access": True}}
    share = {"share/microvm/declaration.json": json.dumps(recorded), "share/microvm/vsock-cid": "8\n"}
    host.send("/root/open", {**echoing("open"), **share})
    host.microvm("create open --package /root/open")
    assert f" -i {SSH_KEY} " in host.microvm("ssh open")
    assert host.run(f"stat -c '%a %U' {SSH_KEY}; ssh-keygen -y -f {SSH_KEY}").startswith("600 root\nssh-ed25519 ")


@pytest.mark.usefixtures("fake_qemu")
def test_the_key_of_the_host_is_in_the_package_of_such_a_guest(host: Host) -> None:
    declared = declaration(5, state="present", guest={"enable": True, "host_access": True})
    host.microvm(f"apply {Fleet(host).declare('open.json', [declared])}")
    credential = f"{STATE}/vm5/current/share/microvm/credentials/ssh.authorized_keys.root"
    assert host.run(f"cat {credential}") == host.run(f"cat {SSH_KEY}.pub")


def test_a_guest_with_an_address_is_reached_there_under_its_own_name(host: Host, deaf: str) -> None:
    record = json.loads(host.run(f"cat {RECORDS}/{deaf}.json"))
    record["ready"] = {"check": "none", "address": "10.0.0.9", "port": 22, "timeout": 300}
    host.send(RECORDS, {f"{deaf}.json": json.dumps(record)})
    output = host.microvm(f"-s {deaf} uname -r")
    assert (
        "HostKeyAlias=deaf" in output
        and "StrictHostKeyChecking=ask" in output
        and output.endswith("10.0.0.9 uname -r\n")
    )


def test_no_password_is_asked_for_and_a_guest_that_refuses_every_key_is_explained(host: Host, deaf: str) -> None:
    assert "-o BatchMode=yes" in host.microvm(f"ssh {deaf}")
    assert "BatchMode" not in host.microvm(f"ssh --password {deaf}")
    refuses = "#!/bin/sh\necho 'root@deaf: Permission denied (publickey,password).' >&2\nexit 255\n"
    host.send("/usr/local/bin", {"ssh": refuses})
    said = host.microvm(f"ssh {deaf} 2>&1", 255)
    assert "Permission denied" in said and "guest.authorized_keys" in said and "guest.host_access" in said
    assert "guest.authorized_keys" not in host.microvm(f"ssh --password {deaf} 2>&1", 255)
    host.send("/usr/local/bin", {"ssh": "#!/bin/sh\necho 'connection refused' >&2\nexit 255\n"})
    assert "authorized_keys" not in host.microvm(f"ssh {deaf} 2>&1", 255)


def test_what_needs_a_running_guest_is_refused_without(host: Host, deaf: str) -> None:
    assert "is not running" in host.microvm(f"balloon {deaf} 64", 1)
    assert "is not running" in host.microvm(f"console {deaf}", 1)
