# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host makes the SSH host key of a guest: it reaches the hypervisor of this guest, and nobody else.

The fake hypervisor writes down the public half of the key that it was handed. Real guests show their keys in the
examination of hypervisors (tests/hosts/hypervisors).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .fleet import Declaration, Fleet, declaration
from .host import Host
from .paths import CONFIGURATION, HOST_KEYS, KNOWN_HOSTS, STATE, STORE, UNITS

CREDENTIAL = "microvm.ssh_host_key"
QEMU = f"""\
#!/bin/sh
case "$*" in *-version*) echo "QEMU emulator version 10.0.0"; exit ;; esac
for word; do
    case $word in name=opt/io.systemd.credentials/{CREDENTIAL},*) ssh-keygen -y -f "${{word#*,file=}}" > shown ;; esac
done
exec sleep infinity
"""


@pytest.fixture
def told_qemu(host: Host) -> Iterator[None]:
    """Fake QEMU that writes down the public half of the key that it was handed."""
    host.send("/usr/local/bin", {"qemu-system-x86_64": QEMU})
    yield
    host.run("rm /usr/local/bin/qemu-system-x86_64")


def vm(number: int, **options: object) -> Declaration:
    return declaration(number, guest={"enable": True, "host_key": True}, **options)


def shown(host: Host, name: str) -> str:
    """Return type and key that the guest shows."""
    return host.run(f"until [ -s {STATE}/{name}/work/shown ]; do sleep 0.1; done; cat {STATE}/{name}/work/shown").split(
        " vm", 1
    )[0]


def recorded(host: Host, name: str) -> str:
    """Return type and key that the host has recorded."""
    return host.run(f"sed -n 's/^{name} //p' {KNOWN_HOSTS}").strip()


@pytest.mark.usefixtures("told_qemu")
def test_a_guest_is_handed_its_recorded_key_and_nobody_else_is(host: Host) -> None:
    fleet = Fleet(host)
    fleet.apply([vm(0), vm(1)])
    keys = {name: shown(host, name) for name in ("vm0", "vm1")}
    assert keys == {name: recorded(host, name) for name in keys} and len(set(keys.values())) == 2
    # A user of one MicroVM neither reads the key of another, nor where the host keeps them.
    for path in (f"/run/credentials/microvm@vm0.service/{CREDENTIAL}", f"{HOST_KEYS}/vm0"):
        host.run(f"test -f {path} && ! runuser -u microvm-vm1 -- cat {path} 2> /dev/null")
    host.run(f"runuser -u microvm-vm0 -- cat /run/credentials/microvm@vm0.service/{CREDENTIAL} > /dev/null")
    places = f"{STORE} {UNITS} {CONFIGURATION} {STATE} {KNOWN_HOSTS}"
    # The lines before that one have the public half.
    private = f"tail -n 2 {HOST_KEYS}/vm0 | head -n 1"
    assert host.run(f"{private} | grep -rlFf - {HOST_KEYS}") == f"{HOST_KEYS}/vm0\n"
    assert host.run(f"{private} | grep -rlFf - {places} || true") == ""
    assert host.run(f"{private} > /run/lines; journalctl -b --no-pager | grep -cFf /run/lines; rm /run/lines") == "0\n"
    # The key stays the same for the same guest, and goes with it.
    fleet.apply([vm(0, mem=600), {**vm(2), "renamed_from": "vm1"}])
    host.run(f"rm {STATE}/vm0/work/shown {STATE}/vm2/work/shown; systemctl restart microvm@vm0 microvm@vm2")
    assert (shown(host, "vm0"), shown(host, "vm2")) == (keys["vm0"], keys["vm1"])
    assert (recorded(host, "vm1"), recorded(host, "vm2")) == ("", keys["vm1"])
    host.microvm("remove vm2 --yes")
    assert host.run(f"ls -A {HOST_KEYS}") == "vm0\n" and recorded(host, "vm2") == ""
