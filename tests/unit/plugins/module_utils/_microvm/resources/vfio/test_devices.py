# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans of devices: from a host's devices and declared ones to steps, and what is refused before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import DEVICE_LIST, DEVICE_RULES
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vfio.parse import parse_devices
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.pci import FunctionSettings, PciDevice
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio.device_list import (
    DeviceRecord,
    Taken,
    list_of,
    parse_list,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio.files import SCRIPT, UNIT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio.plan import Action, Plan, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

NIC, OTHER, CARD, BOARD, BRIDGED = "0000:01:00.0", "0000:04:00.0", "0000:05:00.0", "0000:04:00.1", "0000:06:00.0"
FUNCTIONS = ("0000:05:10.0", "0000:05:10.2", "0000:05:10.4")

DEVICES = {
    device.address: device
    for device in (
        PciDevice(NIC, "0x020000", "e1000e", group=12, interfaces=("eth1",)),
        PciDevice(OTHER, "0x020000", "virtio-pci", group=15),
        PciDevice(BOARD, "0x0c0330", "xhci_hcd", group=15),
        PciDevice(CARD, "0x020000", "igb", group=16, interfaces=("eth5",), most_functions=7, offset=128, stride=2),
        PciDevice("0000:00:10.5", "0x060400", "pcieport", group=9),
        PciDevice(BRIDGED, "0x020000", "e1000e", group=9),
    )
}


def with_functions(number: int, driver: str = "vfio-pci") -> Dict[str, PciDevice]:
    """Return the devices with some functions of the card."""
    card = replace(DEVICES[CARD], functions=FUNCTIONS[:number])
    made = {
        address: PciDevice(address, "0x020000", driver, group=20 + index, card=CARD)
        for index, address in enumerate(card.functions)
    }
    return {**DEVICES, CARD: card, **made}


def planned(observed: Observed, *devices: Dict[str, Any]) -> Plan:
    return plan(observed, parse_devices(devices))


def shown(observed: Observed, *devices: Dict[str, Any]) -> List[str]:
    """Return the steps but for those of files and units."""
    own = (
        Action.RELEASE,
        Action.REMOVE_FUNCTIONS,
        Action.MAKE_FUNCTIONS,
        Action.SET_FUNCTION,
        Action.RAISE,
        Action.TAKE,
    )
    return [str(step) for step in planned(observed, *devices).steps if step.action in own]


def after(observed: Observed, devices: Mapping[str, PciDevice], *declared: Dict[str, Any]) -> Observed:
    """Return the host when the plan is done, with devices as the kernel has them then."""
    done = planned(observed, *declared)
    unit = Unit(load_state="loaded", unit_file_state="enabled") if done.files else Unit()
    record = parse_list(done.files.get(DEVICE_LIST))
    return replace(observed, devices=devices, record=record, files=done.files, unit=unit)


def taken(*addresses: str, devices: Mapping[str, PciDevice] = DEVICES) -> Dict[str, PciDevice]:
    """Return devices some of which vfio-pci has."""
    return {
        address: replace(device, driver="vfio-pci", override="vfio-pci") if address in addresses else device
        for address, device in devices.items()
    }


HOST = Observed(devices=DEVICES)


def test_a_device_is_recorded_before_it_is_taken_and_left_alone_then() -> None:
    first = planned(HOST, {"address": NIC, "vm": "web"})
    assert [str(step) for step in first.steps] == [
        f"write {DEVICE_LIST}",
        f"write {SCRIPT}",
        f"write {UNIT}",
        f"write {DEVICE_RULES}",
        "read again the rules of udev",
        "systemctl daemon-reload for microvm-fleet-devices.service",
        "systemctl enable microvm-fleet-devices.service",
        f"hand over {NIC}",
        "apply to existing devices the rules of udev",
    ]
    assert f"device {NIC} e1000e absent\n" in first.files[DEVICE_LIST]
    done = after(HOST, taken(NIC), {"address": NIC, "vm": "web"})
    assert planned(done, {"address": NIC, "vm": "web"}).steps == ()


def test_a_device_that_somebody_gave_back_is_taken_again() -> None:
    done = after(HOST, DEVICES, {"address": NIC})
    assert shown(done, {"address": NIC}) == [f"hand over {NIC}"]


@pytest.mark.parametrize("rest", [[], [{"address": NIC, "state": "absent"}]])
def test_a_device_that_is_not_declared_goes_back_and_nothing_stays(rest: List[Dict[str, Any]]) -> None:
    done = after(HOST, taken(NIC), {"address": NIC, "owner": "0"})
    last = planned(done, *rest)
    assert [str(step) for step in last.steps] == [
        "systemctl disable microvm-fleet-devices.service",
        f"hand back {NIC}",
        f"remove {DEVICE_LIST}",
        f"remove {SCRIPT}",
        f"remove {UNIT}",
        f"remove {DEVICE_RULES}",
        "read again the rules of udev",
        "systemctl daemon-reload for microvm-fleet-devices.service",
        "apply to existing devices the rules of udev",
    ]
    # The former driver is what a run that was killed in between still finds.
    assert done.record.taken == {NIC: Taken("e1000e")}
    assert planned(after(done, DEVICES)).steps == ()


def test_a_device_that_was_unplugged_is_only_forgotten() -> None:
    done = after(HOST, taken(NIC), {"address": NIC})
    without = {address: device for address, device in DEVICES.items() if address != NIC}
    assert shown(replace(done, devices=without)) == []
    assert DEVICE_LIST not in planned(replace(done, devices=without)).files


def test_the_former_driver_is_the_declared_one_or_the_recorded_one() -> None:
    done = after(HOST, taken(NIC), {"address": NIC})
    assert f"device {NIC} e1000e absent\n" in planned(done, {"address": NIC}).files[DEVICE_LIST]
    assert f"device {NIC} other absent\n" in planned(done, {"address": NIC, "driver": "other"}).files[DEVICE_LIST]
    # It was with vfio-pci already, and nobody knows what it had before.
    assert f"device {NIC} - absent\n" in planned(Observed(devices=taken(NIC)), {"address": NIC}).files[DEVICE_LIST]


def test_a_sibling_keeps_a_device_with_the_host() -> None:
    with pytest.raises(DeclarationError, match=rf"group 15 with {BOARD} \(driver xhci_hcd\)") as refusal:
        planned(HOST, {"address": NIC}, {"address": OTHER})
    assert refusal.value.path == "devices[1].address"


def test_a_group_is_taken_as_a_whole_or_by_all_of_its_devices() -> None:
    whole = planned(HOST, {"address": OTHER, "whole_group": True})
    assert whole.record.taken == {OTHER: Taken("virtio-pci"), BOARD: Taken("xhci_hcd")}
    assert shown(HOST, {"address": OTHER}, {"address": BOARD}) == [f"hand over {OTHER}", f"hand over {BOARD}"]
    done = after(HOST, taken(OTHER, BOARD), {"address": OTHER, "whole_group": True})
    assert shown(done) == [f"hand back {OTHER}", f"hand back {BOARD}"]


@pytest.mark.parametrize("driver", ["", "pci-stub", "vfio-pci"])
def test_a_sibling_without_a_driver_of_the_host_does_not_matter(driver: str) -> None:
    devices = {**DEVICES, BOARD: replace(DEVICES[BOARD], driver=driver)}
    assert shown(Observed(devices=devices), {"address": OTHER}) == [f"hand over {OTHER}"]


def test_a_bridge_stays_in_a_group_that_is_handed_over() -> None:
    assert shown(HOST, {"address": BRIDGED, "whole_group": True}) == [f"hand over {BRIDGED}"]


CARD_USED = {"owner": "qemu", "address": NIC}


@pytest.mark.parametrize(
    ("observed", "device", "key", "words"),
    [
        (HOST, {"address": "0000:09:00.0"}, "address", "there is no PCI device 0000:09:00.0"),
        (HOST, {"address": "0000:00:10.5"}, "address", "is a bridge"),
        (Observed(devices={NIC: PciDevice(NIC)}), {"address": NIC}, "address", "is in no IOMMU group"),
        (replace(HOST, uses={NIC: "the route"}), {"address": NIC}, "address", "the host needs 0000:01:00.0: the route"),
        (
            replace(HOST, uses={BOARD: "the route"}),
            {"address": OTHER, "whole_group": True},
            "address",
            "the host needs 0000:04:00.1",
        ),
        (Observed(devices=with_functions(2)), {"address": CARD}, "address", "has virtual functions, which would end"),
        (HOST, CARD_USED, "owner", "there is no user 'qemu'"),
        (HOST, {"address": CARD, "functions": [{"owner": "qemu"}]}, "functions[0].owner", "there is no user 'qemu'"),
        (HOST, {"address": NIC, "functions": [{}]}, "functions", "can have no virtual functions"),
        (HOST, {"address": CARD, "functions": [{}] * 8}, "functions", "can have 7 virtual functions, not 8"),
        (Observed(devices=taken(CARD)), {"address": CARD, "functions": [{}]}, "address", "has the driver vfio-pci"),
        (
            Observed(devices={CARD: replace(DEVICES[CARD], driver="")}),
            {"address": CARD, "functions": [{}]},
            "address",
            "has no driver",
        ),
        (
            Observed(devices={CARD: replace(DEVICES[CARD], interfaces=())}),
            {"address": CARD, "functions": [{}]},
            "address",
            "has no network interface",
        ),
        (
            Observed(devices=with_functions(2)),
            {"address": CARD, "functions": [{}]},
            "functions",
            "2 virtual functions that somebody else has made",
        ),
        (
            Observed(devices=with_functions(2, "igbvf"), uses={FUNCTIONS[1]: "the route"}),
            {"address": CARD, "functions": [{}, {}]},
            "functions",
            f"the host needs {FUNCTIONS[1]}, the existing function 1: the route",
        ),
    ],
)
def test_what_a_host_cannot_do_is_refused_with_its_key(
    observed: Observed, device: Dict[str, Any], key: str, words: str
) -> None:
    with pytest.raises(DeclarationError) as refusal:
        planned(observed, device)
    assert refusal.value.path == f"devices[0].{key}"
    assert words in refusal.value.message


def test_a_function_is_not_declared_by_its_address_too() -> None:
    with pytest.raises(DeclarationError, match="declared by its address too") as refusal:
        planned(Observed(devices=with_functions(1)), {"address": FUNCTIONS[0]}, {"address": CARD, "functions": [{}]})
    assert refusal.value.path == "devices[1].functions[0]"


def test_a_group_has_one_user() -> None:
    with pytest.raises(DeclarationError, match="one user has as a whole") as refusal:
        planned(HOST, {"address": OTHER, "vm": "web"}, {"address": BOARD, "vm": "db"})
    assert refusal.value.path == "devices[1].vm"
    assert planned(HOST, {"address": OTHER, "vm": "web"}, {"address": BOARD, "vm": "web"}).steps


def test_functions_of_a_group_have_one_user_too() -> None:
    devices = with_functions(2)
    devices[FUNCTIONS[1]] = replace(devices[FUNCTIONS[1]], group=devices[FUNCTIONS[0]].group)
    functions = [{"vm": "web"}, {"vm": "db"}]
    observed = after(Observed(devices=devices), devices, {"address": CARD, "functions": [{}, {}]})
    with pytest.raises(DeclarationError, match="one user has as a whole") as refusal:
        planned(observed, {"address": NIC}, {"address": CARD, "functions": functions})
    assert refusal.value.path == "devices[1].functions[1].vm"
    assert planned(observed, {"address": CARD, "functions": functions[:1] * 2}).files


def test_a_card_keeps_its_group_with_the_host_and_its_functions_do_not() -> None:
    """The card stays with its driver, whereas its functions are handed over."""
    card = {"address": CARD, "functions": [{}]}
    devices = {**DEVICES, NIC: replace(DEVICES[NIC], group=DEVICES[CARD].group)}
    with pytest.raises(DeclarationError, match=rf"group 16 with {CARD} \(driver igb\)") as refusal:
        planned(Observed(devices=devices), card, {"address": NIC})
    assert refusal.value.path == "devices[1].address"
    devices = with_functions(1, "igbvf")
    devices[NIC] = replace(devices[NIC], group=devices[FUNCTIONS[0]].group)
    assert shown(Observed(devices=devices), card, {"address": NIC}) == [
        f"hand over {address}" for address in (NIC, FUNCTIONS[0])
    ]


WEB = {"mac": "02:00:00:00:00:01", "vlan": 20}
TRUSTED = {"trust": True, "spoof_check": False}


def test_functions_are_made_set_and_handed_over() -> None:
    card = {"address": CARD, "functions": [WEB, TRUSTED, {}]}
    first = planned(HOST, card)
    assert shown(HOST, card) == [
        f"make virtual functions: {CARD} 3",
        f"set virtual function {CARD} 0 mac 02:00:00:00:00:01 vlan 20",
        f"set virtual function {CARD} 1 trust on spoofchk off",
        *(f"hand over {address}" for address in FUNCTIONS),
    ]
    assert first.files[DEVICE_LIST].splitlines()[1:] == [
        f"functions {CARD} 3",
        f"function {CARD} 0 mac 02:00:00:00:00:01 vlan 20",
        f"function {CARD} 1 trust on spoofchk off",
        *(f"device {address} - absent" for address in FUNCTIONS),
    ]


def test_the_interface_of_a_card_is_up_while_it_has_functions() -> None:
    card = {"address": CARD, "functions": [WEB]}
    down = replace(HOST, lowered=frozenset([CARD]))
    assert shown(down, card) == [
        f"make virtual functions: {CARD} 1",
        f"set virtual function {CARD} 0 mac 02:00:00:00:00:01 vlan 20",
        f"bring up the interface of {CARD}",
        f"hand over {FUNCTIONS[0]}",
    ]
    # Somebody has switched it off since.
    done = replace(after(HOST, with_functions(1), card), lowered=frozenset([CARD]))
    now = settings(FunctionSettings("02:00:00:00:00:01", 20, False, True))
    assert shown(replace(done, functions=now), card) == [f"bring up the interface of {CARD}"]
    assert f"bring up the interface of {CARD}" not in shown(done, {"address": CARD, "functions": []})


UNSET = FunctionSettings("00:00:00:00:00:00", 0, False, True)


def settings(*functions: FunctionSettings) -> Mapping[str, Sequence[FunctionSettings]]:
    return {CARD: functions}


def test_settings_change_while_functions_stay() -> None:
    card = {"address": CARD, "functions": [WEB, TRUSTED]}
    done = after(HOST, with_functions(2), card)
    set_now = settings(FunctionSettings("02:00:00:00:00:01", 20, False, True), FunctionSettings(None, 0, True, False))
    assert shown(replace(done, functions=set_now), card) == []
    assert shown(replace(done, functions=settings(UNSET, UNSET)), card) == [
        f"set virtual function {CARD} 0 mac 02:00:00:00:00:01 vlan 20",
        f"set virtual function {CARD} 1 trust on spoofchk off",
    ]
    # What is not declared goes, but for the address, which only the next start of the host changes.
    assert shown(replace(done, functions=set_now), {"address": CARD, "functions": [{}, {}]}) == [
        f"set virtual function {CARD} 0 vlan 0",
        f"set virtual function {CARD} 1 trust off spoofchk on",
    ]


def test_what_a_driver_does_not_say_is_not_set_to_its_default() -> None:
    done = after(HOST, with_functions(1), {"address": CARD, "functions": [{}]})
    silent = replace(done, functions=settings(FunctionSettings()))
    assert shown(silent, {"address": CARD, "functions": [{}]}) == []
    assert shown(silent, {"address": CARD, "functions": [TRUSTED]}) == [
        f"set virtual function {CARD} 0 trust on spoofchk off"
    ]


def test_another_number_makes_all_functions_anew() -> None:
    done = replace(after(HOST, with_functions(2), {"address": CARD, "functions": [WEB, {}]}), functions=settings())
    assert shown(done, {"address": CARD, "functions": [WEB]}) == [
        f"make virtual functions: {CARD} 1",
        f"set virtual function {CARD} 0 mac 02:00:00:00:00:01 vlan 20",
        f"hand over {FUNCTIONS[0]}",
    ]
    assert shown(done) == shown(done, {"address": CARD, "functions": []}) == [f"remove the virtual functions of {CARD}"]


def test_nothing_is_taken_from_a_process() -> None:
    nic = after(HOST, taken(NIC), {"address": NIC})
    with pytest.raises(DeclarationError, match=r"because process 7 \(qemu\) uses it") as refusal:
        planned(replace(nic, users={12: "process 7 (qemu)"}), {"address": NIC, "state": "absent"})
    assert refusal.value.path == "devices[0]"
    functions = after(HOST, with_functions(2), {"address": CARD, "functions": [{}, {}]})
    used = replace(functions, users={21: "process 8"}, functions=settings(UNSET, UNSET))
    with pytest.raises(DeclarationError, match=f"{FUNCTIONS[1]} cannot be handed back, because process 8"):
        planned(used, {"address": CARD, "functions": [{}]})
    with pytest.raises(DeclarationError, match=f"{FUNCTIONS[1]} cannot be handed back"):
        planned(used)
    assert planned(used, {"address": CARD, "functions": [{}, {}]}).steps == ()


def test_a_device_that_goes_back_with_each_stop_is_taken_by_the_units_of_its_microvm() -> None:
    loan = {"address": NIC, "restore": "stop"}
    assert shown(HOST, loan) == []
    assert f"device {NIC} e1000e stop\n" in planned(HOST, loan).files[DEVICE_LIST]
    # A MicroVM has it now, or a run has handed it over for good before.
    lent = after(HOST, taken(NIC), loan)
    assert shown(lent, loan) == []
    kept = after(HOST, taken(NIC), {"address": NIC})
    assert shown(kept, loan) == [f"hand back {NIC}"]
    assert shown(replace(kept, users={12: "process 7"}), loan) == []


def test_rules_find_devices_by_what_stays() -> None:
    devices: List[Dict[str, Any]] = [
        {"address": NIC, "owner": "0"},
        {"address": CARD, "functions": [{}, {"vm": "web"}]},
        {"usb": {"vendor": "1050", "product": "0407", "serial": "12"}, "vm": "vault"},
        {"usb": {"vendor": "1050", "product": "0407"}, "owner": "0"},
        {"usb": {"vendor": "1050", "product": "0408"}, "state": "absent"},
    ]
    group = 'SUBSYSTEM=="vfio", TEST=="/sys/kernel/iommu_groups/%k/devices'
    usb = 'SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ATTR{idVendor}=="1050", ATTR{idProduct}=="0407"'
    stat = 'PROGRAM=="/usr/bin/stat --format=%%u /vms'
    rules = planned(replace(HOST, state_directory="/vms"), *devices).files[DEVICE_RULES]
    assert rules.splitlines()[1:] == [
        f'{group}/{NIC}", OWNER="0", MODE="0600"',
        # A MicroVM that is not there has no user, and a former one must not keep the node.
        f'{group}/{FUNCTIONS[1]}", OWNER="root", MODE="0600"',
        f'{group}/{FUNCTIONS[1]}", {stat}/web/work", OWNER="%c", MODE="0600"',
        # The one that is more exact comes last, and counts.
        f'{usb}, OWNER="0", MODE="0600"',
        f'{usb}, ATTR{{serial}}=="12", OWNER="root", MODE="0600"',
        f'{usb}, ATTR{{serial}}=="12", {stat}/vault/work", OWNER="%c", MODE="0600"',
    ]


def revoked(observed: Observed, *devices: Dict[str, Any]) -> List[str]:
    return planned(observed, *devices).targets(Action.REVOKE)


def test_who_is_no_longer_named_keeps_no_node() -> None:
    key: Dict[str, Any] = {"vendor": "1050", "product": "0407"}
    first: List[Dict[str, Any]] = [
        {"address": NIC, "vm": "web"},
        {"address": CARD, "functions": [{"owner": "0"}]},
        {"usb": key, "vm": "vault"},
        {"usb": {**key, "serial": "1:2"}, "owner": "0"},
    ]
    assert revoked(HOST, *first) == []
    done = after(HOST, taken(NIC, devices=with_functions(1)), *first)
    assert revoked(done, *first) == []
    # Another user is in the rules, which udev applies.
    assert revoked(done, {"address": NIC, "owner": "0"}, *first[1:]) == []
    rest: List[Dict[str, Any]] = [
        {"address": NIC},
        {"address": CARD, "functions": [{}]},
        {"usb": key, "state": "absent"},
    ]
    assert revoked(done, *rest) == [NIC, FUNCTIONS[0], "1050:0407", "1050:0407 1:2"]
    actions = [step.action for step in planned(done, *rest).steps]
    # A run that is interrupted finds the former rules, and rules of others apply to a USB device in the end.
    assert actions.index(Action.REVOKE) < actions.index(Action.REMOVE) < actions.index(Action.PERMIT)


def test_a_group_that_ends_has_no_node_to_be_left_to_root() -> None:
    both: List[Dict[str, Any]] = [{"address": OTHER, "vm": "web"}, {"address": BOARD}]
    done = after(HOST, taken(OTHER, BOARD), *both)
    assert revoked(done) == []
    without = {address: device for address, device in done.devices.items() if address != OTHER}
    assert revoked(replace(done, devices=without), both[1]) == []
    # What else is in the group stays, and would be open to the former user.
    left = {**taken(OTHER, BOARD), OTHER: DEVICES[OTHER]}
    pinned = replace(done, devices={**left, OTHER: replace(DEVICES[OTHER], driver="")})
    assert revoked(pinned, both[1]) == [OTHER]


def test_usb_needs_no_unit() -> None:
    key = {"usb": {"vendor": "1050", "product": "0407"}, "vm": "vault"}
    assert list(planned(HOST, key).files) == [DEVICE_RULES]
    assert planned(after(HOST, DEVICES, key), key).steps == ()


def test_a_list_is_read_as_it_is_written() -> None:
    taken_devices = {NIC: Taken("e1000e"), OTHER: Taken("", "stop", "8086:10d3")}
    cards = {CARD: "8086:10c9"}
    record = DeviceRecord({CARD: 2, BOARD: 1}, taken_devices, {(CARD, 0): ("vlan", "3")}, cards)
    assert parse_list(list_of(record)) == replace(record, settings={})
    with pytest.raises(HostError, match=r"devices\.list is damaged"):
        parse_list(list_of(record)[:-3])


def test_what_has_taken_the_place_of_a_device_is_not_taken() -> None:
    """A new card may move the addresses of others."""
    known = {
        **DEVICES,
        NIC: replace(DEVICES[NIC], identity="8086:10d3"),
        CARD: replace(DEVICES[CARD], identity="8086:10c9", function_identity="8086:10ca"),
    }
    both: List[Dict[str, Any]] = [{"address": NIC}, {"address": CARD, "functions": [{}]}]
    done = after(Observed(devices=known), known, *both)
    assert done.files[DEVICE_LIST].splitlines()[1:] == [
        f"functions {CARD} 1 8086:10c9",
        f"device {NIC} e1000e absent 8086:10d3",
        f"device {FUNCTIONS[0]} - absent 8086:10ca",
    ]
    assert planned(done, *both).files == done.files
    for index, address in enumerate((NIC, CARD)):
        moved = replace(done, devices={**known, address: replace(known[address], identity="10de:1eb8")})
        with pytest.raises(
            DeclarationError, match=f"{address} was the device 8086:.*, and is 10de:1eb8 now"
        ) as refusal:
            planned(moved, *both)
        assert refusal.value.path == f"devices[{index}].address"
        rest = [{"address": address, "state": "absent"}, both[1 - index]]
        # What somebody else has done with it stays.
        other = replace(moved.devices[address], driver="vfio-pci", functions=FUNCTIONS[1:])
        assert address not in " ".join(shown(replace(moved, devices={**moved.devices, address: other}), *rest[:1]))
        without = after(moved, moved.devices, *rest)
        assert f" {address} " not in without.files[DEVICE_LIST]
        assert "10de:1eb8" in planned(without, *both).files[DEVICE_LIST]
