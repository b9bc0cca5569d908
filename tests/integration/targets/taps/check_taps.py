# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring taps and macvtaps of a network namespace of its own into many states, and look at what the kernel has."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.taps import (
    TapsRequest,
    TapsResult,
    reconcile_taps,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts import interfaces
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x100, 0x1000, 0x4000

TAP: Dict[str, Any] = {"name": "tap0", "owner": "65534", "bridge": "br0"}
MACVTAP: Dict[str, Any] = {
    "name": "macvtap0",
    "type": "macvtap",
    "macvtap": {"link": "lower", "mode": "bridge"},
    "mac": "02:00:00:00:00:02",
    "owner": "65534",
}


def run(command: str) -> str:
    """Run a shell command. Returns its standard output."""
    return subprocess.run(["bash", "-euc", command], check=True, stdout=subprocess.PIPE, text=True).stdout


def link(name: str) -> Dict[str, Any]:
    """Return what the kernel has of an interface, as iproute2 shows it."""
    device: Dict[str, Any] = json.loads(run(f"ip -d -j link show dev {name}"))[0]
    return device


def exists(name: str) -> bool:
    """Return whether there is an interface of the name."""
    return os.path.exists(f"/sys/class/net/{name}")


def apply(*taps: Dict[str, Any], **options: Any) -> TapsResult:
    """Predict, run, and predict again; what was predicted is what is done, and then nothing is left to do."""
    request = {"taps": taps, "state_directory": "/nonexistent", **options}
    predicted = reconcile_taps(TapsRequest(check_mode=True, **request))
    result = reconcile_taps(TapsRequest(**request))
    assert [tap["msg"] for tap in result["taps"]] == [""] * len(taps), result
    for expected, actual in zip(predicted["taps"], result["taps"]):
        assert expected["actions"] == actual["actions"], (expected, actual)
    assert predicted["diff"] == result["diff"]
    again = reconcile_taps(TapsRequest(**request))
    assert not again["changed"] and again["diff"] == [], again
    return result


def refused(path: str, *taps: Dict[str, Any], **options: Any) -> str:
    """Try, and be refused, in check mode too. Returns the message."""
    messages = set()
    for check_mode in (True, False):
        request = TapsRequest(taps, options.get("state_directory", "/nonexistent"), check_mode=check_mode)
        try:
            reconcile_taps(request)
        except DeclarationError as refusal:
            assert refusal.path == path, refusal
            messages.add(refusal.message)
    (message,) = messages
    return message


@contextlib.contextmanager
def opened(name: str, flags: int = IFF_VNET_HDR) -> Iterator[None]:
    """Hold a tap open, as a hypervisor does."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | flags))
        yield
    finally:
        os.close(descriptor)


def prepare() -> None:
    """Make bridges and links. Their addresses are set, so that those of ports do not change them."""
    run("for n in 0 1; do ip link add br$n address 02:00:00:00:01:0$n type bridge; ip link set br$n up; done")
    for name in ("lower", "other"):
        run(f"ip link add {name} type veth peer name {name}-peer; ip link set {name} up; ip link set {name}-peer up")


def check_units_make_the_same_devices() -> None:
    """The scripts of a MicroVM's package and the module make one device."""
    declaration = parse_vm(
        {
            "name": "probe",
            "kernel": "/k",
            "interfaces": [
                {"id": "tap0", "bridge": "br0"},
                {"id": "tap1"},
                {"type": "macvtap", "id": "macvtap0", "mac": MACVTAP["mac"], "macvtap": MACVTAP["macvtap"]},
            ],
        },
        [],
        "vm",
    )
    account = Account("nobody", "nogroup")
    taps = [interface for interface in declaration["interfaces"] if interface["type"] == "tap"]
    macvtaps = [interface for interface in declaration["interfaces"] if interface["type"] == "macvtap"]
    for flags in (["vnet_hdr"], ["vnet_hdr", "multi_queue"]):
        is_multiple = "multi_queue" in flags
        execute(interfaces.tap_up("probe", taps, flags, account))
        by_script = [shape("tap0"), shape("tap1")]
        execute(interfaces.tap_down("probe", taps, account))
        declared = [{**TAP, "owner": "nobody", "multi_queue": is_multiple}]
        declared.append({"name": "tap1", "owner": "nobody", "multi_queue": is_multiple})
        apply(*declared)
        assert [shape("tap0"), shape("tap1")] == by_script
        # Those of a unit are as they are declared, too.
        apply({"name": "tap0", "state": "absent"}, {"name": "tap1", "state": "absent"})
        execute(interfaces.tap_up("probe", taps, flags, account))
        assert not apply(*declared)["changed"]
        apply({"name": "tap0", "state": "absent"}, {"name": "tap1", "state": "absent"})
    execute(interfaces.macvtap_up("probe", macvtaps, account))
    by_script = [shape("macvtap0"), node("macvtap0")]
    execute(interfaces.macvtap_down("probe", macvtaps))
    (result,) = apply({**MACVTAP, "owner": "nobody", "group": "nogroup"})["taps"]
    assert [shape("macvtap0"), node("macvtap0")] == by_script
    assert result["device"] == f"/dev/tap{link('macvtap0')['ifindex']}"
    apply({"name": "macvtap0", "state": "absent"})


def execute(script: str) -> None:
    """Run a script of a package."""
    subprocess.run(["bash", "-c", script], check=True)


def shape(name: str) -> Dict[str, Any]:
    """Return what two devices that are alike have in common, the address of macvtaps included."""
    device = link(name)
    is_drawn = device["linkinfo"]["info_kind"] == "tun"
    settings = {"ipv6": Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")}
    values = {key: path.read_text() for key, path in settings.items() if path.exists()}
    return {
        **{key: value for key, value in device.items() if key != "ifindex" and not (is_drawn and key == "address")},
        **values,
    }


def node(name: str) -> List[Any]:
    """Return owner, group and mode of the character device of a macvtap."""
    status = os.stat(f"/dev/tap{link(name)['ifindex']}")
    return [status.st_uid, status.st_gid, oct(status.st_mode & 0o7777)]


def data(name: str) -> Dict[str, Any]:
    """Return what only taps, or only macvtaps, have."""
    settings: Dict[str, Any] = link(name)["linkinfo"]["info_data"]
    return settings


def port(name: str) -> Dict[str, Any]:
    """Return the settings of a port of a bridge."""
    settings: Dict[str, Any] = link(name)["linkinfo"].get("info_slave_data", {})
    return settings


def check_each_option_of_a_tap() -> None:
    """Change one option at a time: in place where the kernel allows it."""
    apply(TAP)
    # Options, whether the device stays, and what is true then.
    cases: List[Any] = [
        ({"owner": "1"}, True, lambda: data("tap0")["user"] in ("daemon", 1)),
        ({"group": "1"}, True, lambda: data("tap0")["group"] in ("daemon", 1)),
        ({"group": None}, False, lambda: "group" not in data("tap0")),
        ({"vnet_hdr": False}, True, lambda: data("tap0")["vnet_hdr"] is False),
        ({"mtu": 1400}, True, lambda: link("tap0")["mtu"] == 1400),
        ({"mac": "02:00:00:00:00:0A"}, True, lambda: link("tap0")["address"] == "02:00:00:00:00:0a"),
        ({"bridge": "br1"}, True, lambda: link("tap0")["master"] == "br1"),
        ({"isolated": True}, True, lambda: port("tap0")["isolated"] is True),
        ({"learning": False}, True, lambda: port("tap0")["learning"] is False),
        ({"neigh_suppress": True}, True, lambda: port("tap0")["neigh_suppress"] is True),
        ({"bridge": "br0"}, True, lambda: port("tap0")["isolated"] is True and link("tap0")["master"] == "br0"),
        ({"link_group": 7}, True, lambda: link("tap0")["group"] == "7"),
        ({"altnames": ["a-name-that-is-longer-than-15", "b"]}, True, lambda: len(link("tap0")["altnames"]) == 2),
        ({"altnames": ["b", "c"]}, True, lambda: link("tap0")["altnames"] == ["b", "c"]),
        ({"altnames": []}, True, lambda: "altnames" not in link("tap0")),
        ({"up": False}, True, lambda: "UP" not in link("tap0")["flags"]),
        ({"multi_queue": True}, False, lambda: data("tap0")["multi_queue"] is True),
        ({"isolated": False, "learning": True, "neigh_suppress": False}, True, lambda: not port("tap0")["isolated"]),
        ({"bridge": None}, True, lambda: "master" not in link("tap0")),
    ]
    check_changes(TAP, cases)
    assert data("tap0")["persist"] is True and data("tap0")["pi"] is False


def check_changes(begin: Dict[str, Any], cases: List[Any]) -> None:
    """Make changes, each on top of those before, and look at each."""
    tap = dict(begin)
    for change, stays, is_so in cases:
        before = link(tap["name"])["ifindex"]
        tap = {key: value for key, value in {**tap, **change}.items() if value is not None}
        (result,) = apply(tap)["taps"]
        assert result["changed"] and is_so(), (change, link(tap["name"]))
        assert (link(tap["name"])["ifindex"] == before) == stays != result["replaced"], (change, result)


def check_each_option_of_a_macvtap() -> None:
    """Change one option at a time."""
    apply(MACVTAP)
    place = MACVTAP["macvtap"]
    cases: List[Any] = [
        ({"owner": "1", "group": "2"}, True, lambda: node("macvtap0") == [1, 2, "0o600"]),
        ({"mac": "02:00:00:00:00:0b"}, True, lambda: link("macvtap0")["address"] == "02:00:00:00:00:0b"),
        ({"mtu": 1400}, True, lambda: link("macvtap0")["mtu"] == 1400),
        ({"macvtap": {**place, "mode": "private"}}, True, lambda: data("macvtap0")["mode"] == "private"),
        ({"up": False, "link_group": 7}, True, lambda: "UP" not in link("macvtap0")["flags"]),
        ({"macvtap": {"link": "other", "mode": "private"}}, False, lambda: link("macvtap0")["link"] == "other"),
        (
            {"macvtap": {"link": "other", "mode": "passthru"}, "mac": None},
            False,
            lambda: data("macvtap0")["mode"] == "passthru",
        ),
        ({"type": "tap", "macvtap": None}, False, lambda: link("macvtap0")["linkinfo"]["info_kind"] == "tun"),
    ]
    check_changes(MACVTAP, cases)
    apply({"name": "macvtap0", "state": "absent"})
    apply(MACVTAP)
    os.chmod(f"/dev/tap{link('macvtap0')['ifindex']}", 0o666)
    run("ip link set macvtap0 allmulticast off")
    assert apply(MACVTAP)["changed"] and node("macvtap0") == [65534, 0, "0o600"]


def check_devices_in_use() -> None:
    """What would take a device away from a process is refused."""
    apply({"name": "tap0", "state": "absent"})
    apply(TAP, MACVTAP)
    me = f"process {os.getpid()} "
    for flags, multi_queue in ((IFF_VNET_HDR, False), (IFF_MULTI_QUEUE, True)):
        tap = {**TAP, "multi_queue": multi_queue}
        apply(tap, replace_in_use=True)
        before = link("tap0")
        with opened("tap0", flags):
            # Who opens a tap sets the format of its packets.
            assert not apply({**tap, "vnet_hdr": not flags & IFF_VNET_HDR})["changed"]
            for path, change in (
                ("multi_queue", {"multi_queue": not multi_queue}),
                ("owner", {"owner": "1"}),
                ("group", {"group": "1"}),
                ("state", {"state": "absent"}),
            ):
                assert me in refused(f"taps[0].{path}", {**tap, **change})
            assert link("tap0")["ifindex"] == before["ifindex"]
            assert apply({**tap, "mtu": 1400, "isolated": True})["changed"]
            assert apply({**tap, "owner": "1"}, replace_in_use=True)["taps"][0]["replaced"]
        assert apply({**tap, "owner": "2"})["changed"] and data("tap0")["user"] in ("bin", 2)
    with opened("tap0", IFF_MULTI_QUEUE):
        run("ip link set tap0 carrier off")
        assert me in refused("taps[0].state", {"name": "tap0", "state": "absent"})
    apply({**TAP, "owner": "2"})
    with opened("tap0"):
        # The kernel tells of a tap with one queue that it has a process by its carrier only.
        run("ip link set tap0 carrier off")
        assert me in refused("taps[0].state", {"name": "tap0", "state": "absent"})
        assert me in refused("taps[0].owner", {**TAP, "owner": "1"})
        assert not apply({**TAP, "owner": "2", "vnet_hdr": False})["changed"]
    path = f"/dev/tap{link('macvtap0')['ifindex']}"
    with open(path, "rb+", buffering=0):
        assert me in refused("taps[0].state", {"name": "macvtap0", "state": "absent"})
        assert me in refused("taps[0].macvtap.link", {**MACVTAP, "macvtap": {"link": "other", "mode": "bridge"}})
        assert apply({**MACVTAP, "owner": "1"})["changed"]
        apply({"name": "macvtap0", "state": "absent"}, replace_in_use=True)


def check_interfaces_of_others() -> None:
    """Interfaces of other kinds, and devices of MicroVMs that run, are left alone."""
    for name in ("br0", "lower"):
        assert "only taps and macvtaps" in refused("taps[0].name", {"name": name, "state": "absent"})
    assert "loopback" in refused("taps[0].name", {"name": "lo", "state": "absent"})
    run("ip tuntap add tun0 mode tun")
    refused("taps[0].name", {"name": "tun0"})
    run("ip link property add dev tap0 altname second")
    refused("taps[0].name", {"name": "second"})
    with tempfile.TemporaryDirectory() as directory:
        lists = Path(directory, "web", "booted", "share", "microvm")
        lists.mkdir(parents=True)
        (lists / "tap-interfaces").write_text("tap0\n")
        assert "MicroVM web" in refused("taps[0].name", {"name": "tap0", "mtu": 1300}, state_directory=directory)
    refused("taps[1].bridge", {"name": "first"}, {"name": "tap1", "bridge": "missing"})
    assert not exists("first")
    assert apply({"name": "tap1", "bridge": "br0", "mtu": 1300}, expected_bridges=["br0"])["changed"]


def check_replaced_devices() -> None:
    """A device that is replaced keeps what is not declared, and what is on it is made again."""
    tap = {**TAP, "name": "lower0", "bridge": None}
    upper = {**MACVTAP, "name": "upper0", "macvtap": {"link": "lower0", "mode": "bridge"}}
    apply(tap)
    run("ip link set lower0 mtu 1400 address 02:00:00:00:00:0c; ip link property add dev lower0 altname kept")
    apply(tap, upper)
    # The order of the list is none of devices: a link is made first.
    replaced = apply(upper, {**tap, "multi_queue": True})["taps"]
    assert [result["replaced"] for result in replaced] == [True, True]
    now = link("lower0")
    assert (now["mtu"], now["address"], now["altnames"]) == (1400, "02:00:00:00:00:0c", ["kept"])
    assert link("upper0")["link"] == "lower0"
    assert "upper0 is on it" in refused("taps[0].state", {"name": "lower0", "state": "absent"})
    apply({"name": "upper0", "state": "absent"}, {"name": "lower0", "state": "absent"})


def check_what_the_kernel_refuses() -> None:
    """What the kernel refuses, or makes of it something else, is refused before."""
    run("ip link add link lower name foreign type macvlan mode bridge; ip link set foreign up")
    address = link("foreign")["address"]
    new = {**MACVTAP, "name": "new0"}
    for place in ({"link": "lo", "mode": "bridge"}, {"link": "foreign", "mode": "bridge"}):
        refused("taps[0].macvtap.link", {**new, "macvtap": place})
    refused("taps[0].macvtap.link", {**new, "mac": None, "macvtap": {"link": "lower", "mode": "passthru"}})
    refused("taps[0].mac", {**new, "mac": address})
    refused("taps[0].mac", {**new, "mac": link("lower")["address"]})
    refused("taps[0].mac", {**new, "mac": "00:00:00:00:00:00"})
    for name in ("all", "default"):
        refused("taps[0].name", {"name": name})
    run("ip link del foreign; ip link add link other name foreign type macvlan mode passthru")
    refused("taps[0].macvtap.link", {**new, "macvtap": {"link": "other", "mode": "bridge"}})
    run("ip link del foreign")
    assert not exists("new0")


def check_many() -> None:
    """Devices are removed together, and no others with them."""
    many = [{"name": f"many{number}", "bridge": "br0", "isolated": True} for number in range(40)]
    apply({"name": "stays", "link_group": 0x7D000000}, *many)
    apply(*({"name": tap["name"], "state": "absent"} for tap in many))
    assert exists("stays") and not any(exists(str(tap["name"])) for tap in many)


def main() -> None:
    """Run all checks, in an order in which each leaves what the next one needs."""
    prepare()
    # At first the one that makes most: then the indices of macvtaps, which name devices that all namespaces share, are
    # higher than those of the machine's own interfaces.
    for check in (
        check_many,
        check_units_make_the_same_devices,
        check_each_option_of_a_tap,
        check_each_option_of_a_macvtap,
        check_devices_in_use,
        check_interfaces_of_others,
        check_replaced_devices,
        check_what_the_kernel_refuses,
    ):
        print(check.__name__, flush=True)
        check()


if __name__ == "__main__":
    main()
