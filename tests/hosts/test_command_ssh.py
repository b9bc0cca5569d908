# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests are reached by the addresses in their package and record. ``ssh`` is a fake that prints its arguments."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .host import Host
from .packages import echoing
from .paths import RECORDS


@pytest.fixture
def deaf(host: Host) -> Iterator[str]:
    """MicroVM with a vsock, on a host whose ``ssh`` prints its arguments."""
    declaration = {"name": "deaf", "isolation": "shared", "interfaces": [], "vsock": {"cid": 7}}
    share = {"share/microvm/declaration.json": json.dumps(declaration), "share/microvm/vsock-cid": "7\n"}
    host.send("/root/deaf", {**echoing("deaf"), **share})
    host.send("/usr/local/bin", {"ssh": "#!/bin/sh\necho $*\n"})
    host.microvm("create deaf --package /root/deaf")
    yield "deaf"
    host.run("rm /usr/local/bin/ssh")


def test_a_guest_without_address_is_reached_by_vsock(host: Host, deaf: str) -> None:
    assert host.microvm(f"ssh {deaf}").endswith("vsock/7\n")


def test_a_guest_with_an_address_is_reached_there_under_its_own_name(host: Host, deaf: str) -> None:
    record = json.loads(host.run(f"cat {RECORDS}/{deaf}.json"))
    record["ready"] = {"check": "none", "address": "10.0.0.9", "port": 22, "timeout": 300}
    host.send(RECORDS, {f"{deaf}.json": json.dumps(record)})
    output = host.microvm(f"-s {deaf} uname -r")
    assert "HostKeyAlias=deaf" in output and "accept-new" in output and output.endswith("10.0.0.9 uname -r\n")


def test_what_needs_a_running_guest_is_refused_without(host: Host, deaf: str) -> None:
    assert "is not running" in host.microvm(f"balloon {deaf} 64", 1)
    assert "is not running" in host.microvm(f"console {deaf}", 1)
