# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys that hosts give to guests, in declarations and packages."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import HOST_KEY_DIRECTORY
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.unit_filter import problem_of_settings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

OWN = {"credential_files": {"microvm.ssh_host_key": "/root/key"}}
LINE = f"LoadCredential=microvm.ssh_host_key:{HOST_KEY_DIRECTORY}/%i\n"


def image(uses_host_key: bool) -> HostImage:
    return {
        "name": "base",
        "path": "/images/1",
        "store_disk_type": "erofs",
        "kernel_lacks": [],
        "uses_host_key": uses_host_key,
        "nix": False,
    }


@pytest.mark.parametrize(
    ("uses", "declared", "expected"),
    [
        (True, {}, True),
        (False, {}, None),
        (True, {"guest": {"enable": False}}, None),
        (True, {"guest": {"host_key": False}}, False),
        (False, {"guest": {"host_key": True}}, True),
        (True, OWN, None),
        # A key that a guest keeps stays beside that of its host; settings of its own need not look for the latter.
        (True, {"volumes": [{"image": "root.img", "size": 8, "mount_point": "/"}]}, True),
        (True, {"volumes": [{"image": "ssh.img", "size": 8, "mount_point": "/etc/ssh"}]}, None),
        (True, {"shares": [{"source": "/srv/etc", "tag": "etc", "proto": "9p", "mount_point": "/etc"}]}, None),
        (True, {"guest": {"host_key": True}, "volumes": [{"image": "s", "size": 8, "mount_point": "/etc/ssh"}]}, True),
    ],
)
def test_guests_whose_images_use_a_key_are_given_one(
    uses: bool, declared: dict[str, Any], expected: bool | None
) -> None:
    vm = parse_vm({"name": "web", "image": "base", **declared}, [image(uses)])
    assert vm["guest"]["host_key"] is expected


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"guest": {"host_key": True, "enable": False}}, r"guest\.host_key: requires `guest\.enable: true`"),
        ({"guest": {"host_key": True}, **OWN}, r"guest\.host_key: gives the credential microvm\.ssh_host_key"),
    ],
)
def test_a_guest_that_cannot_be_given_a_key_is_refused(declared: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        parse_vm({"name": "web", "image": "base", **declared}, [image(True)])


@pytest.mark.parametrize("hypervisor", ["qemu", "cloud-hypervisor", "firecracker"])
def test_the_package_names_the_key_and_does_not_have_it(hypervisor: str) -> None:
    vm = parse_vm({"name": "web", "image": "base", "hypervisor": hypervisor}, [image(True)])
    package = render(vm, HostFacts())
    settings = package.files["share/microvm/systemd/microvm@.service.conf"].content.decode()
    assert LINE in settings and not [name for name in package.files if "ssh_host_key" in name]
    # Whoever runs the package by hand has no key for the guest, which makes one.
    assert "credential_file microvm.ssh_host_key /dev/null" in package.files["bin/microvm-run"].content.decode()


def test_the_key_is_passed_on_by_packages_that_declare_it_alone() -> None:
    vm, other = (
        parse_vm({"name": "web", "image": "base", "guest": {"host_key": gives}}, [image(True)])
        for gives in (True, False)
    )
    settings = render(vm, HostFacts()).files["share/microvm/systemd/microvm@.service.conf"].content.decode()
    drop_ins = {"microvm@.service": settings}
    assert problem_of_settings(drop_ins, vm, "/p", "web") == ""
    assert "LoadCredential" in problem_of_settings(drop_ins, other, "/p", "web")
