# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings that an image's kernel lacks: of one that is built, as it says; of one that is not, as far as known."""

from __future__ import annotations

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import Manifest, parse_manifest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.kernel_settings import (
    lacking,
    switched_off,
)

MMIO = "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES"
NINE_P = "CONFIG_NET_9P_VIRTIO"


@pytest.mark.parametrize(
    ("configuration", "lacks"),
    [
        (f"{NINE_P}=m\n# {MMIO} is not set\n", (MMIO,)),
        (f"{NINE_P}=y\n{MMIO}=y\n", ()),
        # Names that only begin alike, and values that are neither.
        (f"{MMIO}_TOO=y\n{NINE_P}=n\n", (NINE_P, MMIO)),
        ("", (NINE_P, MMIO)),
    ],
)
def test_settings_are_on_if_they_are_built_in_or_modules(configuration: str, lacks: tuple[str, ...]) -> None:
    assert switched_off(configuration) == lacks


@pytest.mark.parametrize(
    ("package", "lacks"),
    [
        (None, [MMIO]),
        ("linux-image-cloud-amd64", [MMIO, NINE_P]),
        ("linux-image-cloud-arm64", [NINE_P]),
        ("linux-image-arm64", []),
        ("linux-image-6.12-mine", []),
    ],
)
def test_of_an_image_that_is_not_built_only_what_is_known_of_debians_kernels_is_said(
    package: str | None, lacks: list[str]
) -> None:
    declaration = parse_image({"name": "base", **({"kernel_package": package} if package else {})}, "x86_64")
    assert lacking(declaration, None) == lacks
    assert lacking(declaration, ()) == []
    assert lacking(declaration, (NINE_P,)) == [NINE_P]


@pytest.mark.parametrize("lacks", [None, (), (MMIO,)])
def test_a_manifest_keeps_it(lacks: tuple[str, ...] | None) -> None:
    manifest = Manifest("0" * 32, {}, name="base", kernel_lacks=lacks)
    assert parse_manifest(manifest.to_json()) == manifest
