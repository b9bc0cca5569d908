# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interfaces by netlink: what a dump tells of each, how many are deleted at once, and what errors say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.netlink import (
    Links,
    NetworkDevice,
    load_links,
    parse_link,
    too_old,
)


class FakeMessage:
    """Message of netlink with the attributes that it is given."""

    def __init__(self, attributes: Mapping[str, Any], flags: int = 0, index: int = 7, ifi_type: int = 1) -> None:
        self._attributes, self._header = attributes, {"flags": flags, "index": index, "ifi_type": ifi_type}

    def get_attr(self, attribute: str) -> object:
        """See Message.get_attr."""
        value = self._attributes.get(attribute)
        if isinstance(value, dict) and not attribute.endswith("CONF"):
            return FakeMessage(value)
        return value

    def get_attrs(self, attribute: str) -> Sequence[object]:
        """See Message.get_attrs."""
        values: List[object] = self._attributes.get(attribute, [])
        return values

    def __getitem__(self, field: str) -> object:
        return self._header[field]


def tap(carrier: int = 0, **data: int) -> Dict[str, Any]:
    """Return the attributes of a tap."""
    own = {
        "IFLA_TUN_TYPE": 2,
        "IFLA_TUN_PERSIST": 1,
        **{f"IFLA_TUN_{key.upper()}": value for key, value in data.items()},
    }
    return {"IFLA_CARRIER": carrier, "IFLA_LINKINFO": {"IFLA_INFO_KIND": "tun", "IFLA_INFO_DATA": own}}


def parsed(attributes: Mapping[str, Any], flags: int = 0) -> NetworkDevice:
    """Return what an interface of the name `link` is parsed to."""
    return parse_link(FakeMessage({"IFLA_IFNAME": "link", "IFLA_MTU": 1500, **attributes}, flags))


def test_a_tap_has_its_owner_and_its_flags() -> None:
    device = parsed(tap(owner=107, vnet_hdr=1, multi_queue=1, pi=1), flags=0x201)
    assert (device.kind, device.owner, device.owner_group, device.index) == ("tap", 107, None, 7)
    assert device.vnet_hdr and device.multi_queue and device.packet_information and device.persistent
    assert device.is_up and device.all_multicast


@pytest.mark.parametrize(
    ("attributes", "is_attached"),
    [
        (tap(), False),
        (tap(carrier=1), True),
        (tap(multi_queue=1, num_queues=0, num_disabled_queues=0), False),
        (tap(multi_queue=1, num_queues=1), True),
        (tap(multi_queue=1, num_queues=0, num_disabled_queues=1), True),
    ],
)
def test_a_tap_is_attached_if_it_has_a_carrier_or_queues(attributes: Mapping[str, Any], is_attached: bool) -> None:
    assert parsed(attributes).is_attached == is_attached


def test_a_device_of_layer_three_is_no_tap() -> None:
    assert parsed(tap(type=1)).kind == "tun"


def test_a_card_has_no_kind() -> None:
    assert parsed({"IFLA_CARRIER": 1}) == NetworkDevice("link", 7)


@pytest.mark.parametrize("kind", ["macvtap", "macvlan"])
def test_a_macvtap_has_its_mode_and_link(kind: str) -> None:
    information = {"IFLA_INFO_KIND": kind, "IFLA_INFO_DATA": {f"IFLA_{kind.upper()}_MODE": "vepa"}}
    device = parsed({"IFLA_LINK": 4, "IFLA_LINKINFO": information})
    assert (device.kind, device.mode, device.link) == (kind, "vepa", 4)


def test_the_index_of_a_link_in_another_namespace_is_none_of_this_one() -> None:
    assert parsed({"IFLA_LINK": 4, "IFLA_LINK_NETNSID": 0}).link is None


@pytest.mark.parametrize(("number", "is_ethernet"), [(1, True), (772, False), (65534, False)])
def test_loopback_interfaces_and_tunnels_pass_no_ethernet(number: int, is_ethernet: bool) -> None:
    assert parse_link(FakeMessage({"IFLA_IFNAME": "link"}, ifi_type=number)).is_ethernet == is_ethernet


def test_a_port_has_its_settings_and_other_interfaces_the_default() -> None:
    port = {"IFLA_BRPORT_ISOLATED": 1, "IFLA_BRPORT_LEARNING": 0, "IFLA_BRPORT_NEIGH_SUPPRESS": 1}
    information = {"IFLA_INFO_SLAVE_KIND": "bridge", "IFLA_INFO_SLAVE_DATA": port}
    device = parsed({"IFLA_MASTER": 2, "IFLA_LINKINFO": information})
    assert (device.master, device.isolated, device.learning, device.neigh_suppress) == (2, True, False, True)


@pytest.mark.parametrize(
    ("specific", "has_ipv6"),
    [
        ({}, False),
        ({"AF_INET6": {"IFLA_INET6_CONF": {"disable_ipv6": 1}}}, False),
        ({"AF_INET6": {"IFLA_INET6_CONF": {"disable_ipv6": 0}}}, True),
    ],
)
def test_a_kernel_without_ipv6_has_none_on_an_interface(specific: Mapping[str, Any], has_ipv6: bool) -> None:
    assert parsed({"IFLA_AF_SPEC": specific}).has_ipv6 == has_ipv6


def test_alternative_names_are_listed() -> None:
    assert parsed({"IFLA_PROP_LIST": {"IFLA_ALT_IFNAME": ["a", "b"]}}).altnames == ("a", "b")


class KernelError(Exception):
    """Error of the kernel, as pyroute2 raises it."""


class FakeConnection:
    """Connection that records what is sent, and fails for some indices.

    It has two interfaces in no group, those that were put into one, and others that are in a group ``meanwhile``.
    """

    def __init__(
        self, failing: Sequence[int] = (), gone: Sequence[int] = (), meanwhile: Optional[Mapping[int, int]] = None
    ) -> None:
        self.sent: List[Tuple[str, Dict[str, Any]]] = []
        self._failing, self._gone = failing, gone
        self._groups: Dict[int, int] = {1: 0, 2: 0, **(meanwhile or {})}

    def link(self, command: str, **attributes: Any) -> object:
        """See Connection.link."""
        if attributes.get("index") in self._failing:
            raise KernelError(16, "Device or resource busy")
        if attributes.get("index") in self._gone:
            raise KernelError(19, "No such device")
        if command == "set" and "group" in attributes:
            self._groups[attributes["index"]] = attributes["group"]
        self.sent.append((command, attributes))
        return None

    def get_links(self) -> Iterable[FakeMessage]:
        """See Connection.get_links."""
        return [
            FakeMessage({"IFLA_IFNAME": f"link{index}", "IFLA_GROUP": group}, index=index)
            for index, group in self._groups.items()
        ]

    def close(self) -> None:
        """See Connection.close."""


DEVICES = [NetworkDevice(f"tap{index}", index, "tap") for index in range(10, 13)]


def test_a_dump_has_all_interfaces_by_name() -> None:
    assert list(Links(FakeConnection(), KernelError).dump()) == ["link1", "link2"]


def test_one_interface_is_deleted_by_its_index() -> None:
    connection = FakeConnection()
    Links(connection, KernelError).delete(DEVICES[:1], [0])
    assert connection.sent == [("del", {"index": 10})]


def test_several_interfaces_are_deleted_by_one_group_in_which_no_other_is() -> None:
    connection = FakeConnection()
    Links(connection, KernelError).delete(DEVICES, [0, 0x7D000000, 0x7D000002])
    passing = 0x7D000001
    moves = [("set", {"index": index, "group": passing}) for index in (10, 11, 12)]
    assert connection.sent == [*moves, ("del", {"group": passing})]


def test_interfaces_are_deleted_one_by_one_if_others_have_got_into_their_group() -> None:
    connection = FakeConnection(meanwhile={20: 0x7D000000})
    Links(connection, KernelError).delete(DEVICES, [0])
    assert connection.sent[3:] == [("del", {"index": index}) for index in (10, 11, 12)]


@pytest.mark.parametrize(
    ("gone", "rest"),
    [
        ([10], [("set", {"index": 11, "group": 0x7D000000}), ("set", {"index": 12, "group": 0x7D000000})]),
        ([10, 11, 12], []),
    ],
)
def test_interfaces_that_are_gone_are_as_good_as_deleted(gone: Sequence[int], rest: List[Any]) -> None:
    connection = FakeConnection(gone=gone)
    Links(connection, KernelError).delete(DEVICES, [0])
    assert connection.sent == [*rest, *([("del", {"group": 0x7D000000})] if rest else [])]
    connection = FakeConnection(gone=gone)
    Links(connection, KernelError).delete(DEVICES[:1], [0])
    assert connection.sent == []


def test_nothing_is_deleted_if_one_cannot_be_moved_into_the_group() -> None:
    connection = FakeConnection(failing=[12])
    with pytest.raises(HostError, match="cannot delete tap12: Device or resource busy"):
        Links(connection, KernelError).delete(DEVICES, [0])
    assert all(command == "set" for command, _attributes in connection.sent)


def test_a_tap_is_not_made_over_an_interface_that_has_come_meanwhile() -> None:
    connection = FakeConnection()
    with pytest.raises(HostError, match="run this again"):
        Links(connection, KernelError).create_tap("lo", 0, None, False, True)
    assert connection.sent == []


def test_a_tap_is_made_without_an_owner_only_if_none_is_given() -> None:
    connection = FakeConnection()
    Links(connection, KernelError).set_tap("tap0", None, 108, True, False)
    ((command, attributes),) = connection.sent
    assert command == "add" and "tun_owner" not in attributes
    assert (attributes["tun_group"], attributes["tun_multi_queue"], attributes["tun_vnet_hdr"]) == (108, 1, 0)


def test_an_interface_that_is_gone_is_an_error_that_says_so() -> None:
    with pytest.raises(HostError, match="there is no interface gone0 any more"):
        Links(FakeConnection(), KernelError).change("gone0", {"mtu": 1400})


def test_a_missing_library_is_named_with_the_role_that_installs_it() -> None:
    with pytest.raises(HostError, match=r"no Python library no_such_library: .*microvm.fleet.host.*python3-pyroute2"):
        load_links("no_such_library")


@pytest.mark.parametrize(
    ("version", "is_too_old"),
    [("0.7.1", True), ("0.6.13", True), ("0.7.2", False), ("0.7.2.post1", False), ("0.9.7", False), ("", False)],
)
def test_versions_before_that_of_debian_12_are_too_old(version: str, is_too_old: bool) -> None:
    assert too_old(version) == is_too_old


def test_the_version_is_that_of_the_package_since_debian_s_library_does_not_know_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "oldlinks.py").write_text("__version__ = 'unknown'\n")
    (tmp_path / "oldlinks-0.7.1.dist-info").mkdir()
    (tmp_path / "oldlinks-0.7.1.dist-info" / "METADATA").write_text("Name: oldlinks\nVersion: 0.7.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HostError, match=r"pyroute2 0\.7\.1 is too old"):
        load_links("oldlinks")
