# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile declarations of images and networks: shells and parsers read what is accepted as data."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.options import IMAGE_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import (
    ImageDeclaration,
    parse_image,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import GUEST_PORT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.lan import is_lan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.options import NETWORK_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import Network
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.guest_tree import (
    NEEDLESS_DRIVERS,
    content_path,
    mmdebstrap_command,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    NETWORKD_DIRECTORY,
    RULES,
    configuration,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.lan_files import (
    RUNTIME,
    lan_texts,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import LanInterface
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .hostile import Attacker
from .readers import settings_of
from .sandbox import Job, Sandbox
from .test_hostile_declarations import COUNT, SEED

IMAGES = NETWORKS = max(1, COUNT // 4)
HOOK = "--customize-hook="
NETWORK_KEYS = {
    *("Name", "Kind", "Address", "ConfigureWithoutCarrier", "IPv6AcceptRA", "DHCPServer", "RequiredForOnline"),
    *("PoolOffset", "PoolSize", "DNS", "MACAddress", "Unmanaged", "LinkLocalAddressing", "Bridge", "DHCP", "LLMNR"),
    "MulticastDNS",
    *("Domains", "DNSDefaultRoute", "SendOption"),
}


@pytest.fixture(name="sandbox")
def _sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    try:
        yield sandbox
    finally:
        sandbox.remove()


def images() -> list[ImageDeclaration]:
    """Return the images that are accepted."""
    attacker, accepted = Attacker(SEED, {}), []
    for _number in range(IMAGES):
        raw = attacker.declaration(IMAGE_OPTIONS, {"name": "image"})
        try:
            accepted.append(parse_image(raw, "x86_64"))
        except DeclarationError as error:
            assert error.path.startswith("image") and str(error).replace("\n", "").isprintable()
    return accepted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run scripts as user nobody")
def test_hooks_of_image_builds_run_no_character_of_a_declaration(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs, expected = [], {}
    accepted = images()
    for number, image in enumerate(accepted):
        work = sandbox.package(number)
        command = mmdebstrap_command(image, work, None)
        hooks = [word[len(HOOK) :] for word in command if word.startswith(HOOK)]
        scripts = {
            f"bin/hook{index}": f"#!/bin/sh\nset -- /tree\n{hook}\n".encode() for index, hook in enumerate(hooks)
        }
        contents = {os.path.basename(content_path(work, index)): b"" for index, _file in enumerate(image["files"])}
        sandbox.add(number, {**scripts, **contents}, ())
        jobs += [(Job(number, f"hook{index}"), "") for index in range(len(hooks))]
        expected[number] = calls_of(image, work)
    killed = sandbox.run(jobs)
    assert (sandbox.victims(), killed) == ([], [])
    for number, calls in expected.items():
        seen = [call for job, _argument in jobs if job.number == number for call in sandbox.calls(job)]
        assert seen == calls
    with capsys.disabled():
        print(f"\nseed {SEED}: {IMAGES} images tried, {len(accepted)} accepted, {len(jobs)} hooks executed")


def calls_of(image: ImageDeclaration, work: str) -> list[list[str]]:
    """Return the programs that the hooks of a build should call."""
    excludes = [f"--exclude=*/modules/*/kernel/{path}" for path in NEEDLESS_DRIVERS]
    return [
        ["sh", f"{work}/setup", "/tree", image["kernel_package"], str(GUEST_PORT), *excludes],
        *([["sh", f"{work}/setup-nix", "/tree"]] if image["nix"] else []),
        *(["sh", f"{work}/put-file", "/tree", file["path"], file["mode"]] for file in image["files"]),
        *(["chroot", "/tree", "sh", "-c", command] for command in image["commands"]),
        ["sh", f"{work}/clean-up", "/tree"],
    ]


def networks() -> list[Network]:
    """Return the networks that are accepted."""
    addresses = {"address": ("10.9.0.1/24", "10.9.0.7"), "name": ("br0",)}
    attacker, accepted = Attacker(SEED, addresses), []
    for _number in range(NETWORKS):
        raw = attacker.declaration(NETWORK_OPTIONS, {"name": "br0", "address": "10.9.0.1/24"})
        if raw.get("leases"):
            raw["dhcp_server"] = raw.get("dhcp_server", {})
        try:
            accepted += parse_networks([raw])
        except DeclarationError as error:
            assert error.path.startswith("networks") and str(error).replace("\n", "").isprintable()
    return accepted


def test_files_of_networks_have_the_expected_lines(capsys: pytest.CaptureFixture[str]) -> None:
    accepted = networks()
    rules = ""
    for network in accepted:
        lan_files = lan_texts(network, LanInterface("02:00:00:00:00:01")) if is_lan(network) else {}
        files = configuration([network], lan_files=lan_files)
        for path, text in files.items():
            if path.startswith((NETWORKD_DIRECTORY, RUNTIME)):
                settings = settings_of(text)
                assert {setting.key for setting in settings} <= NETWORK_KEYS
        (own,) = (text for path, text in files.items() if path.endswith(f"{network['name']}.network"))
        leases = [setting for setting in settings_of(own) if setting.section == "[DHCPServerStaticLease]"]
        assert [lease.value for lease in leases if lease.key == "Address"] == [
            lease["address"] for lease in network["leases"]
        ]
        rules += files[RULES]
    assert len(accepted) > NETWORKS / 20
    if os.geteuid() == 0 and shutil.which("nft", path="/usr/sbin:/usr/bin"):
        subprocess.run(["nft", "-c", "-f", "-"], input=rules, text=True, check=True, capture_output=True)
    with capsys.disabled():
        print(f"\nseed {SEED}: {NETWORKS} networks tried, {len(accepted)} accepted")
