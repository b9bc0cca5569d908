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
    return imports(SHARED / directory / "all.yml")


def imports(playbook: Path) -> list[str]:
    """Return the playbooks that another one imports, in their order."""
    plays = yaml.safe_load(playbook.read_text(encoding="utf-8"))
    return [play["ansible.builtin.import_playbook"] for play in plays]


@pytest.mark.parametrize("directory", ["fresh", "aspects"])
def test_every_aspect_is_verified_once(directory: str) -> None:
    files = {path.name for path in (SHARED / directory).glob("*.yml")} - {"all.yml", "distribution.yml"}
    assert sorted(imported(directory)) == sorted(files)


def test_the_fleet_is_removed_last() -> None:
    assert imported("aspects")[-1] == "removal_of_all.yml"


def test_a_selection_of_aspects_has_their_order() -> None:
    selected = imports(SHARED / "aspects" / "distribution.yml")
    assert selected == [name for name in imported("aspects") if name in selected]


def test_every_chapter_of_the_story_is_told_once() -> None:
    story = SHARED.parent / "day-two"
    chapters = [f"chapters/{path.name}" for path in (story / "chapters").glob("*.yml")]
    assert sorted(imports(story / "verify.yml")) == sorted(chapters)
