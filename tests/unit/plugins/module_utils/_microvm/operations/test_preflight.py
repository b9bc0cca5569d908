# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preflight and check mode refuse what a run would refuse, before it; what the same run brings is not missed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import state_directories, vsock
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.accelerator import Accelerator
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import MANIFEST, Manifest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import foreign_devices
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import reconcile as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import checks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import (
    host as preflight_host,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.checks import check_ability
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.expected import Expected
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..fake_host import FakeHost

MODES: dict[str, Any] = {"run": {}, "check": {"check_mode": True}, "preflight": {"preflight": True}}
QUICK = {"kernel": "/k", "accel": "tcg", "ready": {"check": "none"}}

BROUGHT = Expected(("/images/1",), ("br0",), ("0000:0a:00.0",), ((2048, 8), (1048576, 1)), setup=True)

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def run(mode: dict[str, Any], **options: Any) -> VmsResult:
    vm = {"name": "web", **QUICK, **options}
    return reconcile(Request(vms=[vm], state_dir="/unused", **mode))


def refuse(mode: dict[str, Any], words: str, key: str, **options: Any) -> None:
    with pytest.raises(DeclarationError, match=words) as why:
        run(mode, **options)
    assert why.value.path == key


@every_mode
def test_a_volume_that_shrinks_is_refused(host: FakeHost, mode: dict[str, Any]) -> None:
    run({}, volumes=[{"image": "data.img", "size": 96}])
    calls = list(host.calls)
    refuse(mode, "cannot shrink", "vms[0].volumes[0].size", volumes=[{"image": "data.img", "size": 95}])
    assert [call for call in host.calls[len(calls) :] if not call.startswith("show")] == []


@every_mode
def test_a_microvm_of_somebody_else_is_refused(host: FakeHost, mode: dict[str, Any]) -> None:
    os.makedirs(host.places.state("web"))
    os.symlink("/nix/store/0123-web", host.places.state("web", "current"))
    refuse(mode, "was not installed by this collection", "vms[0].name")
    refuse(mode, "was not installed by this collection", "vms[0].name", state="absent")


@every_mode
def test_another_user_of_a_microvm_that_must_not_restart_is_refused(host: FakeHost, mode: dict[str, Any]) -> None:
    run({})
    refuse(mode, "changes the user of a running", "vms[0].isolation", isolation="shared", restart_policy="never")


@every_mode
def test_the_removal_of_a_volume_that_is_not_named_is_refused(host: FakeHost, mode: dict[str, Any]) -> None:
    run({}, volumes=[{"image": "data.img", "size": 8}])
    work = host.places.work("web")
    os.makedirs(work, exist_ok=True)
    with open(f"{work}/data.img", "w", encoding="ascii"):
        pass
    refuse(mode, "does not list data.img", "vms[0].on_absent.confirm", state="absent", on_absent={"volumes": "delete"})


@every_mode
def test_a_device_that_is_handed_over_to_another_microvm_is_refused(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, mode: dict[str, Any]
) -> None:
    monkeypatch.setattr(foreign_devices, "vms_in_rules", lambda rules: {"0000:01:00.0": "now"})
    vm = {"name": "web", **QUICK, "devices": [{"bus": "pci", "path": "0000:01:00.0"}]}
    # What the same run declares comes before a prediction, and has come before the run itself.
    for declared, owner in ((None, "now"), ({"0000:01:00.0": "then"}, "then" if mode else "now")):
        with pytest.raises(DeclarationError, match=f"handed over to the MicroVM '{owner}'") as why:
            reconcile(Request(vms=[vm], state_dir="/unused", device_vms=declared, **mode))
        assert why.value.path == "vms[0].devices[0].path"
    assert not [call for call in host.calls if not call.startswith("show")]


@every_mode
@pytest.mark.parametrize("hypervisor", ["firecracker", "cloud-hypervisor", "kvmtool"])
def test_a_hypervisor_that_needs_kvm_is_refused_without(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, mode: dict[str, Any], hypervisor: str
) -> None:
    monkeypatch.setattr(module, "accelerator", lambda _kernel, _check_mode: Accelerator("tcg"))
    refuse(mode, "requires KVM", "vms[0].hypervisor", hypervisor=hypervisor, accel="auto")


@every_mode
def test_a_microvm_that_needs_what_the_kernel_of_its_image_lacks_is_refused(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "check_ability", check_ability)
    monkeypatch.setattr(checks, "check_setup", lambda: None)
    lacks = ("CONFIG_NET_9P_VIRTIO",)
    (tmp_path / MANIFEST).write_text(Manifest("0" * 32, {}, kernel_lacks=lacks).to_json())
    shares = [{"tag": "a", "source": "/srv/a", "proto": "9p"}]
    refuse(mode, lacks[0], "vms[0].shares[0].proto", kernel=f"{tmp_path}/kernel", shares=shares)
    assert [call for call in host.calls if not call.startswith("show")] == []


@pytest.mark.parametrize("mode", [{}, {"check_mode": True, "alone": True}])
def test_a_notification_that_no_command_of_the_host_would_receive_is_refused(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: dict[str, Any]
) -> None:
    notified: dict[str, Any] = {"use_notify_sockets": True, "vsock": {"cid": 5}}
    monkeypatch.setattr(preflight_host, "COMMAND", str(tmp_path / "microvm"))
    refuse(mode, f"lacks {tmp_path}/microvm", "vms[0].use_notify_sockets", **notified)
    run({"preflight": True}, **notified)
    run(mode, **notified, hypervisor="firecracker", accel="auto")
    (tmp_path / "microvm").touch()
    run(mode, **notified)


@every_mode
def test_a_context_identifier_in_use_is_refused_where_it_is_the_kernel_s(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, mode: dict[str, Any]
) -> None:
    monkeypatch.setattr(vsock, "is_in_use", lambda context: context == 1042)
    taken: dict[str, Any] = {"vsock": {"cid": 1042}}
    refuse(mode, "is in use on this host", "vms[0].vsock.cid", **taken)
    run(mode, **taken, state="stopped")
    run(mode, **taken, hypervisor="firecracker", accel="auto")


def test_only_check_mode_does_not_boot_a_kernel_to_test_the_accelerator(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def accelerator(_kernel: str, check_mode: bool) -> Accelerator:
        asked.append(check_mode)
        return Accelerator("tcg")

    monkeypatch.setattr(module, "accelerator", accelerator)
    for mode in ({"preflight": True}, {"preflight": True, "check_mode": True}, {"check_mode": True}, {}):
        run(mode, accel="auto")
    assert asked == [False, True, True, False]


def test_preflight_changes_nothing_and_reports_what_is_new_alone(host: FakeHost) -> None:
    result = run({"preflight": True}, volumes=[{"image": "data.img", "size": 8}])
    assert [vm["name"] for vm in result["vms"]] == ["web"]
    assert {**result, "vms": []} == {
        "changed": False,
        "vms": [],
        "undeclared": [],
        "evaluations": {},
        "diff": [],
        "warnings": [],
    }
    assert [call for call in host.calls if not call.startswith("show")] == []
    assert sorted(path.name for path in host.root.iterdir()) == ["vms"]
    run({}, volumes=[{"image": "data.img", "size": 8}])
    assert run({"preflight": True}, volumes=[{"image": "data.img", "size": 8}])["vms"] == []
    assert run({"preflight": True}, state="absent")["vms"] == []


def test_microvms_in_another_state_directory_are_refused_before_the_units_are_written(host: FakeHost) -> None:
    host.places.records.write(Record("old", "/srv/vms", (Generation(1, "0123-old"),)))
    host.places.records.write(Record("gone", "/mnt/vms", volumes=("data.img",)))
    with pytest.raises(HostError, match="MicroVMs are installed in /srv/vms: old; set microvm_state_dir"):
        run({"preflight": True})
    # Role `host` refuses it in its own check mode.
    run({"check_mode": True})


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({}, Expected()),
        ({"check_mode": True}, BROUGHT),
        ({"preflight": True}, BROUGHT),
        ({"check_mode": True, "alone": True}, Expected()),
    ],
)
def test_only_a_prediction_expects_what_roles_bring(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, mode: dict[str, Any], expected: Expected
) -> None:
    received: list[Any] = []
    monkeypatch.setattr(module, "check_ability", lambda *arguments: received.append(arguments[-1]))
    images: Any = [
        {
            "name": "base",
            "path": "/images/1",
            "store_disk_type": "erofs",
            "kernel_lacks": [],
            "uses_host_key": False,
            "nix": False,
        }
    ]
    reconcile(
        Request(
            vms=[{"name": "web", **QUICK}],
            images=images,
            bridges=["br0"],
            pci_devices=["0000:0A:00.0"],
            huge_pages=[{"size": "2M", "count": 8}, {"size": "1G", "count": 1}],
            state_dir="/unused",
            **mode,
        )
    )
    assert received == [expected]


def test_a_removal_waits_for_role_host_to_change_the_layout(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    run({})
    host.units["microvm@web.service"] = Unit()
    monkeypatch.setattr(state_directories, "is_former", lambda _directory: True)
    for mode in ({"preflight": True}, {"check_mode": True}):
        run(mode, state="absent")
    for mode in ({}, {"check_mode": True, "alone": True}):
        refuse(mode, "layout of an earlier version", "vms[0].name", state="absent")
