# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of a store: whole and verified, or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import (
    MANIFEST,
    ImageStore,
    parse_manifest,
)

from ..image_copies import DIGEST, write_image


def test_a_whole_copy_is_installed(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "store"))
    store.install(str(write_image(tmp_path / "staging")), DIGEST)
    assert store.has(DIGEST) and store.names() == [DIGEST]
    assert not (tmp_path / "staging").exists()


@pytest.mark.parametrize("damage", ["a byte", "a file", "the manifest", "another image"])
def test_a_damaged_copy_is_refused(tmp_path: Path, damage: str) -> None:
    staging = write_image(tmp_path / "staging")
    if damage == "a byte":
        (staging / "kernel").write_text("kernem")
    elif damage == "a file":
        (staging / "kernel").unlink()
    elif damage == "the manifest":
        (staging / MANIFEST).unlink()
    wanted = DIGEST[::-1] if damage == "another image" else DIGEST
    store = ImageStore(str(tmp_path / "store"))
    with pytest.raises(HostError):
        store.install(str(staging), wanted)
    assert store.names() == []


@pytest.mark.parametrize("damage", ["no manifest", "no file", "a shorter file", "no JSON", "another image's manifest"])
def test_half_an_image_does_not_count_as_whole(tmp_path: Path, damage: str) -> None:
    image = write_image(tmp_path / DIGEST)
    store = ImageStore(str(tmp_path))
    assert store.has(DIGEST)
    if damage == "no manifest":
        (image / MANIFEST).unlink()
    elif damage == "no file":
        (image / "initrd").unlink()
    elif damage == "a shorter file":
        (image / "root.erofs").write_text("ro")
    elif damage == "no JSON":
        (image / MANIFEST).write_text('{"digest": ')
    else:
        (image / MANIFEST).write_text((image / MANIFEST).read_text().replace(DIGEST, DIGEST[::-1]))
    assert not store.has(DIGEST)
    assert store.names() == [DIGEST]


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = (write_image(tmp_path / "image") / MANIFEST).read_text()
    manifest = parse_manifest(text)
    assert manifest is not None and manifest.to_json() == text
    assert json.loads(text)["format"] == 1
    newer = json.dumps({**json.loads(text), "added_later": True})
    assert parse_manifest(newer) == manifest


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"digest": "x"}', '{"files": []}', '{"digest": "x", "files": {"a": 1}}']
)
def test_other_content_is_no_manifest(text: str) -> None:
    assert parse_manifest(text) is None
