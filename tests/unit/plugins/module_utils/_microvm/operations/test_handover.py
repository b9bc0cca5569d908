# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs end before others of the same run start with what they give up. On a fake of ``host/``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..fake_host import FakeHost
from .test_one_road import Vm, actions, run, vm


def at(address: str) -> dict[str, Any]:
    """Return options of a guest with an address."""
    return {
        "interfaces": [{"bridge": "br0"}],
        "guest": {"enable": True, "networks": [{"addresses": [f"{address}/16"]}]},
    }


def listening(port: int) -> dict[str, Any]:
    """Return options of a guest behind a port of the host."""
    forward = {"from": "host", "host": {"port": port}, "guest": {"port": 80}}
    return {"interfaces": [{"type": "user"}], "forward_ports": [forward]}


THINGS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an address": (at("10.77.1.1"), at("10.77.1.2"), "guest.networks[0].addresses[0]: the address '10.77.1.1'"),
    "a port": (listening(8081), listening(8082), "forward_ports[0].host.port: the host port '*:8081/tcp'"),
    "an image": (
        {"volumes": [{"image": "/srv/a.img", "auto_create": False}]},
        {"volumes": [{"image": "/srv/b.img", "auto_create": False}]},
        "volumes[0].image: the image '/srv/a.img'",
    ),
    "a device": (
        {"devices": [{"bus": "pci", "path": "0000:01:00.0"}]},
        {"devices": []},
        "devices[0].path: the device '0000:01:00.0'",
    ),
    "an interface": (
        {"interfaces": [{"id": "tap-one"}]},
        {"interfaces": [{"id": "tap-two"}]},
        "interfaces[0].id: the interface 'tap-one'",
    ),
    "a context identifier": ({"vsock": {"cid": 71}}, {"vsock": {"cid": 72}}, "vsock.cid: the context identifier '71'"),
}
"""Options of the one that gives something up before and after, and the beginning of an error about the other one."""


def order(host: FakeHost, *calls: str) -> list[str]:
    """Return the calls of systemd that end and begin MicroVMs, in their order."""
    return [call.partition(".")[0].replace("microvm@", "") for call in host.calls if call.startswith(calls)]


@pytest.mark.parametrize(("before", "after", "_error"), THINGS.values(), ids=THINGS.keys())
def test_a_microvm_that_gives_something_up_ends_before_another_one_starts_with_it(
    host: FakeHost, before: dict[str, Any], after: dict[str, Any], _error: str
) -> None:
    run(vm("old", **before))
    wanted = (vm("new", **before), vm("old", **after))
    shown = run(*wanted, check=True)
    host.calls.clear()
    outcome = run(*wanted)
    assert not any(one["failed"] for one in outcome["vms"]) and actions(shown) == actions(outcome)
    assert outcome["vms"][1]["consequence"] == "restart"
    assert order(host, "start", "stop")[0] == "stop old"
    assert sorted(order(host, "start", "stop")) == ["start new", "start old", "stop old"]
    assert not run(*wanted)["changed"]


GIVERS: dict[str, Vm] = {"removed": vm("old", state="absent"), "stopped": vm("old", state="stopped", **at("10.77.9.9"))}


@pytest.mark.parametrize("giver", GIVERS.values(), ids=GIVERS.keys())
@pytest.mark.parametrize("is_first", [True, False])
def test_a_microvm_that_ends_does_so_before_others_start(host: FakeHost, giver: Vm, is_first: bool) -> None:
    run(vm("old", **at("10.77.2.1")))
    host.calls.clear()
    wanted = [giver, vm("new", **at("10.77.2.1"))]
    run(*(wanted if is_first else reversed(wanted)))
    assert order(host, "start", "stop") == ["stop old", "start new"]


def test_microvms_that_exchange_what_they_have_all_end_first(host: FakeHost) -> None:
    addresses = ["10.77.3.1", "10.77.3.2", "10.77.3.3"]
    run(*(vm(f"vm{index}", **at(address)) for index, address in enumerate(addresses)), vm("other"))
    host.calls.clear()
    rotated = [*addresses[1:], addresses[0]]
    outcome = run(*(vm(f"vm{index}", **at(address)) for index, address in enumerate(rotated)), vm("other", mem=700))
    assert not any(one["failed"] for one in outcome["vms"])
    calls = order(host, "start", "stop")
    assert sorted(calls[:3]) == ["stop vm0", "stop vm1", "stop vm2"]
    # A restart, which a fake host carries out as a start, of one that gives nothing up.
    assert sorted(calls[3:]) == ["start other", "start vm0", "start vm1", "start vm2"]
    assert outcome["vms"][3]["actions"][-1] == "systemctl restart microvm@other.service"


PENDING: dict[str, dict[str, Any]] = {
    "never": {"restart_policy": "never"},
    "present": {"state": "present"},
}


@pytest.mark.parametrize(("before", "after", "error"), THINGS.values(), ids=THINGS.keys())
@pytest.mark.parametrize("pending", PENDING.values(), ids=PENDING.keys())
@pytest.mark.parametrize("check", [True, False])
def test_what_a_pending_microvm_still_has_is_refused_to_another_one(
    host: FakeHost, before: dict[str, Any], after: dict[str, Any], error: str, pending: dict[str, Any], check: bool
) -> None:
    run(vm("old", **before))
    host.calls.clear()
    with pytest.raises(DeclarationError) as raised:
        run(vm("old", **after, **pending), vm("new", **before), check=check)
    assert str(raised.value).startswith(f"vms[1] (new).{error} is still used by 'old'")
    assert "microvm restart old" in str(raised.value)
    assert [call for call in host.calls if not call.startswith("show")] == []


def test_what_a_pending_microvm_has_may_be_declared_for_one_that_does_not_start(host: FakeHost) -> None:
    run(vm("old", **at("10.77.4.1")))
    outcome = run(vm("old", restart_policy="never", **at("10.77.4.2")), vm("new", state="present", **at("10.77.4.1")))
    assert [one["failed"] for one in outcome["vms"]] == [False, False]


@pytest.mark.parametrize("giver", [vm("old", state="absent"), vm("old", **at("10.77.5.2"))], ids=["absent", "moved"])
def test_a_microvm_is_not_started_with_what_could_not_be_freed(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, giver: Vm
) -> None:
    def stop(names: Sequence[str], _wait: bool = True) -> None:
        raise HostError(f"{names[0]} does not stop")

    run(vm("old", **at("10.77.5.1")))
    monkeypatch.setattr(systemd, "stop", stop)
    outcome = run(vm("new", **at("10.77.5.1")), giver)
    assert outcome["vms"][0]["msg"] == "not started, since old could not be stopped and has the address '10.77.5.1'"
    assert "does not stop" in outcome["vms"][1]["msg"]
    assert not host.units["microvm@new.service"].running


def test_what_was_taken_is_not_given_back_by_a_rollback(host: FakeHost) -> None:
    run(vm("old", **at("10.77.6.1")))
    moved = vm("old", rollback_on_failure=True, **at("10.77.6.2"))
    host.failing_packages = {str(run(moved, check=True)["vms"][0]["package"])}
    outcome = run(vm("new", **at("10.77.6.1")), moved)
    assert not outcome["vms"][0]["failed"] and not outcome["vms"][1]["rolled_back"]
    assert "the previous package is not started, since new has what it needs" in outcome["vms"][1]["msg"]
    assert os.path.basename(os.readlink(host.places.state("old", "current"))) in host.failing_packages
