# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules refuse wrong parameters with the place of what is wrong, before and after Ansible has converted them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import testing
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import STATE_DIRECTORY
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import settings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Records
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules import vfio
from ansible_collections.microvm.fleet.plugins.modules import microvm_vfio, microvm_vms


def message(capsys: pytest.CaptureFixture[str], **parameters: Any) -> str:
    """Return the message of the module microvm_vms, which these parameters make fail."""
    with testing.patch_module_args(parameters), pytest.raises(SystemExit):
        microvm_vms.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"]
    return str(result["msg"])


WEB: dict[str, Any] = {"name": "web-3", "kernel": "/boot/vmlinuz"}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a key that Ansible refuses": ({"vms": [WEB, {**WEB, "name": "db", "memory": 3}]}, "vms[1] (db).memory: unknown"),
    "a value that only we refuse": (
        {"vms": [{**WEB, "interfaces": [{"mac": 41135085297}]}]},
        "vms[0] (web-3).interfaces[0].mac: '41135085297' is a number, which YAML reads",
    ),
    "a clash": (
        {"vms": [WEB, {**WEB, "name": "db", "machine_id": "1" * 32}, {**WEB, "name": "c", "machine_id": "1" * 32}]},
        "is already used by vms[1] (db).machine_id",
    ),
    "a key of the defaults": (
        {"vms": [{**WEB, "hypervisr": "qemu"}], "defaults": {"hypervisr": "qemu"}},
        "microvm_defaults.hypervisr: unknown option; did you mean 'hypervisor'",
    ),
    "a value of the defaults": (
        {"vms": [{**WEB, "limits": {"cpu_weight": 0}}], "defaults": {"limits": {"cpu_weight": 0}}},
        "microvm_defaults.limits.cpu_weight: 0 is not a weight",
    ),
    "a name in the defaults": ({"vms": [WEB], "defaults": {"name": "web-3"}}, "microvm_defaults.name: unknown option"),
    "a string with a comma": (
        {"vms": [{**WEB, "kernel_params": "console=ttyS1,115200"}]},
        "vms[0] (web-3).kernel_params: must be a list",
    ),
}


@pytest.mark.parametrize(("parameters", "words"), CASES.values(), ids=CASES.keys())
def test_a_message_has_the_place_of_what_is_wrong(
    parameters: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in message(capsys, **parameters)


def test_a_prediction_of_devices_is_for_the_state_directory_that_the_host_gets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules of udev name it, and the same run sets the host up first."""
    monkeypatch.setattr(settings, "read_settings", lambda path: {"state_dir": STATE_DIRECTORY})
    monkeypatch.setattr(Records, "names", lambda records: [])
    monkeypatch.setattr(vfio, "reconcile_devices", lambda devices, directory, check_mode: {"directory": directory})
    results = []
    for is_prediction in (True, False):
        parameters: dict[str, Any] = {"devices": [], "state_dir": "/srv/vms", "_ansible_check_mode": is_prediction}
        with testing.patch_module_args(parameters), pytest.raises(SystemExit):
            microvm_vfio.main()
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["directory"] == "/srv/vms"
    assert f"the state directory of this host is {STATE_DIRECTORY}" in results[1]["msg"]
