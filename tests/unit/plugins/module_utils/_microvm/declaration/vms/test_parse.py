# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that input becomes a complete declaration, or an error that names the key."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import identity
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest import disk_serial
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vms
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import FULL, KEY, SMALL, parse


def small(**options: Any) -> dict[str, Any]:
    return {**SMALL, **options}


HERS = {"tag": "a", "source": "/a", "proto": "virtiofs", "posix_acl": False, "user": "alice"}

REFUSED = {
    "unknown key": (small(kernal="/k"), "vms[0].kernal", "did you mean 'kernel'"),
    "unknown nested key": (small(interfaces=[{"mak": "x"}]), "vms[0].interfaces[0].mak", "did you mean 'mac'"),
    "number expected": (small(vcpu="two"), "vms[0].vcpu", "whole number"),
    "boolean is no number": (small(vcpu=True), "vms[0].vcpu", "whole number"),
    "boolean expected": (small(autostart="maybe"), "vms[0].autostart", "true or false"),
    "list expected": (small(volumes="data.img"), "vms[0].volumes", "must be a list"),
    "mapping expected": (small(volumes=["data.img"]), "vms[0].volumes[0]", "must be a mapping"),
    "choice": (small(hypervisor="xen"), "vms[0].hypervisor", "not one of qemu"),
    "no processor": (small(vcpu=0), "vms[0].vcpu", "1 or more"),
    "no size": (small(mem="much"), "vms[0].mem", "not a size"),
    "negative size": (small(mem=-5), "vms[0].mem", "not a size"),
    "size of a volume": (small(volumes=[{"image": "a", "size": "5 apples"}]), "vms[0].volumes[0].size", "not a size"),
    "volume without a size": (small(volumes=[{"image": "a"}]), "vms[0].volumes[0].size", "is required"),
    "volume above": (small(volumes=[{"image": "../a", "size": 1}]), "vms[0].volumes[0].image", "not a path"),
    "long tap name": (small(interfaces=[{"id": "i" * 16}]), "vms[0].interfaces[0].id", "at most 15"),
    "tap name with a slash": (small(interfaces=[{"id": "a/b"}]), "vms[0].interfaces[0].id", "interface's id"),
    "multicast MAC": (small(interfaces=[{"mac": "01:00:00:00:00:01"}]), "vms[0].interfaces[0].mac", "unicast"),
    "MAC with a newline": (small(interfaces=[{"mac": "02:00:00:00:00:01\n"}]), "vms[0].interfaces[0].mac", "unicast"),
    "bridge of a user interface": (
        small(interfaces=[{"type": "user", "bridge": "br0"}]),
        "vms[0].interfaces[0].bridge",
        "not supported by interfaces of type user",
    ),
    "tap that all interfaces are called": (small(interfaces=[{"id": "all"}]), "vms[0].interfaces[0].id", "all"),
    "tap that is called like the loopback interface": (
        small(interfaces=[{"id": "lo"}]),
        "vms[0].interfaces[0].id",
        "lo",
    ),
    "macvtap by the name of defaults": (
        small(interfaces=[{"type": "macvtap", "id": "default", "bridge": "wire0"}]),
        "vms[0].interfaces[0].id",
        "all interfaces",
    ),
    "macvtap without link and network": (
        small(interfaces=[{"type": "macvtap"}]),
        "vms[0].interfaces[0].macvtap.link",
        "name a network with mode macvtap",
    ),
    "macvtap with link and network": (
        small(interfaces=[{"type": "macvtap", "bridge": "wire0", "macvtap": {"link": "eth1"}}]),
        "vms[0].interfaces[0].macvtap.link",
        "is what the network 'wire0' has",
    ),
    "no kernel": ({"name": "a"}, "vms[0].kernel", "required without an image"),
    "relative kernel": (small(kernel="vmlinuz"), "vms[0].kernel", "absolute path"),
    "unknown image": ({"name": "a", "image": "bsae"}, "vms[0].image", "declared: base"),
    "address without a prefix": (
        small(interfaces=[{}], guest={"networks": [{"addresses": ["10.0.0.2"]}]}),
        "vms[0].guest.networks[0].addresses[0]",
        "10.0.0.2/24",
    ),
    "network without an interface": (
        small(guest={"networks": [{"addresses": ["10.0.0.2/24"]}]}),
        "vms[0].guest.networks[0].interface",
        "is not an interface",
    ),
    "two keys in one": (small(guest={"authorized_keys": [f"{KEY}\n{KEY}"]}), "vms[0].guest.authorized_keys[0]", ".pub"),
    "parameter with a blank": (
        small(kernel_params=["a b"]),
        "vms[0].kernel_params[0]",
        "not a single kernel parameter",
    ),
    "readiness without an address": (small(ready={"check": "tcp"}), "vms[0].ready.address", "is required"),
    "share declared twice": (
        small(shares=[{"tag": "a", "source": "/a"}, {"tag": "a", "source": "/b"}]),
        "vms[0].shares[1].tag",
        "already used by",
    ),
    "identities translated with access lists": (
        small(shares=[{"tag": "a", "source": "/a", "proto": "virtiofs", "translate_gid": ["map:0:1:1"]}]),
        "vms[0].shares[0].posix_acl",
        "set `posix_acl: false`",
    ),
    "a translation that is none": (
        small(shares=[{"tag": "a", "source": "/a", "proto": "virtiofs", "translate_uid": ["0:1:1"]}]),
        "vms[0].shares[0].translate_uid[0]",
        "TYPE:GUEST:HOST:COUNT",
    ),
    "a translation beyond the last user": (
        small(
            shares=[
                {
                    "tag": "a",
                    "source": "/a",
                    "proto": "virtiofs",
                    "posix_acl": False,
                    "translate_gid": ["map:0:1:4294967294", "map:0:4294967290:6"],
                }
            ]
        ),
        "vms[0].shares[0].translate_gid[1]",
        "goes beyond 4294967294, the last number of a user or group; set COUNT to 5 or less",
    ),
    "identities translated by 9p": (
        small(shares=[{"tag": "a", "source": "/a", "translate_uid": ["map:0:1:1"]}]),
        "vms[0].shares[0].translate_uid",
        "supported only by virtiofs",
    ),
    "a share's user with access lists": (
        small(shares=[{"tag": "a", "source": "/a", "proto": "virtiofs", "user": "alice"}]),
        "vms[0].shares[0].posix_acl",
        "set `posix_acl: false`",
    ),
    "a user of a 9p share": (
        small(shares=[{"tag": "a", "source": "/a", "user": "alice"}]),
        "vms[0].shares[0].user",
        "supported only by virtiofs",
    ),
    "a share's user with file handles": (
        small(shares=[HERS], virtiofsd={"inode_file_handles": "mandatory"}),
        "vms[0].shares[0].user",
        "only root can use file handles",
    ),
    "a share's user with a sandbox": (
        small(shares=[HERS], virtiofsd={"extra_args": ["--sandbox=namespace"]}),
        "vms[0].shares[0].user",
        "has no use for --sandbox=namespace",
    ),
    "an owner of a directory that its hypervisor makes": (
        small(shares=[{"tag": "a", "source": "a", "source_group": "users"}]),
        "vms[0].shares[0].source_group",
        "name an absolute source",
    ),
}


@pytest.mark.parametrize(("raw", "path", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused_with_its_path(raw: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse(raw)
    assert refusal.value.path == path
    assert message in refusal.value.message


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a'b", 'a"b', "a\n", "-a", ".a", "ä", "a" * 64, "a\0b", "$(id)"])
def test_names_that_cannot_be_units_and_directories_are_refused(name: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse(small(name=name))
    assert refusal.value.path == "vms[0].name"


CLASHES = {
    "name": ([SMALL, SMALL], "vms[1].name"),
    "tap": (
        [small(interfaces=[{"id": "tap0"}]), small(name="b", interfaces=[{"id": "tap0"}])],
        "vms[1].interfaces[0].id",
    ),
    "MAC, whatever its case": (
        [
            small(interfaces=[{"mac": "02:00:00:00:00:aa"}]),
            small(name="b", interfaces=[{"mac": "02:00:00:00:00:AA"}]),
        ],
        "vms[1].interfaces[0].mac",
    ),
    "image": (
        [
            small(volumes=[{"image": "/srv/a.img", "size": 1}]),
            small(name="b", volumes=[{"image": "/srv/a.img", "size": 1}]),
        ],
        "vms[1].volumes[0].image",
    ),
    "machine id": ([small(machine_id="0" * 32), small(name="b", machine_id="0" * 32)], "vms[1].machine_id"),
}


@pytest.mark.parametrize(("raw", "path"), CLASHES.values(), ids=CLASHES.keys())
def test_identities_cannot_be_shared_by_two_microvms(raw: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse(*raw)
    assert refusal.value.path == path


def test_images_below_the_state_directory_are_each_microvm_s_own() -> None:
    volumes = [{"image": "data.img", "size": 1}]
    assert len(parse(small(volumes=volumes), small(name="b", volumes=volumes))) == 2


def test_a_complete_declaration_is_parsed() -> None:
    web = parse(FULL)[0]
    assert web["mem"] == 1024
    assert (web["kernel"], web["initrd_path"], web["store_disk"]) == (
        "/images/0123/kernel",
        "/images/0123/initrd",
        "/images/0123/root.erofs",
    )
    assert web["interfaces"][0]["id"] == identity.tap_name("web", 0)
    assert web["guest"]["networks"][0]["interface"] == web["interfaces"][0]["id"]
    assert not web["guest"]["networks"][0]["dhcp"]
    assert web["ready"] == {"check": "ssh", "address": "10.0.0.2", "port": 22, "timeout": 300}
    assert set(web) == {option.name for option in VM_OPTIONS}


def test_defaults_of_the_smallest_declaration() -> None:
    declaration = parse(SMALL)[0]
    assert (declaration["mem"], declaration["vcpu"], declaration["hypervisor"]) == (512, 1, "qemu")
    assert declaration["socket"] == "small.sock"
    assert not declaration["guest"]["enable"], "without an image of ours the guest is left alone"
    assert declaration["ready"]["check"] == "hypervisor"


def test_a_removal_needs_only_a_name() -> None:
    assert parse({"name": "gone", "state": "absent"})[0]["kernel"] is None


def test_strings_from_templates_are_converted() -> None:
    declaration = parse(small(vcpu="2", autostart="no", mem="768"))[0]
    assert (declaration["vcpu"], declaration["autostart"], declaration["mem"]) == (2, False, 768)


def test_options_that_are_none_count_as_unset() -> None:
    assert parse({option.name: None for option in VM_OPTIONS if not option.nullable} | SMALL) == parse(SMALL)


def test_null_is_a_value_where_the_table_says_so() -> None:
    for null in (None, ""):
        assert parse({"socket": null} | SMALL)[0]["socket"] is None
    assert parse(SMALL)[0]["socket"] == "small.sock"


def test_an_image_that_is_not_built_yet_has_a_place() -> None:
    images: list[HostImage] = [
        {
            "name": "base",
            "path": None,
            "store_disk_type": "erofs",
            "kernel_lacks": [],
            "uses_host_key": False,
            "nix": False,
        }
    ]
    assert parse_vms([FULL], images)[0]["kernel"].endswith("/base/kernel")


def test_identities_are_derived_from_the_name_alone() -> None:
    assert parse(FULL) == parse(FULL)
    assert identity.machine_id("web") == "fffc35056bac54a08c876a1ad70f4d2c", "a change would renumber every guest"
    assert identity.mac_address("web", 0) == "02:de:ed:0f:b6:41"
    assert identity.tap_name("web", 0) == "mv-web-cyvut6"


def test_a_context_identifier_is_derived_where_that_is_asked() -> None:
    automatic = {"vsock": {"cid": "auto"}}
    numbers = [parse(small(name=name, **automatic))[0]["vsock"]["cid"] for name in map(str, range(200))]
    assert len({*numbers}) == 200 and all(0xFFFF < number < 2**31 for number in numbers if number)
    assert identity.derived_context("web") == 1790518099, "a change would renumber every guest"
    renamed = parse(small(name="new", renamed_from="web", ready={"check": "vsock"}, **automatic))[0]
    assert renamed["vsock"]["cid"] == identity.derived_context("web")
    assert parse(small(vsock={"cid": "1042"}))[0]["vsock"]["cid"] == 1042, "templates yield text"
    assert parse(small())[0]["vsock"]["cid"] is None
    with pytest.raises(DeclarationError, match="already used") as refusal:
        parse(small(**automatic), small(name="b", vsock={"cid": identity.derived_context("small")}))
    assert refusal.value.path == "vms[1].vsock.cid"


@pytest.mark.parametrize("context", [2, 0, 0xFFFFFFFF, "automatic", "0x10", "", True])
def test_what_is_no_context_identifier_of_a_guest_is_refused(context: object) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse(small(vsock={"cid": context}))
    assert refusal.value.path == "vms[0].vsock.cid"


@pytest.mark.parametrize("name", ["a", "a-very-long-name-of-a-machine", "A.b_c", "0"])
def test_derived_identities_are_valid(name: str) -> None:
    declaration = parse(small(name=name, interfaces=[{}, {}], volumes=[{"image": "i" * 200, "size": 1}]))[0]
    explicit = {key: declaration[key] for key in ("machine_id",)}
    interfaces = [{"id": i["id"], "mac": i["mac"]} for i in declaration["interfaces"]]
    assert parse(small(name=name, interfaces=interfaces, **explicit))[0]["interfaces"] == declaration["interfaces"]
    assert len({i["mac"] for i in declaration["interfaces"]}) == 2


@pytest.mark.parametrize("image", ["microvm.pid", "microvm.events.in", "x.partial", "small.sock", "./microvm.ended"])
def test_volumes_have_no_name_that_we_need_or_remove(image: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse(small(volumes=[{"image": image, "size": 1}]))
    assert refusal.value.path == "vms[0].volumes[0].image"


def test_addresses_of_user_networks_are_out_of_reach_and_cannot_clash() -> None:
    own = {
        "image": "base",
        "interfaces": [{"type": "user"}],
        "guest": {"authorized_keys": [KEY], "networks": [{"addresses": ["10.0.2.15/24"]}]},
    }
    one, _two = parse({"name": "one", **own}, {"name": "two", **own})
    assert one["ready"]["check"] == "hypervisor"


def test_identities_of_installed_microvms_are_refused() -> None:
    installed = parse({"name": "other", "kernel": "/k", "interfaces": [{"id": "tap0"}]})
    with pytest.raises(DeclarationError, match="'other', which is on the host") as refusal:
        parse_vms([small(interfaces=[{"id": "tap0"}])], installed=installed)
    assert refusal.value.path == "vms[0].interfaces[0].id"


def test_the_volume_of_the_root_is_found_also_where_the_guest_is_left_alone() -> None:
    volumes = [{"image": "root.img", "size": 64, "mount_point": "/"}]
    (one,) = parse({"name": "one", "image": "base", "volumes": volumes, "guest": {"enable": False}})
    assert disk_serial(one, one["volumes"][0])


def test_a_renamed_microvm_keeps_the_identity_of_its_first_name() -> None:
    def identity(**names: str) -> tuple[object, ...]:
        (declaration,) = parse({"kernel": "/k", "interfaces": [{"type": "tap"}], **names})
        (interface,) = declaration["interfaces"]
        return declaration["machine_id"], interface["mac"], interface["id"]

    first = identity(name="db1")
    assert identity(name="pg", renamed_from="db1") == first
    assert identity(name="postgres", renamed_from="pg", identity="db1") == first
    assert identity(name="db1", renamed_from="postgres", identity="db1") == first
    assert not set(identity(name="pg")) & set(first)


@pytest.mark.parametrize(
    ("vms", "path"),
    [
        (({"name": "a", "renamed_from": "a"},), "vms[0].renamed_from"),
        (({"name": "a", "renamed_from": "../b"},), "vms[0].renamed_from"),
        (({"name": "a"}, {"name": "b", "renamed_from": "a"}), "vms[1].renamed_from"),
        (({"name": "a", "renamed_from": "c"}, {"name": "b", "renamed_from": "c"}), "vms[1].renamed_from"),
        (({"name": "a", "state": "absent"}, {"name": "b", "renamed_from": "a"}), "vms[1].renamed_from"),
        (({"name": "a"}, {"name": "b", "identity": "a"}), "vms[1].machine_id"),
    ],
)
def test_a_former_name_is_nobody_elses(vms: tuple[dict[str, str], ...], path: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse(*({"kernel": "/k", **vm} for vm in vms))
    assert caught.value.path == path
