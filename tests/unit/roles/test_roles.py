# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what roles, modules and the test bed must agree on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.plugins.filter.core import to_bool
from ansible_collections.microvm.fleet.plugins.filter.host_packages import FilterModule
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.programs import DEBIAN_PACKAGES
from jinja2 import Environment

ROOT = Path(__file__).resolve().parents[3]
NOT_OFFERED = {"acl", "netcat-openbsd", "qemu-system-arm", "systemd-container", "openssh-client"}
"""Packages for options that no MicroVM of a test has, and one that every host of the test bed has."""
ROLES = ("host", "network", "images", "vms")


def load(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "roles" / path).read_text()))


def installed_by_roles() -> set[str]:
    fixed = set(re.findall(r"\['([a-z0-9.+', -]+)'\]", load("host/vars/main/main.yml")["__microvm_packages_needed"]))
    return {name.strip(" '") for group in fixed for name in group.split(",")} | set(DEBIAN_PACKAGES.values())


def offered(file: str, first: str, last: str) -> set[str]:
    """Return the strings in the code of the test bed from the assignment of one constant to the end of another one."""
    text = re.search(
        rf"^{first} = .*?^{last} = .*?^\S*$", (ROOT / "tests/testbed" / file).read_text(), re.DOTALL | re.MULTILINE
    )
    assert text is not None
    return set(re.findall(r'"([^" ]+)"', text[0]))


def test_the_test_bed_has_every_package_that_roles_install() -> None:
    packages = installed_by_roles()
    assert packages >= {"socat", "qemu-system-x86", "nftables", "virtiofsd"}
    containers = offered("trees.py", "BASE_PACKAGES", "SUITE_PACKAGES")
    assert packages - NOT_OFFERED <= containers
    # Virtual machines have no source of packages, and can run what containers cannot.
    assert packages - {"qemu-system-arm"} <= containers | offered("vm/base.py", "SUITE", "MACHINE_PACKAGES")


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_that_are_documented(role: str) -> None:
    documented = load(f"{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    for name, value in load(f"{role}/defaults/main.yml").items():
        assert name in documented, f"{name} is not documented"
        assert documented[name].get("default", []) == value


def test_paths_and_accounts_are_those_of_the_modules() -> None:
    # Unless it is set, role vms takes that of the host: no role has a default that would hide it.
    assert [role for role in ROLES if "microvm_state_dir" in load(f"{role}/defaults/main.yml")] == []
    for role in ("host", "images"):
        assert load(f"{role}/defaults/main.yml")["microvm_image_store"] == names.IMAGE_STORE
    assert f"dest: {names.COMMAND}\n" in (ROOT / "roles/host/tasks/command.yml").read_text()


def test_images_are_handed_over_with_the_keys_that_modules_read() -> None:
    tasks = yaml.safe_load((ROOT / "roles/images/tasks/main.yml").read_text())
    entries = [task["vars"]["__microvm_entry"] for task in tasks if "__microvm_entry" in task.get("vars", {})]
    assert [set(entry) for entry in entries] == [set(HostImage.__annotations__)]


def test_the_filter_of_role_host_names_packages_and_mistakes() -> None:
    host_packages = FilterModule().filters()["host_packages"]
    assert host_packages([{"name": "a", "kernel": "/k"}], "x86_64", "trixie") == ["qemu-system-x86"]
    with pytest.raises(AnsibleFilterError, match=r"microvm_vms\[0\]\.kernal: unknown option"):
        host_packages([{"name": "a", "kernal": "/k"}], "x86_64", "trixie")


@pytest.mark.parametrize(("text", "is_wanted"), [("true", True), ("yes", True), ("false", False), ("no", False)])
def test_role_host_takes_nix_as_text_as_extra_variables_are(text: str, is_wanted: bool) -> None:
    environment = Environment(autoescape=False)
    environment.filters.update({"bool": to_bool, "microvm.fleet.host_packages": lambda *_arguments: []})
    values: dict[str, Any] = {"microvm_nix": text, "microvm_huge_pages": [], "__microvm_all": [], "ansible_facts": {}}
    values.update(dict.fromkeys(("__microvm_nix_is_set", "__microvm_has_other_nix"), False))
    # Newer versions of Ansible refuse conditions that are no booleans.
    conditions = [
        environment.compile_expression(str(task["when"]))(values)
        for task in tasks(yaml.safe_load((ROOT / "roles/host/tasks/preflight.yml").read_text()))
        if re.search(r"\bmicrovm_nix\b", str(task.get("when")))
    ]
    assert conditions == [is_wanted] * 3
    packages = environment.from_string(load("host/vars/main/main.yml")["__microvm_packages_needed"]).render(values)
    assert ("nix-bin" in packages) == is_wanted


def tasks(data: object) -> Iterator[dict[str, Any]]:
    """Yield all tasks of a file of tasks, or of a playbook, also those in blocks."""
    for task in data if isinstance(data, list) else ():
        yield task
        for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks"):
            yield from tasks(task.get(key))


def test_tasks_on_the_controller_do_not_become_another_user() -> None:
    """A variable of all hosts takes precedence over the keyword, so that only a variable of the task helps."""
    files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml"), *ROOT.glob("playbooks/*.yml")]
    local = [
        (str(path.relative_to(ROOT)), task)
        for path in files
        for task in tasks(yaml.safe_load(path.read_text()))
        if task.get("delegate_to") in ("localhost", "127.0.0.1") or "local_action" in task
    ]
    assert len(local) >= 2
    assert [
        (path, task["name"]) for path, task in local if task.get("vars", {}).get("ansible_become") is not False
    ] == []
