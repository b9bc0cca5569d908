# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preflight of guests that use the host's store of Nix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import closures, nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import MANIFEST, Manifest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import guest_stores
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.expected import Expected
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

TOOL, LACKING = (f"/nix/store/{digit * 32}-tool" for digit in "01")
SHARE = {"tag": "ro-store", "source": "/nix/store", "mount_point": "/nix/.ro-store"}


@pytest.fixture(autouse=True)
def _host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host with Nix, whose store has one path."""
    monkeypatch.setattr(guest_stores, "NIX_STORE", str(tmp_path))
    monkeypatch.setattr(nix, "store_program", lambda: "/usr/bin/nix-store")
    monkeypatch.setattr(closures, "missing_paths", lambda paths: [path for path in paths if path != TOOL])


def check(directory: Path, setup: bool = False, has_nix: bool = True, **declared: Any) -> None:
    (directory / MANIFEST).write_text(Manifest("0" * 32, {}, name="base", nix=has_nix).to_json())
    vm = parse_vm({"name": "web", "image": str(directory), "shares": [SHARE], **declared})
    guest_stores.check_guest_stores([("vms[0]", vm)], Expected(setup=setup))


def test_paths_that_the_host_has_are_accepted(tmp_path: Path) -> None:
    check(tmp_path, store_paths=[TOOL], writable_store_overlay="/nix/.rw-store")
    check(tmp_path, has_nix=False)


def test_a_path_that_the_host_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DeclarationError, match=r"^vms\[0\]\.store_paths: /nix/store/1+-tool is not in the store of this"
    ):
        check(tmp_path, store_paths=[TOOL, LACKING])


def test_the_store_is_looked_at_once_for_all_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MANIFEST).write_text(Manifest("0" * 32, {}, name="base", nix=True).to_json())
    looks: list[list[str]] = []

    def missing(paths: list[str]) -> list[str]:
        looks.append(paths)
        return [LACKING]

    monkeypatch.setattr(closures, "missing_paths", missing)
    guest = {"image": str(tmp_path), "shares": [SHARE]}
    vms = [
        parse_vm({"name": "plain", "image": str(tmp_path)}),
        parse_vm({"name": "web", **guest, "store_paths": [TOOL]}),
        parse_vm({"name": "db", **guest, "store_paths": [LACKING, TOOL]}),
    ]
    with pytest.raises(DeclarationError, match=r"^vms\[2\]\.store_paths: /nix/store/1"):
        guest_stores.check_guest_stores([(f"vms[{index}]", vm) for index, vm in enumerate(vms)], Expected())
    assert looks == [[TOOL, LACKING, TOOL]]


@pytest.mark.parametrize("declared", [{"store_paths": [TOOL]}, {"writable_store_overlay": "/nix/.rw-store"}])
def test_an_image_without_nix_is_refused(tmp_path: Path, declared: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="the image 'base' has no Nix"):
        check(tmp_path, has_nix=False, **declared)


def test_a_host_without_nix_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nix, "store_program", lambda: None)
    with pytest.raises(DeclarationError, match="Nix is not installed on this host"):
        check(tmp_path, store_paths=[TOOL])
    monkeypatch.setattr(guest_stores, "NIX_STORE", str(tmp_path / "store"))
    with pytest.raises(DeclarationError, match="this host has no /"):
        check(tmp_path, writable_store_overlay="/nix/.rw-store")
    # The run's own role may bring it.
    check(tmp_path, setup=True, writable_store_overlay="/nix/.rw-store")
