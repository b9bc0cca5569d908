# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that one thing of a host is given to one MicroVM, however it is written."""

from __future__ import annotations

import posixpath
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import STATE_DIRECTORY
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.disks import Disks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vms
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import IMAGES

Vm = dict[str, Any]


def vm(name: str, **options: Any) -> Vm:
    return {"name": name, "kernel": "/boot/vmlinuz", **options}


def with_volumes(name: str, *images: str, read_only: bool = False, **options: Any) -> Vm:
    volumes = [{"image": image, "size": 8, "read_only": read_only} for image in images]
    return vm(name, volumes=volumes, **options)


def with_ports(name: str, *ports: str, **options: Any) -> Vm:
    return vm(name, interfaces=[{"type": "user"}], forward_ports=[port(text) for text in ports], **options)


def port(text: str) -> Vm:
    """Return a forwarded port of the host, written as ``ADDRESS:PORT/PROTOCOL``."""
    end, proto = text.split("/")
    address, number = end.split(":")
    host = {"port": int(number), **({"address": address} if address else {})}
    return {"proto": proto, "host": host, "guest": {"port": 80}}


def with_device(name: str, path: str, bus: str = "usb", **options: Any) -> Vm:
    return vm(name, devices=[{"bus": bus, "path": path}], **options)


STATE = STATE_DIRECTORY

REFUSED: dict[str, tuple[list[Vm], str, str]] = {
    "names that ssh takes for one": (
        [vm("vault"), vm("Vault")],
        "vms[1].name",
        "already used by vms[0].name; names must",
    ),
    "one port of two MicroVMs": (
        [with_ports("a", ":8443/tcp"), with_ports("b", ":8443/tcp")],
        "vms[1].forward_ports[0].host.port",
        "vms[0].forward_ports[0].host.port",
    ),
    "an address beside all": (
        [with_ports("a", "192.0.2.7:5353/udp"), with_ports("b", ":5353/udp")],
        "vms[1].forward_ports[0].host.port",
        "already used by vms[0]",
    ),
    "all beside an address": (
        [with_ports("a", ":25/tcp", ":5353/udp"), with_ports("b", "192.0.2.7:5353/udp")],
        "vms[1].forward_ports[0].host.port",
        "vms[0].forward_ports[1].host.port",
    ),
    "all in two spellings": (
        [with_ports("a", "0.0.0.0:9000/tcp"), with_ports("b", ":9000/tcp")],
        "vms[1].forward_ports[0].host.port",
        "'*:9000/tcp'",
    ),
    "one port twice in one MicroVM": (
        [with_ports("a", "127.0.0.1:7000/tcp", "0.0.0.0:7000/tcp")],
        "vms[0].forward_ports[1].host.port",
        "vms[0].forward_ports[0].host.port",
    ),
    "an image with two slashes": (
        [with_volumes("a", "/srv/disks/one.img"), with_volumes("b", "//srv//disks/./one.img")],
        "vms[1].volumes[0].image",
        "vms[0].volumes[0].image",
    ),
    "an image that another MicroVM reads": (
        [with_volumes("a", "/srv/golden.img", read_only=True), with_volumes("b", "/srv/golden.img")],
        "vms[1].volumes[0].image",
        "read_only",
    ),
    "an image that another MicroVM writes": (
        [with_volumes("a", "/srv/golden.img"), with_volumes("b", "/srv/golden.img", read_only=True)],
        "vms[1].volumes[0].image",
        "read_only",
    ),
    "a root disk that another MicroVM writes": (
        [with_volumes("a", "/srv/root.erofs"), vm("b", store_disk="/srv/root.erofs")],
        "vms[1].store_disk",
        "vms[0].volumes[0].image",
    ),
    "a relative image in two spellings": (
        [with_volumes("a", "disks/one.img", "./disks//one.img")],
        "vms[0].volumes[1].image",
        "vms[0].volumes[0]",
    ),
    "a relative image beside its absolute path": (
        [with_volumes("a", "one.img", f"{STATE}/a/work/one.img")],
        "vms[0].volumes[1].image",
        "vms[0].volumes[0].image",
    ),
    "an image of another MicroVM": (
        [with_volumes("a", "one.img"), with_volumes("b", f"{STATE}/a/work/one.img")],
        "vms[1].volumes[0].image",
        "state directory of the MicroVM 'a'",
    ),
    "an image of another MicroVM that is read": (
        [with_volumes("b", f"{STATE}//gone/work/two.img", read_only=True)],
        "vms[0].volumes[0].image",
        "state directory of the MicroVM 'gone'",
    ),
    "an image beside the working directory": (
        [with_volumes("b", f"{STATE}/b/two.img")],
        "vms[0].volumes[0].image",
        "write 'two.img'",
    ),
    "a socket in two spellings": (
        [vm("a", socket="/run/fleet/one.sock"), vm("b", socket="/run/./fleet//one.sock")],
        "vms[1].socket",
        "vms[0].socket",
    ),
    "a socket of a share": (
        [
            vm("a", socket="/run/one.sock"),
            vm("b", shares=[{"tag": "t", "source": "/s", "proto": "virtiofs", "socket": "/run/one.sock"}]),
        ],
        "vms[1].shares[0].socket",
        "vms[0].socket",
    ),
    "a USB device in another order": (
        [with_device("a", "vendorid=0x1d6b,productid=0x0104"), with_device("b", "productid=0x0104,vendorid=0x1d6b")],
        "vms[1].devices[0].path",
        "vms[0].devices[0].path",
    ),
    "a USB device in another notation": (
        [with_device("a", "vendorid=0x1D6B,productid=0x0104"), with_device("b", "productid=260,vendorid=7531")],
        "vms[1].devices[0].path",
        "vms[0].devices[0].path",
    ),
    "a USB device with another setting": (
        [with_device("a", "hostbus=1,hostaddr=4"), with_device("b", "hostaddr=04,hostbus=0x1,guest-reset=off")],
        "vms[1].devices[0].path",
        "vms[0].devices[0].path",
    ),
    "a USB device twice in one MicroVM": (
        [
            vm(
                "a",
                devices=[{"bus": "usb", "path": path} for path in ("hostport=1.2,hostbus=3", "hostbus=3,hostport=1.2")],
            )
        ],
        "vms[0].devices[1].path",
        "vms[0].devices[0].path",
    ),
    "a PCI device, whatever its case": (
        [with_device("a", "0000:0A:00.1", "pci"), with_device("b", "0000:0a:00.1", "pci")],
        "vms[1].devices[0].path",
        "vms[0].devices[0].path",
    ),
}


@pytest.mark.parametrize(("raw", "path", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_one_thing_is_given_to_one_microvm(raw: list[Vm], path: str, words: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_vms(raw, IMAGES)
    assert refusal.value.path == path
    assert words in refusal.value.message


ACCEPTED: dict[str, list[Vm]] = {
    "a port of two protocols": [with_ports("a", ":5353/udp"), with_ports("b", ":5353/tcp")],
    "a port of two addresses": [with_ports("a", "192.0.2.7:443/tcp"), with_ports("b", "192.0.2.8:443/tcp")],
    "a socket of one name in two working directories": [vm("a", socket="one.sock"), vm("b", socket="one.sock")],
    "an image that all read": [with_volumes(name, "/srv/golden.img", read_only=True) for name in ("a", "b")],
    "a root disk that all read": [vm(name, store_disk="/srv/root.erofs") for name in ("a", "b")],
    "its own image by the absolute path": [with_volumes("a", f"{STATE}/a/work/one.img")],
    "an image whose path only begins alike": [with_volumes("a", f"{STATE}-disks/b/one.img")],
    "two USB devices on one bus": [with_device("a", "hostbus=1,hostaddr=4"), with_device("b", "hostbus=1,hostaddr=5")],
    "what an absent one had": [
        with_ports("a", ":8443/tcp", state="absent"),
        with_ports("b", ":8443/tcp"),
        with_volumes("c", f"{STATE}/d/work/one.img", state="absent"),
    ],
}


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_different_things_and_shared_ones_are_accepted(raw: list[Vm]) -> None:
    assert len(parse_vms(raw, IMAGES)) == len(raw)


def test_a_stopped_microvm_keeps_what_it_claims() -> None:
    with pytest.raises(DeclarationError, match="already used by"):
        parse_vms([with_ports("a", ":8443/tcp", state="stopped"), with_ports("b", ":8443/tcp")])


def test_images_are_compared_by_place_where_links_are_known() -> None:
    links = {"/srv/link.img": "/srv/one.img", "/machines": "/data/machines"}
    disks = Disks("/machines", lambda path: links.get(path, posixpath.normpath(path)))
    for first, second in (
        (with_volumes("a", "/srv/one.img"), with_volumes("b", "/srv/link.img")),
        (with_volumes("a", "one.img"), with_volumes("b", "/data/machines/a/work/one.img")),
    ):
        parse_vms([first, second])
        with pytest.raises(DeclarationError) as refusal:
            parse_vms([first, second], disks=disks)
        assert refusal.value.path == "vms[1].volumes[0].image"


@pytest.mark.parametrize(("volume", "share"), [("/srv/data", "/srv/data"), ("/srv", "/srv")], ids=["deep", "shallow"])
def test_a_volume_and_a_share_have_mount_points_of_their_own(volume: str, share: str) -> None:
    raw = {
        "name": "a",
        "image": "base",
        "volumes": [{"image": "one.img", "size": 8, "mount_point": volume}],
        "shares": [{"tag": "t", "source": "/s", "mount_point": share}],
    }
    with pytest.raises(DeclarationError) as refusal:
        parse_vms([raw], IMAGES)
    assert refusal.value.path == "vms[0].shares[0].mount_point"
    assert "vms[0].volumes[0].mount_point" in refusal.value.message


def test_mount_points_may_be_nested() -> None:
    volumes = [
        {"image": f"{path[1:]}.img".replace("/", "-"), "size": 8, "mount_point": path} for path in ("/a/b", "/a")
    ]
    raw = {"name": "a", "image": "base", "volumes": volumes}
    assert len(parse_vms([raw], IMAGES)[0]["volumes"]) == 2


@pytest.mark.parametrize("hostname", ["a" * 62 + ".b", "one.example.net", "x"])
def test_host_names_that_linux_takes_are_accepted(hostname: str) -> None:
    assert parse_vms([vm("a", guest={"hostname": hostname})])[0]["guest"]["hostname"] == hostname


@pytest.mark.parametrize(
    "hostname", ["a" * 62 + ".bc", ".".join("abcdefgh" for _label in range(8)), "a..b", "a-.b", "-"]
)
def test_host_names_that_linux_refuses_are_refused(hostname: str) -> None:
    with pytest.raises(DeclarationError, match="not a host name") as refusal:
        parse_vms([vm("a", guest={"hostname": hostname})])
    assert refusal.value.path == "vms[0].guest.hostname"


@pytest.mark.parametrize(("name", "hostname"), [("a_b", "a-b"), ("a..b", "a.b"), ("a-.-b_", "a.b"), ("web-", "web")])
def test_the_default_host_name_is_one(name: str, hostname: str) -> None:
    assert parse_vms([vm(name)])[0]["guest"]["hostname"] == hostname


def test_the_upper_and_lower_case_of_a_name_can_be_changed() -> None:
    """Accept one that is renamed, and one that takes the place of another."""
    assert len(parse_vms([vm("vault", renamed_from="Vault")], IMAGES)) == 1
    assert len(parse_vms([vm("Vault", state="absent"), vm("vault")], IMAGES)) == 2
