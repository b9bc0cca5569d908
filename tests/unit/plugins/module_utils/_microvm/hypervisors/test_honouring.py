# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options and values that a hypervisor does not honour are refused, those that nobody knows of by all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms import parse
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors import registry
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.honouring import partly_honoured
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.profiles import PROFILES
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import (
    HOST,
    Option,
    Options,
)

WATCHDOG = Option("watchdog", "bool", "Restart a guest that hangs.", default=False)
every_hypervisor = pytest.mark.parametrize("hypervisor", PROFILES)


def with_choice(options: Options, path: str, choice: str) -> Options:
    """Return the table with one more choice of the option at a path."""
    head, _dot, rest = path.partition(".")
    return tuple(
        option
        if option.name != head.rstrip("[]")
        else replace(option, suboptions=with_choice(option.suboptions, rest, choice))
        if rest
        else replace(option, choices=(*(option.choices or ()), choice))
        for option in options
    )


def plant(monkeypatch: pytest.MonkeyPatch, options: Options) -> None:
    """Let the code have another option table."""
    monkeypatch.setattr(parse, "VM_OPTIONS", options)
    monkeypatch.setattr(registry, "VM_OPTIONS", options)


def refusal(hypervisor: str, **options: Any) -> DeclarationError | None:
    """Return what a declaration is refused for by the hypervisor on a host that it runs on."""
    architecture, _dash, system = PROFILES[hypervisor].systems[0].partition("-")
    raw = {"name": "vm", "hypervisor": hypervisor, "kernel": "/k", "initrd_path": "/i", **options}
    try:
        registry.check(parse.parse_vm(raw), HostFacts(architecture, "kvm", system))
    except DeclarationError as error:
        return error
    return None


@every_hypervisor
def test_an_option_that_nobody_claims_is_refused_by_all(monkeypatch: pytest.MonkeyPatch, hypervisor: str) -> None:
    plant(monkeypatch, (*VM_OPTIONS, WATCHDOG))
    error = refusal(hypervisor, watchdog=True)
    assert error is not None and error.path == "watchdog"
    assert error.message == f"{hypervisor} does not support this option; no hypervisor supports it"
    assert refusal(hypervisor, watchdog=False) is None


@every_hypervisor
@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("accel", {"accel": "new"}),
        ("interfaces[].type", {"interfaces": [{"type": "new"}]}),
        ("shares[].cache", {"shares": [{"tag": "t", "source": "/a", "proto": "virtiofs", "cache": "new"}]}),
        ("graphics.backend", {"graphics": {"enable": True, "backend": "new"}}),
        ("ready.check", {"ready": {"check": "new"}}),
        ("on_reboot", {"on_reboot": "new"}),
    ],
)
def test_a_value_that_nobody_claims_is_refused_by_all(
    monkeypatch: pytest.MonkeyPatch, hypervisor: str, path: str, options: dict[str, Any]
) -> None:
    plant(monkeypatch, with_choice(VM_OPTIONS, path, "new"))
    assert refusal(hypervisor, **options) is not None


def test_an_option_of_a_list_that_nobody_claims_is_refused_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    disks = (Option("path", "path", "Where it is.", required=True),)
    plant(monkeypatch, (*VM_OPTIONS, Option("floppies", "list", "Old disks.", elements="dict", suboptions=disks)))
    error = refusal("qemu", floppies=[{"path": "/a"}])
    assert error is not None and error.path == "floppies"


def test_an_option_that_the_host_honours_is_refused_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, (*VM_OPTIONS, replace(WATCHDOG, honoured_by=HOST)))
    assert [name for name in PROFILES if refusal(name, watchdog=True)] == []


def test_refusals_list_the_hypervisors_that_support_the_option() -> None:
    error = refusal("alioth", hotplug_mem=64)
    assert error is not None
    assert (error.path, error.message) == (
        "hotplug_mem",
        "alioth does not support 64; supported by: qemu, cloud-hypervisor",
    )
    error = refusal("firecracker", volumes=[{"image": "a", "size": 1}, {"image": "b", "size": 1, "serial": "s"}])
    assert error is not None and error.path == "volumes[1].serial"


def test_options_of_another_hypervisor_have_no_effect_and_are_not_refused() -> None:
    assert refusal("cloud-hypervisor", qemu={"machine": "q35"}, firecracker={"cpu": {"a": 1}}) is None


def test_options_that_are_switched_off_are_not_refused() -> None:
    assert refusal("alioth", graphics={"backend": "headless"}) is None
    assert refusal("crosvm", deflate_on_oom=False) is None
    error = refusal("crosvm", deflate_on_oom=False, balloon=True)
    assert error is not None and error.path == "deflate_on_oom"


def test_a_refused_switch_is_told_how_it_must_stand() -> None:
    error = refusal("kvmtool", balloon=True)
    assert error is not None
    assert (error.path, error.message) == (
        "deflate_on_oom",
        "kvmtool supports only `deflate_on_oom: false`, set it so or choose another; supported by: qemu, "
        "cloud-hypervisor, firecracker, crosvm, stratovirt",
    )
    assert refusal("kvmtool", balloon=True, deflate_on_oom=False) is None


def test_options_of_virtiofsd_are_claimed_by_those_alone_whose_shares_it_serves() -> None:
    for profile in PROFILES.values():
        served = profile.claims("shares[].proto", "virtiofs") and profile.needs_virtiofsd
        for option, value in (("cache", "always"), ("posix_acl", False), ("extra_args", True)):
            assert profile.claims(f"shares[].{option}", value) == served, (profile.name, option)


def test_the_table_of_the_documentation_has_a_line_for_each_value_that_only_some_honour() -> None:
    support = partly_honoured(VM_OPTIONS, PROFILES.values())
    assert support["cpu"] == {None: ("qemu",)}
    assert support["graphics.backend"] == {None: ("qemu",)}, "values that the same ones honour are one line"
    assert support["accel"] == {"tcg": ("qemu",)}
    assert list(support["interfaces[].type"]) == ["user", "tap", "macvtap", "bridge"]
    assert set(support["deflate_on_oom"]) == {True, False}
    assert support["deflate_on_oom"][True] == ("qemu", "cloud-hypervisor", "firecracker", "crosvm", "stratovirt")
    assert "mem" not in support and "forward_ports[].proto" not in support


def test_an_option_that_nobody_claims_is_in_the_table() -> None:
    assert partly_honoured((WATCHDOG,), PROFILES.values()) == {"watchdog": {None: ()}}
