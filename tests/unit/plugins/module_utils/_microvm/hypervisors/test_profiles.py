# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles of hypervisors against the option table and the code of their folders."""

from __future__ import annotations

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.commands import HYPERVISORS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.kernel_needs import OF_ALL
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.profile import Profile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.profiles import PROFILES
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.registry import command
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import (
    HYPERVISOR,
    NAMESAKE,
    honoured_by,
    walk,
)

from ..examples import parse

OPTIONS = dict(walk(VM_OPTIONS))
OWNERS = honoured_by(VM_OPTIONS)
every_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)


def test_every_hypervisor_has_a_profile_and_a_command_in_the_same_order() -> None:
    assert list(PROFILES) == list(HYPERVISORS)
    assert all(HYPERVISORS[name].profile is profile for name, profile in PROFILES.items())
    orders = [profile.order for profile in PROFILES.values()]
    assert orders == sorted(set(orders))


def test_the_first_hypervisor_is_the_default_one() -> None:
    assert OPTIONS["hypervisor"].default == next(iter(PROFILES))
    assert OPTIONS["hypervisor"].choices == tuple(PROFILES)


@every_profile
def test_a_profile_names_options_that_hypervisors_must_honour(profile: Profile) -> None:
    assert [path for path in profile.honours if OWNERS.get(path) != HYPERVISOR] == []


@every_profile
def test_values_of_options_with_choices_are_listed(profile: Profile) -> None:
    for path, values in profile.honours.items():
        option = OPTIONS[path]
        if option.choices is not None:
            assert values is not None and set(values) <= set(option.choices), path
        elif option.type != "bool":
            assert values is None, path


@every_profile
def test_a_profile_says_which_interfaces_and_shares_it_has(profile: Profile) -> None:
    assert profile.honours.keys() >= {"interfaces[].type", "shares[].proto"}, "the default kind would pass"


@every_profile
def test_a_group_of_its_own_is_called_after_the_hypervisor(profile: Profile) -> None:
    assert profile.group.name == profile.name.replace("-", "_")
    assert OWNERS[profile.group.name] == NAMESAKE


@every_profile
def test_a_vsock_that_is_not_the_kernel_s_is_a_socket_of_the_hypervisor(profile: Profile) -> None:
    if profile.claims("vsock.cid", True):
        declared = {"name": "a", "kernel": "/k", "hypervisor": profile.name, "vsock": {"cid": 7}}
        notify = command(parse(declared)[0], HostFacts("x86_64")).notify
        assert (notify is None) == profile.has_kernel_vsock


def test_needs_of_a_kernel_name_options_that_exist() -> None:
    needs = [*OF_ALL, *(need for profile in PROFILES.values() for need in profile.kernel_needs)]
    for path in (path for need in needs for path in (need.option, *need.besides)):
        mapping = OPTIONS.get(path.rpartition(".")[0])
        assert path in OPTIONS or (mapping is not None and mapping.values), path


def test_every_option_is_honoured_by_somebody() -> None:
    nobody_s = [
        path
        for path, option in OPTIONS.items()
        if OWNERS[path] == HYPERVISOR
        and (option.type == "list" or not option.suboptions)
        and not any(path in profile.honours for profile in PROFILES.values())
    ]
    assert nobody_s == []
