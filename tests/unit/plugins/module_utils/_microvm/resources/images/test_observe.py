# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the observation of a host's images."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import MANIFEST, ImageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.observe import (
    installed_images,
    known_images,
    observe,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.state import Observed

from ...image_copies import DIGEST, write_image


def test_an_image_is_observed_with_its_leftovers(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    assert observe(store, DIGEST) == Observed()
    image = write_image(tmp_path / DIGEST)
    assert observe(store, DIGEST) == Observed(exists=True, is_whole=True)
    (image / "kernel").unlink()
    (tmp_path / f".partial-{DIGEST}").mkdir()
    write_image(tmp_path / f".staging-{DIGEST}")
    write_image(tmp_path / f".staging-{DIGEST[::-1]}")
    assert observe(store, DIGEST) == Observed(
        exists=True, is_whole=False, partial=f".partial-{DIGEST}", staging=f".staging-{DIGEST}"
    )


def test_the_last_whole_image_of_a_name_is_installed(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    for number, (digest, name) in enumerate([("1", "web"), ("2", "web"), ("3", "db"), ("4", "placed"), ("5", "web")]):
        manifest = write_image(tmp_path / digest, digest, name) / MANIFEST
        os.utime(manifest, (number, number))
    (tmp_path / "5" / "kernel").unlink()
    placed: HostImage = {
        "name": "placed",
        "path": "/elsewhere",
        "store_disk_type": "erofs",
        "kernel_lacks": [],
        "uses_host_key": False,
        "nix": False,
    }
    missing: HostImage = {
        "name": "missing",
        "path": None,
        "store_disk_type": "erofs",
        "kernel_lacks": [],
        "uses_host_key": False,
        "nix": False,
    }
    declared: list[HostImage] = [
        placed,
        missing,
        {
            "name": "db",
            "path": None,
            "store_disk_type": "squashfs",
            "kernel_lacks": [],
            "uses_host_key": False,
            "nix": False,
        },
    ]
    images = {image["name"]: image for image in installed_images(declared, store)}
    assert images == {
        "web": {
            "name": "web",
            "path": f"{tmp_path}/2",
            "store_disk_type": "erofs",
            "kernel_lacks": [],
            "uses_host_key": False,
            "nix": False,
        },
        "db": {
            "name": "db",
            "path": f"{tmp_path}/3",
            "store_disk_type": "erofs",
            "kernel_lacks": [],
            "uses_host_key": False,
            "nix": False,
        },
        "placed": placed,
        "missing": missing,
    }


def test_a_run_knows_the_images_that_it_was_given_and_the_others_of_the_host(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    for digest, name in (("1", "web"), ("2", "db")):
        write_image(tmp_path / digest, digest, name)
    # Given without a path: the same run brings it, and it is not the one that the host has.
    given: list[HostImage] = [
        {
            "name": "web",
            "path": None,
            "store_disk_type": "squashfs",
            "kernel_lacks": [],
            "uses_host_key": False,
            "nix": False,
        }
    ]
    db: HostImage = {
        "name": "db",
        "path": f"{tmp_path}/2",
        "store_disk_type": "erofs",
        "kernel_lacks": [],
        "uses_host_key": False,
        "nix": False,
    }
    assert known_images(given, store) == [*given, db]
    assert {image["name"] for image in known_images((), store)} == {"web", "db"}
