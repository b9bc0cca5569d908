# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the credentials that configure a guest."""

from __future__ import annotations

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms import guest

from ...examples import FULL, KEY, SMALL, parse


def test_a_configured_guest_gets_its_credentials() -> None:
    declaration = parse(FULL)[0]
    credentials = guest.credentials(declaration, by_serial=True)
    assert credentials["system.hostname"] == "web"
    assert credentials["system.machine_id"] == declaration["machine_id"]
    assert credentials["ssh.authorized_keys.root"] == KEY + "\n"
    device = f"/dev/disk/by-id/virtio-{guest.disk_serial(declaration, declaration['volumes'][0])}"
    assert credentials["fstab.extra"].splitlines() == [
        f"{device} /data ext4 defaults 0 2",
        "site /srv/www 9p defaults,trans=virtio,version=9p2000.L,msize=524288 0 0",
    ]
    assert credentials["network.network.10-if0"].splitlines() == [
        "[Match]",
        f"MACAddress={declaration['interfaces'][0]['mac']}",
        "Type=ether",
        "",
        "[Network]",
        "DHCP=no",
        "Address=10.0.0.2/24",
        "Gateway=10.0.0.1",
    ]


def test_credential_names_fit_fw_cfg() -> None:
    """fw_cfg names have 55 characters at most, 27 of them are the prefix."""
    many = {**FULL, "interfaces": [{}] * 20, "guest": {}}
    assert all(len(name) <= 28 for name in guest.credentials(parse(many)[0], by_serial=True))


def test_an_interface_without_configuration_asks_by_dhcp() -> None:
    declaration = parse({**FULL, "guest": {}})[0]
    assert "DHCP=yes" in guest.credentials(declaration, by_serial=True)["network.network.10-if0"]


def test_a_foreign_guest_gets_no_credentials() -> None:
    assert guest.credentials(parse(SMALL)[0], by_serial=True) == {}
    assert guest.kernel_parameters(parse(SMALL)[0], by_serial=True) == []


def test_read_only_and_unusual_mount_points_are_configured() -> None:
    declaration = parse(
        {
            **FULL,
            "volumes": [{"image": "a", "size": 1, "mount_point": "/my data", "read_only": True}],
            "shares": [{"tag": "s", "source": "/s", "mount_point": "/s", "read_only": True}],
        }
    )[0]
    volume, share = guest.credentials(declaration, by_serial=True)["fstab.extra"].splitlines()
    assert volume.split()[1:] == ["/my\\040data", "ext4", "ro", "0", "2"]
    assert share.split()[3].startswith("ro,")


def test_the_root_volume_is_the_initrd_s_affair() -> None:
    declaration = parse({**FULL, "shares": [], "volumes": [{"image": "a", "size": 64, "mount_point": "/"}]})[0]
    assert "fstab.extra" not in guest.credentials(declaration, by_serial=True)
    assert guest.kernel_parameters(declaration, by_serial=True) == [
        "microvm.store=microvm-store",
        "microvm.store_type=erofs",
        f"microvm.overlay={guest.disk_serial(declaration, declaration['volumes'][0])}",
    ]


def test_without_serials_disks_are_found_by_their_place() -> None:
    volumes = [{"image": "a", "size": 64, "mount_point": "/"}, {"image": "b", "size": 64, "mount_point": "/b"}]
    declaration = parse({**FULL, "shares": [], "volumes": volumes})[0]
    assert guest.kernel_parameters(declaration, by_serial=False) == [
        "microvm.store=/dev/vda",
        "microvm.store_type=erofs",
        "microvm.overlay=/dev/vdb",
    ]
    assert guest.credentials(declaration, by_serial=False)["fstab.extra"] == "/dev/vdc /b ext4 defaults 0 2\n"


def test_disks_are_called_as_linux_calls_them() -> None:
    volumes = [{"image": f"{index}", "size": 1} for index in range(703)]
    names = guest.disk_names(parse({**SMALL, "volumes": volumes})[0])
    assert (names[0], names[25], names[26], names[27], names[701], names[702]) == (
        "vda",
        "vdz",
        "vdaa",
        "vdab",
        "vdzz",
        "vdaaa",
    )
