# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random edits of random declarations: what check mode says is what the run does, and one run is enough.

Both take one plan, so what could be wrong is the plan: that carrying it out leaves something to do, that a guest is
disturbed for nothing, or that a change is missed.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import execute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.handlers import HANDLERS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.handlers_job import Job
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.observe import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from hypothesis import given, settings
from hypothesis import strategies as st

from ..plugins.module_utils._microvm.fake_host import FakeHost, install
from ..plugins.module_utils._microvm.resources.vms.model import carried_out, want

EDITS: dict[str, st.SearchStrategy[Any]] = {
    "mem": st.sampled_from([256, 512, "1G"]),
    "vcpu": st.integers(1, 4),
    "balloon": st.booleans(),
    "kernel_params": st.lists(st.sampled_from(["quiet", "debug"]), max_size=2, unique=True),
    "volumes": st.lists(
        st.fixed_dictionaries({"image": st.sampled_from(["a.img", "b.img"]), "size": st.integers(10, 20)}),
        max_size=2,
        unique_by=lambda volume: volume["image"],
    ),
    "interfaces": st.lists(st.fixed_dictionaries({"bridge": st.sampled_from(["br0", "br1"])}), max_size=2),
    "shares": st.lists(
        st.fixed_dictionaries({"tag": st.just("t"), "source": st.just("/srv/t"), "proto": st.sampled_from(["9p"])}),
        max_size=1,
    ),
    "isolation": st.sampled_from(["per_vm", "shared"]),
    "profile": st.sampled_from(["strict", "compat"]),
    "autostart": st.booleans(),
    "autostart_order": st.integers(0, 99),
    "restart_policy": st.sampled_from(["never", "if_changed"]),
    "stop_timeout": st.integers(1, 90),
    "on_reboot": st.sampled_from(["restart", "stop"]),
    "on_crash": st.sampled_from(["restart", "stop"]),
    "keep_generations": st.integers(1, 4),
    "limits": st.fixed_dictionaries({}, optional={"cpu_quota": st.integers(1, 400), "memory_max": st.just("4G")}),
    "ready": st.fixed_dictionaries({"timeout": st.integers(1, 99)}),
}
declarations = st.fixed_dictionaries({"name": st.just("vm"), "kernel": st.just("/boot/vmlinuz")}, optional=EDITS)
states = st.sampled_from(["started", "stopped", "present"])


@settings(max_examples=200)
@given(st.lists(st.tuples(declarations, states), min_size=1, max_size=5))
def test_a_second_run_changes_nothing(edits: list[tuple[dict[str, Any], str]]) -> None:
    observed = Observed("vm", state_directory="/s", has_account=False)
    for raw, state in edits:
        wanted = want(raw, state)
        try:
            planned = plan(observed, wanted, "vms[0]")
        except DeclarationError as refusal:
            # A volume that would shrink, or another user for what may not restart: nothing has changed.
            assert refusal.path.endswith((".size", ".isolation"))
            continue
        package = wanted.package.directory_name if wanted.package else None
        was_running, before = observed.unit.running, observed
        observed = carried_out(observed, wanted, planned)
        assert observed.current == package
        assert not plan(observed, wanted, "vms[0]").changed
        assert plan(observed, wanted, "vms[0]").restart_pending == planned.restart_pending
        assert observed.unit.running == (state == "started" or (state == "present" and was_running))
        assert planned.changed == (observed != before)
        disturbed = planned.consequence in ("restart", "stop")
        assert not disturbed or was_running
        if raw.get("restart_policy") == "never" and state != "stopped":
            assert not disturbed
        assert {observed.current, observed.old, observed.booted} - {None} <= set(observed.packages)


@settings(max_examples=40)
@given(st.lists(st.tuples(declarations, states), min_size=1, max_size=4))
def test_the_model_of_a_host_agrees_with_the_executor(edits: list[tuple[dict[str, Any], str]]) -> None:
    """The properties above hold for the model, and the model for the real handlers, on a fake of ``host/``."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        fake = install(FakeHost(Path(directory)), patch)
        for raw, state in edits:
            wanted = want({**raw, "shares": []}, state)
            before = observe(fake.places, [wanted]).vms["vm"]
            try:
                planned = plan(before, wanted, "vms[0]")
            except DeclarationError:
                continue
            outcomes = execute([Job(planned, fake.places)], HANDLERS)
            assert (outcomes["vm"].error, tuple(outcomes["vm"].done)) == (None, planned.steps)
            assert comparable(observe(fake.places, [wanted]).vms["vm"]) == comparable(
                carried_out(before, wanted, planned)
            )


def comparable(observed: Observed) -> Observed:
    """Leave out what the model does not follow: the names in a state directory, and systemd's own words."""
    unit = replace(observed.unit, load_state="", sub_state="", stale=False, invocation="")
    return replace(observed, entries=(), unit=replace(unit, unit_file_state=unit.unit_file_state or "disabled"))
