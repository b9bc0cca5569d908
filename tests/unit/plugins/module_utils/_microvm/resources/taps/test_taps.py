# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taps and macvtaps: what is refused, which changes are live, which replace a device, and when that is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.taps.parse import parse_taps
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.netlink import NetworkDevice
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.taps.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.taps.state import Node, Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

PLACE = {"link": "eth1", "mode": "bridge"}
TAP: dict[str, Any] = {"name": "lab0", "owner": "qemu", "bridge": "br0"}
MACVTAP: dict[str, Any] = {"name": "lab1", "type": "macvtap", "macvtap": PLACE, "owner": "qemu"}
MAC = "02:00:00:00:00:0a"
ABSENT: dict[str, Any] = {"name": "lab0", "state": "absent"}

BRIDGE = NetworkDevice("br0", 2, "bridge")
OTHER_BRIDGE = NetworkDevice("br1", 3, "bridge")
HARDWARE = NetworkDevice("eth1", 4, mtu=1500)
PORT = NetworkDevice("eth2", 5, master=2, port_kind="bridge")
LAB0 = NetworkDevice(
    "lab0",
    6,
    "tap",
    mac="02:00:00:00:00:01",
    is_up=True,
    master=2,
    port_kind="bridge",
    altnames=("laboratory",),
    owner=107,
    vnet_hdr=True,
)
LOOPBACK = NetworkDevice("lo", 1, is_ethernet=False)
MACVLAN = NetworkDevice("mv0", 20, "macvlan", mac=MAC, link=4, mode="bridge")
PASSTHRU = {**PLACE, "mode": "passthru"}
LAB1 = NetworkDevice("lab1", 7, "macvtap", is_up=True, link=4, mode="bridge", all_multicast=True)
NODES = {"lab1": Node(107, 0, "0600")}
ACCOUNTS = {("owner", "qemu"): 107, ("group", "kvm"): 108}


def host(*devices: NetworkDevice, **parts: Any) -> Observed:
    """Return a host with two bridges, two cards, and further devices."""
    listed = (BRIDGE, OTHER_BRIDGE, HARDWARE, PORT, *devices)
    return Observed(**{"devices": {device.name: device for device in listed}, "accounts": ACCOUNTS, **parts})


def steps(observed: Observed, *taps: dict[str, Any], may_interrupt: bool = False) -> list[str]:
    """Return the steps of all devices."""
    plans = plan(observed, parse_taps(taps), may_interrupt)
    return [str(step) for planned in plans for step in planned.steps]


@pytest.mark.parametrize(
    ("taps", "path"),
    [
        ([{**TAP, "brige": "x"}], "t[0].brige"),
        ([{**TAP, "name": "sixteen-letters-"}], "t[0].name"),
        ([{**TAP, "mtu": 67}], "t[0].mtu"),
        ([{**TAP, "mtu": 65522}], "t[0].mtu"),
        ([{**TAP, "mac": "01:00:00:00:00:01"}], "t[0].mac"),
        ([{**TAP, "altnames": ["a b"]}], "t[0].altnames[0]"),
        ([{**TAP, "altnames": ["x" * 128]}], "t[0].altnames[0]"),
        ([{**TAP, "altnames": ["lab0"]}], "t[0].altnames[0]"),
        ([{**TAP, "link_group": -1}], "t[0].link_group"),
        ([{**TAP, "bridge": "lab0"}], "t[0].bridge"),
        ([{**TAP, "macvtap": PLACE}], "t[0].macvtap.link"),
        ([{"name": "lab0", "isolated": True}], "t[0].isolated"),
        ([{"name": "lab0", "learning": False}], "t[0].learning"),
        ([{**MACVTAP, "macvtap": {"mode": "bridge"}}], "t[0].macvtap.link"),
        ([{**MACVTAP, "macvtap": {"link": "eth1"}}], "t[0].macvtap.mode"),
        ([{**MACVTAP, "multi_queue": True}], "t[0].multi_queue"),
        ([{**MACVTAP, "bridge": "br0"}], "t[0].bridge"),
        ([{**MACVTAP, "macvtap": {**PLACE, "mode": "passthru"}, "mac": "02:00:00:00:00:01"}], "t[0].mac"),
        ([TAP, TAP], "t[1].name"),
        ([TAP, ABSENT], "t[1].name"),
        ([TAP, {"name": "other", "altnames": ["lab0"]}], "t[1].altnames[0]"),
        ([{**TAP, "mac": "00:00:00:00:00:00"}], "t[0].mac"),
        ([{**TAP, "name": "all"}], "t[0].name"),
        ([{**TAP, "name": "default"}], "t[0].name"),
        ([{**TAP, "mac": "02:00:00:00:00:0A"}, {**TAP, "name": "m", "mac": "02:00:00:00:00:0a"}], "t[1].mac"),
        ([{**MACVTAP, "mac": MAC}, {**MACVTAP, "name": "m", "mac": MAC}], "t[1].mac"),
        ([MACVTAP, {**MACVTAP, "name": "m", "macvtap": {**PLACE, "mode": "passthru"}}], "t[1].macvtap.link"),
    ],
)
def test_bad_input_is_refused_with_its_path(taps: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_taps(taps, "t")
    assert refusal.value.path == path


def test_devices_that_are_not_connected_may_have_the_same_address() -> None:
    place = {"link": "eth2", "mode": "bridge"}
    devices = [TAP, {**TAP, "bridge": "br1"}, {**TAP, "bridge": None}, MACVTAP, {**MACVTAP, "macvtap": place}]
    assert parse_taps([{**tap, "name": f"a{index}", "mac": MAC} for index, tap in enumerate(devices)])


def test_a_device_that_is_to_be_removed_may_keep_its_options() -> None:
    assert parse_taps([{**MACVTAP, "macvtap": {}, "state": "absent"}, {**TAP, "name": "m"}])[0]["state"] == "absent"


@pytest.mark.parametrize(
    ("tap", "observed", "path"),
    [
        ({"name": "br0"}, host(), "taps[0].name"),
        ({"name": "eth1", "state": "absent"}, host(), "taps[0].name"),
        ({"name": "vpn"}, host(NetworkDevice("vpn", 9, "tun")), "taps[0].name"),
        ({"name": "laboratory"}, host(LAB0), "taps[0].name"),
        ({**MACVTAP, "altnames": ["laboratory"]}, host(LAB0), "taps[0].altnames[0]"),
        ({**MACVTAP, "altnames": ["lab0"]}, host(LAB0), "taps[0].altnames[0]"),
        ({**TAP, "owner": "nobody-here"}, host(), "taps[0].owner"),
        ({**TAP, "owner": "4294967295"}, host(), "taps[0].owner"),
        ({**TAP, "group": "qemu"}, host(), "taps[0].group"),
        ({**TAP, "bridge": "br9"}, host(), "taps[0].bridge"),
        ({**TAP, "bridge": "eth1"}, host(), "taps[0].bridge"),
        ({**MACVTAP, "macvtap": {**PLACE, "link": "eth9"}}, host(), "taps[0].macvtap.link"),
        ({**MACVTAP, "macvtap": {**PLACE, "link": "eth2"}}, host(), "taps[0].macvtap.link"),
        ({**MACVTAP, "mtu": 9000}, host(), "taps[0].mtu"),
        ({**MACVTAP, "macvtap": {**PLACE, "link": "lo"}}, host(LOOPBACK), "taps[0].macvtap.link"),
        ({**MACVTAP, "macvtap": {**PLACE, "link": "mv0"}}, host(MACVLAN), "taps[0].macvtap.link"),
        ({**MACVTAP, "macvtap": PASSTHRU}, host(MACVLAN), "taps[0].macvtap.link"),
        (MACVTAP, host(replace(MACVLAN, mode="passthru")), "taps[0].macvtap.link"),
        ({**MACVTAP, "mac": MAC}, host(MACVLAN), "taps[0].mac"),
        ({**MACVTAP, "mac": MAC}, host(replace(HARDWARE, mac=MAC)), "taps[0].mac"),
    ],
)
def test_what_a_host_cannot_have_is_refused_even_if_anything_is_allowed(
    tap: dict[str, Any], observed: Observed, path: str
) -> None:
    with pytest.raises(DeclarationError) as refusal:
        steps(observed, tap, may_interrupt=True)
    assert refusal.value.path == path


def test_the_interface_below_a_macvlan_is_named_as_the_link_to_use() -> None:
    with pytest.raises(DeclarationError, match=r"mv0 is itself a macvlan.*; use eth1,"):
        steps(host(MACVLAN), {**MACVTAP, "macvtap": {**PLACE, "link": "mv0"}})


HOLDER: dict[str, Any] = {**MACVTAP, "name": "mv0"}


@pytest.mark.parametrize(
    ("taps", "is_free"),
    [
        ([{"name": "mv0", "state": "absent"}, {**MACVTAP, "mac": MAC}], True),
        ([{**MACVTAP, "mac": MAC}, {"name": "mv0", "state": "absent"}], True),
        ([{**MACVTAP, "mac": MAC}, {**HOLDER, "macvtap": {**PLACE, "link": "eth3"}}], True),
        ([{**HOLDER, "mac": "02:00:00:00:00:0b"}, {**MACVTAP, "mac": MAC}], True),
        ([{**MACVTAP, "mac": MAC}, {**HOLDER, "mac": "02:00:00:00:00:0b"}], False),
        ([HOLDER, {**MACVTAP, "mac": MAC}], False),
        ([{**HOLDER, "mac": MAC}], True),
    ],
)
def test_an_address_is_free_if_its_holder_gives_it_up_before(taps: list[dict[str, Any]], is_free: bool) -> None:
    observed = host(replace(MACVLAN, kind="macvtap"), NetworkDevice("eth3", 8))
    if is_free:
        assert steps(observed, *taps)
    else:
        with pytest.raises(DeclarationError, match="is the address of mv0"):
            steps(observed, *taps)


def test_a_link_is_free_for_the_mode_passthru_if_what_is_on_it_is_removed() -> None:
    gone = {"name": "mv0", "state": "absent"}
    assert steps(host(replace(MACVLAN, kind="macvtap")), {**MACVTAP, "macvtap": PASSTHRU}, gone)


def test_a_bridge_of_the_same_run_is_expected_in_check_mode() -> None:
    assert steps(host(expected_bridges=("br9",)), {**TAP, "bridge": "br9"})[1] == "configure bridge br9"


def test_new_devices_are_made_with_all_that_differs_from_new_ones() -> None:
    options = {"mtu": 1400, "isolated": True, "link_group": 7, "altnames": ["b", "a"]}
    assert steps(host(), {**TAP, **options}, {**MACVTAP, "mac": "02:00:00:00:00:02", "mtu": 1500}) == [
        "create tap lab0",
        "configure mtu 1400, link_group 7, bridge br0",
        "add alternative names a, b",
        "set bridge port: isolated true",
        "bring up lab0",
        "create macvtap lab1 on eth1",
        "configure all_multicast true",
        "switch off IPv6 on lab1",
        "set character device: owner 107, group 0, permissions 0600",
        "bring up lab1",
    ]


def test_devices_as_they_are_declared_need_no_step() -> None:
    assert steps(host(LAB0, LAB1, nodes=NODES), TAP, MACVTAP) == []
    assert steps(host(), ABSENT) == []


def test_an_owner_is_declared_for_every_tap_since_anybody_could_open_one_without() -> None:
    plans = plan(host(), parse_taps([{"name": "a"}, {"name": "b", "group": "kvm"}]), False)
    assert [(planned.after["owner"], planned.after["group"]) for planned in plans] == [(0, None), (None, 108)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"owner": "108"}, ["set owner 108"]),
        ({"group": "kvm"}, ["set group 108"]),
        ({"vnet_hdr": False}, ["set vnet_hdr false"]),
        ({"mtu": 1400}, ["configure mtu 1400"]),
        ({"mac": "02:00:00:00:00:0B"}, ["configure mac 02:00:00:00:00:0b"]),
        ({"link_group": 7}, ["configure link_group 7"]),
        ({"bridge": "br1"}, ["configure bridge br1"]),
        ({"bridge": None}, ["configure bridge none"]),
        ({"isolated": True}, ["set bridge port: isolated true"]),
        ({"learning": False}, ["set bridge port: learning false"]),
        ({"neigh_suppress": True}, ["set bridge port: neigh_suppress true"]),
        ({"up": False}, ["take down lab0"]),
        ({"altnames": ["lab"]}, ["remove alternative names laboratory", "add alternative names lab"]),
        ({"altnames": []}, ["remove alternative names laboratory"]),
        (
            {"multi_queue": True},
            [
                "remove tap lab0",
                "create tap lab0",
                "configure mac 02:00:00:00:00:01, bridge br0",
                "add alternative names laboratory",
                "bring up lab0",
            ],
        ),
        (
            {"type": "macvtap", "macvtap": PLACE, "bridge": None},
            [
                "remove tap lab0",
                "create macvtap lab0 on eth1",
                "configure all_multicast true",
                "switch off IPv6 on lab0",
                "set character device: owner 107, group 0, permissions 0600",
                "bring up lab0",
            ],
        ),
    ],
)
def test_each_option_of_an_idle_tap_is_changed_as_the_kernel_allows(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert steps(host(LAB0), {**TAP, **changes}) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"owner": "108"}, ["set character device: owner 108"]),
        ({"group": "kvm"}, ["set character device: group 108"]),
        ({"mac": "02:00:00:00:00:0b"}, ["configure mac 02:00:00:00:00:0b"]),
        ({"macvtap": {**PLACE, "mode": "vepa"}}, ["configure mode vepa"]),
        ({"up": False}, ["take down lab1"]),
    ],
)
def test_options_of_a_macvtap_are_changed_while_it_exists(changes: dict[str, Any], expected: list[str]) -> None:
    assert steps(host(LAB1, nodes=NODES, users={"lab1": "process 1"}), {**MACVTAP, **changes}) == expected


@pytest.mark.parametrize("place", [{**PLACE, "mode": "passthru"}, {**PLACE, "link": "eth3"}])
def test_a_macvtap_gets_another_link_or_the_mode_passthru_as_a_new_device(place: dict[str, Any]) -> None:
    observed = host(LAB1, NetworkDevice("eth3", 8), nodes=NODES)
    made = steps(observed, {**MACVTAP, "macvtap": place})
    assert made[:2] == ["remove macvtap lab1", f"create macvtap lab1 on {place['link']}"]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"multi_queue": True}, ["mtu 1400", "mac 02:00:00:00:00:01", "laboratory"]),
        ({"multi_queue": True, "mtu": 1300, "mac": MAC, "altnames": []}, []),
        ({"type": "macvtap", "macvtap": PLACE, "bridge": None}, []),
    ],
)
def test_a_tap_that_is_replaced_keeps_what_is_not_declared_if_its_type_stays(
    change: dict[str, Any], kept: list[str]
) -> None:
    made = ", ".join(steps(host(replace(LAB0, mtu=1400)), {**TAP, **change}))
    assert [part for part in ("mtu 1400", "mac 02:00:00:00:00:01", "laboratory") if part in made] == kept


@pytest.mark.parametrize(
    ("mode", "mtu", "place", "kept"),
    [
        ("bridge", 1400, {**PLACE, "link": "eth3"}, (MAC, 1400)),
        ("bridge", 9000, {**PLACE, "link": "eth3"}, (MAC, None)),
        ("bridge", 1400, PASSTHRU, (None, 1400)),
        ("passthru", 1400, PLACE, (None, 1400)),
    ],
)
def test_a_macvtap_that_is_replaced_keeps_what_its_new_link_can_have(
    mode: str, mtu: int, place: dict[str, Any], kept: tuple[str | None, int | None]
) -> None:
    device = replace(LAB1, mac=MAC, mtu=mtu, mode=mode)
    observed = host(device, NetworkDevice("eth3", 8), nodes=NODES)
    (planned,) = plan(observed, parse_taps([{**MACVTAP, "macvtap": place}]), False)
    assert planned.replaced_for and (planned.after.get("mac"), planned.after.get("mtu")) == kept


def test_manual_changes_of_a_macvtap_are_repaired() -> None:
    changed = replace(LAB1, all_multicast=False, has_ipv6=True)
    assert steps(host(changed, nodes={"lab1": Node(107, 0, "0660")}), MACVTAP) == [
        "configure all_multicast true",
        "switch off IPv6 on lab1",
        "set character device: permissions 0600",
    ]


def test_the_port_of_another_bridge_is_a_new_one() -> None:
    isolated = replace(LAB0, isolated=True, learning=False)
    moved = {**TAP, "bridge": "br1", "isolated": True}
    # It is down until it is isolated.
    assert steps(host(isolated), moved) == [
        "take down lab0",
        "configure bridge br1",
        "set bridge port: isolated true",
        "bring up lab0",
    ]
    assert steps(host(isolated), {**moved, "up": False})[0] == "take down lab0"
    assert "bring up lab0" not in steps(host(isolated), {**moved, "up": False})
    assert steps(host(replace(isolated, is_up=False)), moved)[0] == "configure bridge br1"


def test_a_tap_of_another_switch_is_left_there_unless_a_bridge_is_declared() -> None:
    switched = replace(LAB0, port_kind="openvswitch")
    assert steps(host(switched), {**TAP, "bridge": None}) == []


ATTACHED = replace(LAB0, is_attached=True)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"multi_queue": True}, "taps[0].multi_queue"),
        ({"owner": "108"}, "taps[0].owner"),
        ({"group": "kvm"}, "taps[0].group"),
        ({"type": "macvtap", "macvtap": PLACE, "bridge": None}, "taps[0].type"),
        ({"state": "absent"}, "taps[0].state"),
    ],
)
def test_a_device_in_use_is_not_taken_away_unless_that_is_allowed(changes: dict[str, Any], path: str) -> None:
    observed = host(ATTACHED, users={"lab0": "process 7 (qemu)"})
    with pytest.raises(DeclarationError) as refusal:
        steps(observed, {**TAP, **changes})
    assert refusal.value.path == path
    assert "process 7 (qemu) uses it" in refusal.value.message and "replace_in_use" in refusal.value.message
    assert steps(observed, {**TAP, **changes}, may_interrupt=True)[0] == "remove tap lab0"


def test_a_tap_whose_process_is_not_seen_is_in_use_too() -> None:
    with pytest.raises(DeclarationError, match="a process uses it"):
        steps(host(ATTACHED), ABSENT)


def test_a_macvtap_in_use_is_not_removed() -> None:
    with pytest.raises(DeclarationError, match="process 8"):
        steps(host(LAB1, nodes=NODES, users={"lab1": "process 8"}), {**MACVTAP, "state": "absent"})


@pytest.mark.parametrize(
    "changes", [{"mtu": 1400}, {"isolated": True}, {"bridge": "br1"}, {"up": False}, {"vnet_hdr": False}]
)
def test_live_changes_need_no_permission_while_a_process_has_the_tap(changes: dict[str, Any]) -> None:
    assert not any(step.startswith("remove") for step in steps(host(ATTACHED), {**TAP, **changes}))


def test_who_has_opened_a_tap_sets_the_format_of_its_packets() -> None:
    opened = replace(LAB0, vnet_hdr=False, packet_information=True)
    assert steps(host(replace(opened, is_attached=True)), TAP) == []
    assert steps(host(opened), TAP) == ["set vnet_hdr true, packet_information false"]
    (planned,) = plan(host(replace(opened, is_attached=True)), parse_taps([{**TAP, "multi_queue": True}]), True)
    assert planned.after["vnet_hdr"] is True


def test_a_tap_that_ends_with_its_process_is_replaced() -> None:
    assert steps(host(replace(LAB0, persistent=False)), TAP)[:2] == ["remove tap lab0", "create tap lab0"]


@pytest.mark.parametrize("change", [{"mtu": 1400}, {"state": "absent"}])
def test_devices_of_running_microvms_are_left_to_their_units(change: dict[str, Any]) -> None:
    observed = host(LAB0, microvms={"lab0": "web"})
    with pytest.raises(DeclarationError, match="belongs to the MicroVM web"):
        steps(observed, {**TAP, **change})
    assert steps(observed, {**TAP, **change}, may_interrupt=True) != []
    assert steps(observed, TAP) == []


def test_a_name_moves_from_one_device_to_another_in_one_run() -> None:
    moved = [{**TAP, "altnames": []}, {"name": "other", "altnames": ["laboratory"]}]
    assert "add alternative names laboratory" in steps(host(LAB0), *moved)
    assert "add alternative names lab0" in steps(host(LAB0), ABSENT, {"name": "other", "altnames": ["lab0"]})


UPPER = NetworkDevice("upper", 30, "vlan", link=6)
FREE = replace(LAB0, master=None, port_kind="")
FREE_TAP: dict[str, Any] = {**TAP, "bridge": None}
ON_TAP: dict[str, Any] = {**MACVTAP, "macvtap": {**PLACE, "link": "lab0"}}


@pytest.mark.parametrize(
    ("change", "path"), [({"state": "absent"}, "taps[0].state"), ({"multi_queue": True}, "taps[0].multi_queue")]
)
def test_a_device_with_interfaces_of_others_on_it_is_not_taken_away(change: dict[str, Any], path: str) -> None:
    with pytest.raises(DeclarationError, match="the interface upper is on it") as refusal:
        steps(host(LAB0, UPPER), {**TAP, **change})
    assert refusal.value.path == path
    assert steps(host(LAB0, UPPER), {**TAP, **change}, may_interrupt=True)[0] == "remove tap lab0"
    assert steps(host(LAB0, UPPER), {**TAP, "mtu": 1400}) == ["configure mtu 1400"]


def test_the_other_end_of_a_pair_is_not_on_top() -> None:
    assert steps(host(LAB0, replace(UPPER, kind="veth")), ABSENT) == ["remove tap lab0"]


def test_what_is_on_a_tap_is_made_again_where_that_is_replaced() -> None:
    observed = host(FREE, replace(LAB1, link=6), nodes=NODES)
    made = steps(observed, {**FREE_TAP, "multi_queue": True}, ON_TAP)
    assert [step for step in made if "lab1" in step][:2] == ["remove macvtap lab1", "create macvtap lab1 on lab0"]
    assert steps(observed, FREE_TAP, ON_TAP) == []
    assert steps(observed, ABSENT, {**MACVTAP, "state": "absent"}) == ["remove tap lab0", "remove macvtap lab1"]
    with pytest.raises(DeclarationError, match="its link lab0 is replaced"):
        steps(replace(observed, users={"lab1": "process 7"}), {**FREE_TAP, "multi_queue": True}, ON_TAP)


def test_a_link_that_is_to_be_removed_gets_no_macvtap() -> None:
    with pytest.raises(DeclarationError, match="lab0 is to be removed") as refusal:
        steps(host(FREE), ABSENT, ON_TAP, may_interrupt=True)
    assert refusal.value.path == "taps[1].macvtap.link"


def test_nothing_is_planned_for_any_device_if_one_is_refused() -> None:
    with pytest.raises(DeclarationError):
        steps(host(ATTACHED), {"name": "first"}, {**TAP, "multi_queue": True})


def test_the_diff_has_what_is_not_declared_and_stays() -> None:
    (planned,) = plan(host(LAB0), parse_taps([{**TAP, "mtu": 1400}]), False)
    assert planned.before["mac"] == planned.after["mac"] == "02:00:00:00:00:01"
    assert {key for key in planned.after if planned.before[key] != planned.after[key]} == {"mtu"}
