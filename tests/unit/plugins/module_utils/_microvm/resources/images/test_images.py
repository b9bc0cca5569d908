# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images: the digest that names them, and what goes into them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images import guest_tree, initrd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.digest import digest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

IMAGE: dict[str, Any] = {"name": "base"}


def test_the_digest_is_of_all_that_determines_the_image() -> None:
    files = [{"path": "/etc/motd", "content": "hello"}]
    others: list[dict[str, Any]] = [
        {"suite": "bookworm"},
        {"packages": ["nginx-light"]},
        {"files": files},
        {"files": [{**files[0], "content": "hallo"}]},
        {"files": [{**files[0], "mode": "0600"}]},
        {"commands": ["true"]},
        {"store_disk_type": "squashfs"},
        {"mirrors": ["https://mirror.example/debian"]},
    ]
    digests = [digest(parse_image({**IMAGE, **other}, "x86_64")) for other in [{}, *others]]
    assert len(set(digests)) == len(digests)
    assert digest(parse_image({"name": "another name"[:7]}, "x86_64")) == digests[0]


@pytest.mark.parametrize(
    ("option", "path"),
    [
        ({"suite": "potato"}, "image.suite"),
        ({"packages": ["Not A Package"]}, "image.packages[0]"),
        ({"files": [{"path": "relative", "content": ""}]}, "image.files[0].path"),
        ({"files": [{"path": "/a/../../etc/x", "content": ""}]}, "image.files[0].path"),
        ({"files": [{"path": "/a/", "content": ""}]}, "image.files[0].path"),
        # YAML reads 0644 without quotes as the number 420.
        ({"files": [{"path": "/a", "content": "", "mode": 420}]}, "image.files[0].mode"),
        ({"files": [{"path": "/a", "content": "", "mode": "rw"}]}, "image.files[0].mode"),
        ({"mirrors": ["--option"]}, "image.mirrors[0]"),
    ],
)
def test_bad_input_is_refused_with_its_path(option: dict[str, Any], path: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_image({**IMAGE, **option}, "x86_64")
    assert refusal.value.path == path


def test_mmdebstrap_gets_suite_packages_and_mirrors() -> None:
    declaration = parse_image(
        {**IMAGE, "packages": ["nginx-light"], "mirrors": ["https://mirror.example/debian"]}, "x86_64"
    )
    declaration["files"] = [{"path": "/etc/a b", "content": "", "mode": "0600"}]
    command = guest_tree.mmdebstrap_command(declaration, "/wo rk", None)
    included = next(word for word in command if word.startswith("--include=")).split("=")[1].split(",")
    assert {"systemd", "openssh-server", "nginx-light"} <= set(included)
    assert command[-3:] == ["trixie", "/wo rk/tree", "https://mirror.example/debian"]
    assert "--customize-hook=sh '/wo rk/put-file' \"$1\" '/etc/a b' 0600 < '/wo rk/file-0'" in command
    assert any("sh '/wo rk/setup' \"$1\" linux-image-" in word for word in command)


def test_modules_come_with_all_that_they_need() -> None:
    dependencies = initrd.parse_dependencies("kernel/a-b.ko.xz: kernel/c.ko\nkernel/c.ko:\nkernel/d.ko:\n")
    assert initrd.closure(dependencies, ["a_b", "built_in"]) == ["kernel/a-b.ko.xz", "kernel/c.ko"]
