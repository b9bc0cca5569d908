# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that the documentation's examples are accepted as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vms
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ..plugins.module_utils._microvm.examples import KEY

ROOT = Path(__file__).resolve().parents[3]
FLEET = ROOT / "docs" / "examples" / "first-fleet"


def of_the_example(host: str) -> dict[str, Any]:
    """The example's variables of a host, with what a controller would put in."""
    texts = [path.read_text() for path in (FLEET / "group_vars/microvm_hosts.yml", FLEET / "host_vars" / host)]
    subnet = yaml.safe_load(texts[1])["fleet_subnet"]
    text = "\n".join(texts).replace("\n---", "\n").replace("{{ fleet_subnet }}", subnet)
    variables: dict[str, Any] = yaml.safe_load(text.replace('"{{ fleet_authorized_keys }}"', f"[{KEY}]"))
    return variables


def of_the_readme() -> dict[str, Any]:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    variables: dict[str, Any] = yaml.safe_load(block[1].replace("ssh-ed25519 AAAA… you@example", KEY))
    return variables


@pytest.mark.parametrize(
    "variables",
    [of_the_readme(), *(of_the_example(path.name) for path in sorted((FLEET / "host_vars").iterdir()))],
)
def test_an_example_is_accepted(variables: dict[str, Any]) -> None:
    built = [parse_image(image, "x86_64") for image in variables["microvm_images"]]
    images: list[HostImage] = [
        {
            "name": image["name"],
            "path": None,
            "store_disk_type": image["store_disk_type"],
            "kernel_lacks": [],
            "uses_host_key": False,
            "nix": False,
        }
        for image in built
    ]
    bridges = {network["name"] for network in parse_networks(variables["microvm_networks"])}
    defaults = variables.get("microvm_defaults", {})
    # Of what is nested, only `guest` is said in both.
    vms = [{**defaults, **vm, "guest": {**defaults.get("guest", {}), **vm["guest"]}} for vm in variables["microvm_vms"]]
    declarations = parse_vms(vms, images)
    assert {one["bridge"] for vm in declarations for one in vm["interfaces"]} == bridges
    assert all(vm["ready"]["check"] == "ssh" for vm in declarations)
    assert all(render(vm, HostFacts(accel="tcg")).digest for vm in declarations)
