# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run over taps: what check mode shows is what is done, and the failure of one device is its own."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.netlink import NetworkDevice
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import taps
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.taps import TapsRequest, reconcile_taps
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.taps import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

DEVICES = {
    "br0": NetworkDevice("br0", 2, "bridge"),
    "old0": NetworkDevice("old0", 3, "tap", owner=0, vnet_hdr=True, is_up=True, group=7),
    "old1": NetworkDevice("old1", 4, "tap", owner=0, vnet_hdr=True, is_up=True),
}


class FakeLinks:
    """Interfaces that record what is done to them; some cannot be changed."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.done: List[str] = []
        self.groups: List[int] = []
        self.further: Dict[str, NetworkDevice] = {}
        self._failing = failing

    def dump(self) -> Dict[str, NetworkDevice]:
        """See Links.dump."""
        return {**DEVICES, **self.further}

    def delete(self, devices: Sequence[NetworkDevice], groups: Iterable[int]) -> None:
        """See Links.delete."""
        self.groups = sorted(groups)
        self._record("delete", " ".join(device.name for device in devices))

    def __getattr__(self, method: str) -> Any:
        return lambda name, *values: self._record(method, name)

    def _record(self, method: str, name: str) -> None:
        if name in self._failing:
            raise HostError(f"cannot change {name}")
        self.done.append(f"{method} {name}")


@pytest.fixture(name="links")
def _links(monkeypatch: pytest.MonkeyPatch) -> FakeLinks:
    return use(FakeLinks(), monkeypatch)


def use(links: FakeLinks, monkeypatch: pytest.MonkeyPatch) -> FakeLinks:
    """Let runs use these interfaces, without a lock of the host's."""

    @contextlib.contextmanager
    def opened() -> Iterator[FakeLinks]:
        yield links

    monkeypatch.setattr(taps, "opened_links", opened)
    monkeypatch.setattr(taps, "locked", lambda names: contextlib.nullcontext())
    return links


NEW = {"name": "new0", "bridge": "br0", "isolated": True, "altnames": ["a-longer-name-of-it"]}
GONE = [{"name": "old0", "state": "absent"}, {"name": "old1", "state": "absent"}]


def test_check_mode_shows_what_a_run_does_and_does_nothing(links: FakeLinks, tmp_path: Path) -> None:
    request: Dict[str, Any] = {
        "taps": [NEW, *GONE, {"name": "none0", "state": "absent"}],
        "state_directory": str(tmp_path),
    }
    predicted = reconcile_taps(TapsRequest(check_mode=True, **request))
    assert links.done == []
    assert reconcile_taps(TapsRequest(**request)) == predicted
    assert links.done == [
        "delete old0 old1",
        "create_tap new0",
        "attach new0",
        "name_also new0",
        "change new0",
        "change new0",
    ]
    assert links.groups == [0, 7]
    assert [tap["changed"] for tap in predicted["taps"]] == [True, True, True, False]
    assert [diff["before_header"] for diff in predicted["diff"]] == ["new0", "old0", "old1"]
    assert predicted["diff"][0]["before"] == predicted["diff"][1]["after"] == ""
    assert "isolated: true\n" in predicted["diff"][0]["after"]


def test_the_failure_of_one_device_keeps_no_other_from_its_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    links = use(FakeLinks(failing=["bad0", "old0 old1", "old1"]), monkeypatch)
    result = reconcile_taps(TapsRequest([{"name": "bad0"}, NEW, *GONE], str(tmp_path)))
    assert [tap["msg"] for tap in result["taps"]] == ["cannot change bad0", "", "", "cannot change old1"]
    assert [tap["failed"] for tap in result["taps"]] == [True, False, False, True]
    assert result["taps"][2]["actions"] == ["remove tap old0"] and result["taps"][3]["actions"] == []
    assert "create_tap new0" in links.done and "delete old0" in links.done


def test_nothing_is_done_if_one_device_is_refused(links: FakeLinks, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError):
        reconcile_taps(TapsRequest([NEW, {"name": "new1", "bridge": "br9"}], str(tmp_path)))
    assert links.done == []


@pytest.mark.parametrize("file", ["tap-interfaces", "macvtap-interfaces"])
def test_devices_of_running_microvms_are_known_by_their_booted_packages(
    links: FakeLinks, tmp_path: Path, file: str
) -> None:
    for name, link in (("web", "booted"), ("stopped", "current")):
        (tmp_path / name / link / "share" / "microvm").mkdir(parents=True)
    (tmp_path / "web" / "booted" / "share" / "microvm" / file).write_text(
        "other0\nold0 02:00:00:00:00:01 eth0 bridge\n"
    )
    (tmp_path / "stopped" / "current" / "share" / "microvm" / file).write_text("old1\n")
    with pytest.raises(DeclarationError, match="belongs to the MicroVM web"):
        reconcile_taps(TapsRequest(GONE, str(tmp_path)))
    assert reconcile_taps(TapsRequest(GONE[1:], str(tmp_path)))["changed"]
    assert reconcile_taps(TapsRequest(GONE, str(tmp_path), replace_in_use=True))["changed"]
    assert links.done == ["delete old1", "delete old0 old1"]


def test_a_bridge_that_is_expected_must_be_there_when_something_is_done(links: FakeLinks, tmp_path: Path) -> None:
    tap = {"name": "new0", "bridge": "br9"}
    request: Dict[str, Any] = {"taps": [tap], "state_directory": str(tmp_path), "expected_bridges": ["br9"]}
    assert reconcile_taps(TapsRequest(check_mode=True, **request))["changed"]
    with pytest.raises(DeclarationError, match="no bridge 'br9'"):
        reconcile_taps(TapsRequest(**request))


@pytest.mark.parametrize(
    ("changes", "is_refused"), [({"state": "absent"}, True), ({"owner": "1"}, True), ({"vnet_hdr": False}, False)]
)
def test_a_tap_whose_process_has_switched_its_carrier_off_is_in_use(
    links: FakeLinks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: Dict[str, Any], is_refused: bool
) -> None:
    monkeypatch.setattr(observe, "find_users", lambda taps, macvtaps: dict.fromkeys(taps, "process 7"))
    tap = {"name": "old1", **changes}
    if is_refused:
        with pytest.raises(DeclarationError, match="process 7 uses it"):
            reconcile_taps(TapsRequest([tap], str(tmp_path)))
    else:
        assert not reconcile_taps(TapsRequest([tap], str(tmp_path)))["changed"]
    assert links.done == []


def test_the_device_of_a_macvtap_is_not_predicted_where_it_will_be_another(
    links: FakeLinks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    links.further = {
        "eth1": NetworkDevice("eth1", 8),
        "eth2": NetworkDevice("eth2", 9),
        "mt0": NetworkDevice("mt0", 10, "macvtap", link=8, mode="bridge"),
    }
    monkeypatch.setattr(taps, "find_index", lambda name: 10)
    devices = [
        reconcile_taps(
            TapsRequest(
                [{"name": "mt0", "type": "macvtap", "macvtap": {"link": link, "mode": "bridge"}}],
                str(tmp_path),
                check_mode=True,
            )
        )["taps"][0]["device"]
        for link in ("eth1", "eth2")
    ]
    assert devices == ["/dev/tap10", None]


def test_links_are_made_before_what_is_on_them(
    links: FakeLinks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    links.further = {"mt0": NetworkDevice("mt0", 10, "macvtap", link=4, mode="bridge")}
    on_tap = {"name": "mt0", "type": "macvtap", "macvtap": {"link": "old1", "mode": "bridge"}}
    reconcile_taps(TapsRequest([on_tap, {"name": "old1", "multi_queue": True}], str(tmp_path)))
    made = [step for step in links.done if step.startswith(("delete", "create"))]
    assert made == ["delete old1 mt0", "create_tap old1", "create_macvtap mt0"]


@pytest.mark.parametrize(
    ("link", "options", "is_down"),
    [
        ("old0", {}, False),
        ("br0", {}, True),
        ("br0", {"up": False}, False),
        ("old2", {}, False),
        ("old3", {}, True),
    ],
)
def test_a_macvtap_on_a_link_that_is_down_is_reported(
    links: FakeLinks, tmp_path: Path, link: str, options: Dict[str, Any], is_down: bool
) -> None:
    """Count a link that the same run brings up, or down, as it will be."""
    links.further = {
        "old2": NetworkDevice("old2", 5, "tap", owner=0, vnet_hdr=True),
        "old3": NetworkDevice("old3", 6, "tap", owner=0, vnet_hdr=True, is_up=True),
    }
    declared = [
        {"name": "new0", "type": "macvtap", "macvtap": {"link": link, "mode": "bridge"}, **options},
        {"name": "old2"},
        {"name": "old3", "up": False},
    ]
    result = reconcile_taps(TapsRequest(declared, str(tmp_path), check_mode=True))
    assert [tap["link_down"] for tap in result["taps"]] == [is_down, False, False]
