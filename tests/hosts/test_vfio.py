# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices of a host with an IOMMU: handed over, used by a guest, handed back, also after a restart of the host.

The guest also has a share whose daemon opens files by their handles, which containers as hosts do not permit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from .host import Host
from .paths import CONSOLES, STATE

NIC, SIBLING, CARD, FUNCTIONS = "0000:01:00.0", "0000:04:00.0", "0000:05:00.0", ["0000:05:10.0", "0000:05:10.2"]
MAC = "02:00:00:00:05:01"
DECLARED: list[dict[str, Any]] = [
    {"address": NIC, "vm": "router"},
    {"address": CARD, "functions": [{"mac": MAC, "vlan": 20}, {"trust": True}]},
]

USB = {"vendor": "0627", "product": "0001"}
KEYBOARD = {"driver": "usb-kbd", "id": "key", "serial": "KEY16", "bus": "usb-bus.0"}
"""USB device of these numbers, as QEMU's monitor plugs it into the host."""

SHARED, FILES = "/srv/shared", 40

# The guest's kernel is the host's. It reads and writes a share, sets each of its cards up, pings the network that the
# card is in, and says what it saw, then each change of its USB devices.
GUEST = """\
set -e
rm -rf /srv/guest
mkdir -p /srv/guest/bin
cd /srv/guest
cp /usr/bin/busybox bin/busybox
ln -s busybox bin/sh
for module in e1000e igbvf usb-common usbcore xhci-hcd xhci-pci; do
    file=$(modinfo --field=filename $module)
    if [ -e "$file" ]; then cp "$file" .; fi
done
cat > init <<'END'
#!/bin/sh
/bin/busybox mkdir -p /proc /sys
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
for module in e1000e igbvf usb-common usbcore xhci-hcd xhci-pci; do
    if [ -e /$module.ko ]; then /bin/busybox insmod /$module.ko; fi
done
/bin/busybox mkdir /mnt
/bin/busybox mount -t virtiofs files /mnt
echo "FILES $(/bin/busybox cat /mnt/file.* | /bin/busybox wc -l)"
echo 'of the guest' > /mnt/answer
for card in /sys/class/net/eth*; do
    card=${card##*/}
    /bin/busybox ip link set $card up
    /bin/busybox ip addr add 10.0.2.15/24 dev $card
    n=0
    while [ $n -lt 60 ] && ! /bin/busybox ping -c 1 -W 1 10.0.2.2 > /dev/null; do n=$((n+1)); done
    /bin/busybox ping -c 3 -W 5 10.0.2.2 > /dev/null && echo "SEEN $(/bin/busybox cat /sys/class/net/$card/address)"
    /bin/busybox ip link set $card down
    /bin/busybox ip addr flush dev $card
done
before=
while :; do
    now=$(/bin/busybox cat /sys/bus/usb/devices/*/serial 2> /dev/null | /bin/busybox grep KEY16)
    [ "$now" = "$before" ] || echo "USB ${now:-none}"
    before=$now
    /bin/busybox sleep 1
done
END
chmod 0755 init
find . | cpio --quiet -o -H newc > /srv/guest.cpio
cp "/boot/vmlinuz-$(uname -r)" /srv/guest-kernel
chmod 0644 /srv/guest-kernel /srv/guest.cpio
"""
ROUTER: dict[str, Any] = {
    "name": "router",
    "kernel": "/srv/guest-kernel",
    "initrd_path": "/srv/guest.cpio",
    "mem": 256,
    "kernel_params": ["console=ttyS0", "quiet", "mitigations=off", "init_on_alloc=0", "no_timer_check", "tsc=reliable"],
    "devices": [{"bus": "pci", "path": NIC}],
    "shares": [{"proto": "virtiofs", "tag": "files", "source": SHARED}],
    "virtiofsd": {"inode_file_handles": "mandatory"},
    "ready": {"check": "none"},
    # The guest does not hear that it is to power off.
    "stop_timeout": 5,
}


def task(
    devices: Sequence[dict[str, Any]], *conditions: str, check_mode: bool = False, fails: bool = False
) -> list[dict[str, Any]]:
    """Return tasks that hand devices over and look at the result."""
    run: dict[str, Any] = {
        "microvm.fleet.microvm_vfio": {"devices": devices},
        "check_mode": check_mode,
        "register": "result",
    }
    if fails:
        run["failed_when"] = "result is not failed"
    return [run, {"ansible.builtin.assert": {"that": list(conditions)}}] if conditions else [run]


def play(host: Host, directory: Path, *tasks: list[dict[str, Any]]) -> None:
    """Run tasks in one playbook; JSON is YAML."""
    listed = [each for some in tasks for each in some]
    host.play(directory, json.dumps([{"hosts": "all", "gather_facts": False, "tasks": listed}]))


def driver(host: Host, address: str) -> str:
    """Return the driver of a device; nothing for none."""
    return host.run(f'basename "$(readlink /sys/bus/pci/devices/{address}/driver)"').strip()


def drivers(host: Host, *addresses: str) -> list[str]:
    return [driver(host, address) for address in addresses]


def node(host: Host, address: str) -> str:
    """Return the file by which a device that is handed over is opened."""
    group = host.run(f'basename "$(readlink /sys/bus/pci/devices/{address}/iommu_group)"').strip()
    return f"/dev/vfio/{group}"


@pytest.fixture(name="devices")
def _devices(vm_host: Host, tmp_path: Path) -> Iterator[Host]:
    """Host that has all of its devices before and after."""
    yield vm_host
    play(vm_host, tmp_path, task([]))
    assert driver(vm_host, NIC) == "e1000e"


def test_devices_go_and_come_back_and_a_restart_of_the_host_changes_nothing(devices: Host, tmp_path: Path) -> None:
    changed, same = "result is changed", "result is not changed"
    functions = f"result.devices[1].functions | map(attribute='address') | list == {FUNCTIONS}"
    taken = "result.devices[1].functions | map(attribute='driver') | unique == ['vfio-pci']"
    play(
        devices,
        tmp_path,
        task(DECLARED, changed, functions, taken, check_mode=True),
        task(DECLARED, changed, functions, taken, "result.devices[0].driver == 'vfio-pci'"),
        task(DECLARED, same),
    )
    # The MicroVM comes later, and with it the user that may open the device.
    devices.run(f"install -d -o nobody {STATE}/router/work && udevadm trigger --settle --subsystem-match=vfio")
    assert devices.run(f"stat -c '%U %a' {node(devices, NIC)}") == "nobody 600\n"
    devices.reboot()
    # Shown if the test fails.
    print(
        devices.run("systemctl status --no-pager microvm-fleet-devices; journalctl -b -k --no-pager | tail -60; true")
    )
    assert drivers(devices, NIC, CARD, *FUNCTIONS) == ["vfio-pci", "igb", "vfio-pci", "vfio-pci"]
    assert devices.run(f"stat -c '%U %a' {node(devices, NIC)}") == "nobody 600\n"
    interface = devices.run(f"ls /sys/bus/pci/devices/{CARD}/net").strip()
    (link,) = json.loads(devices.run(f"ip -json link show dev {interface}"))
    seen = [(each["address"], each["vlan_list"], each["trust"]) for each in link["vfinfo_list"]]
    assert seen[0] == (MAC, [{"vlan": 20}], False) and seen[1][2]
    devices.run(f"rm -r {STATE}/router")
    play(devices, tmp_path, task(DECLARED, same), task([], changed), task([], same))
    assert drivers(devices, NIC, CARD) == ["e1000e", "igb"]
    assert devices.run(f"cat /sys/bus/pci/devices/{CARD}/sriov_numvfs") == "0\n"
    assert devices.run("ls /etc/udev/rules.d /etc/systemd/system | grep -c fleet-devices || true") == "0\n"


def test_a_group_is_taken_as_a_whole_or_not_at_all(devices: Host, tmp_path: Path) -> None:
    other = "0000:04:00.1"
    refused = f"'with {other} (driver xhci_hcd)' in result.msg"
    whole = [{"address": SIBLING, "whole_group": True}]
    play(
        devices,
        tmp_path,
        task([{"address": SIBLING}], refused, fails=True),
        # What holds the host's way out is never taken.
        task([{"address": "0000:00:03.0"}], "'the host needs 0000:00:03.0' in result.msg", fails=True),
        task(whole, "result.devices[0].node is not none", f"'{other}' in result.addresses"),
    )
    assert drivers(devices, SIBLING, other) == ["vfio-pci", "vfio-pci"]
    group = node(devices, SIBLING)
    # Whoever has the group open keeps it.
    devices.run(f"systemd-run --quiet --unit=holder --property=StandardInput=file:{group} sleep infinity")
    try:
        play(
            devices, tmp_path, task([], f"'{SIBLING} cannot be handed back, because process' in result.msg", fails=True)
        )
    finally:
        devices.run("systemctl stop holder")
    play(devices, tmp_path, task([]))
    assert drivers(devices, SIBLING, other) == ["virtio-pci", "xhci_hcd"]


ROUNDS = f"""\
set -e
cd {STATE}/router
for round in 1 2 3 4 5; do
    current/bin/pci-setup
    [ "$(basename "$(readlink /sys/bus/pci/devices/{NIC}/driver)")" = vfio-pci ]
    current/bin/pci-teardown
    [ "$(basename "$(readlink /sys/bus/pci/devices/{NIC}/driver)")" = e1000e ]
    [ -e /sys/bus/pci/devices/{NIC}/net ]
done
"""


OPEN_FILES = """\
daemons=$(pgrep -x virtiofsd) || exit 1
for daemon in $daemons; do for file in /proc/$daemon/fd/*; do readlink $file; done; done | grep -c '/file[.]'
true
"""
"""Script that counts the files of the share that its daemon has open."""


@pytest.fixture(name="guest")
def _guest(devices: Host) -> Iterator[Host]:
    """Host with a guest's kernel, on which MicroVMs can run."""
    devices.install_role()
    devices.run(GUEST)
    devices.run(
        f"rm -rf {SHARED} && mkdir {SHARED} && cd {SHARED} && for n in $(seq {FILES}); do echo $n > file.$n; done"
    )
    try:
        yield devices
    finally:
        devices.remove_microvms()


def await_line(host: Host, *lines: str) -> None:
    """Wait until the guest has printed lines, and the last of them at the end."""
    host.wait_for(
        f"lines {', '.join(lines)}",
        lambda: host.run(f"cat {CONSOLES}/router/console.log || true").splitlines(),
        lambda seen: set(lines) <= set(seen) and seen[-1] == lines[-1],
        300,
    )


def test_a_guest_has_a_card_and_a_function_of_the_host_and_its_usb_device_comes_and_goes(
    guest: Host, tmp_path: Path
) -> None:
    seen, of_function, plugged, unplugged = "SEEN 52:54:00:00:01:01", f"SEEN {MAC}", "USB KEY16", "USB none"
    play(guest, tmp_path, task([]), [{"microvm.fleet.microvm_vms": {"vms": [ROUTER]}}])
    # Its units take the card from the host and hand it back, unless it is handed over for good.
    guest.run("systemctl start microvm@router", timeout=300)
    await_line(guest, f"FILES {FILES}", seen)
    assert driver(guest, NIC) == "vfio-pci"
    assert guest.run(f"cat {SHARED}/answer") == "of the guest\n"
    # Without handles, each file that the guest knows is open.
    assert guest.run(OPEN_FILES) == "0\n"
    guest.stop_microvms()
    assert driver(guest, NIC) == "e1000e"
    guest.run(ROUNDS, timeout=300)
    declared: list[dict[str, Any]] = [
        {"address": NIC, "vm": "router"},
        {"address": CARD, "functions": [{"mac": MAC, "vm": "router"}]},
        {"usb": USB, "vm": "router"},
    ]
    usb = {"bus": "usb", "path": "vendorid=0x{vendor},productid=0x{product}".format(**USB)}
    with_all = [*ROUTER["devices"], {"bus": "pci", "path": FUNCTIONS[0]}, usb]
    play(guest, tmp_path, task(declared), [{"microvm.fleet.microvm_vms": {"vms": [{**ROUTER, "devices": with_all}]}}])
    # The MicroVM starts without its USB device.
    guest.run("systemctl start microvm@router", timeout=300)
    with guest.monitor() as monitor:
        monitor.execute("device_add", KEYBOARD)
        await_line(guest, seen, of_function, plugged)
        monitor.execute("device_del", {"id": KEYBOARD["id"]})
        await_line(guest, unplugged)
        monitor.execute("device_add", KEYBOARD)
        await_line(guest, plugged)
        monitor.execute("device_del", {"id": KEYBOARD["id"]})
    guest.stop_microvms()
    assert drivers(guest, NIC, FUNCTIONS[0]) == ["vfio-pci", "vfio-pci"]
