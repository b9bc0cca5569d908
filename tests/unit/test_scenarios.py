# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Molecule scenarios verify every aspect that there is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

SHARED = Path(__file__).parents[2] / "extensions" / "molecule" / "shared"


def imported(directory: str) -> list[str]:
    """Return the playbooks that ``all.yml`` of a directory imports, in their order."""
    plays = yaml.safe_load((SHARED / directory / "all.yml").read_text(encoding="utf-8"))
    return [play["ansible.builtin.import_playbook"] for play in plays]


@pytest.mark.parametrize("directory", ["fresh", "aspects"])
def test_every_aspect_is_verified_once(directory: str) -> None:
    files = {path.name for path in (SHARED / directory).glob("*.yml")} - {"all.yml"}
    assert sorted(imported(directory)) == sorted(files)


def test_the_fleet_is_removed_last() -> None:
    assert imported("aspects")[-1] == "removal_of_all.yml"
