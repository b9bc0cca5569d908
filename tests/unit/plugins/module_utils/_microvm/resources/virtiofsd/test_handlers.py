# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sources of shares exist with their owner and mode, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.virtiofsd.parse import (
    parse_host_shares,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.virtiofsd.handlers import (
    HANDLERS,
    ShareJob,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.virtiofsd.plan import Action, Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.virtiofsd.state import UserNumbers


def create(source: Path) -> None:
    """Carry out the step that creates a source."""
    share = parse_host_shares([{"name": "media", "source": str(source), "source_mode": "0710"}])[0]
    owner = UserNumbers(os.getuid(), os.getgid())
    HANDLERS.single[Action.CREATE_SOURCE](ShareJob(Plan(share, (), owner=owner)), str(source))


def test_a_run_that_is_killed_leaves_no_source_without_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(_directory: int, _mode: int) -> None:
        raise KeyboardInterrupt

    source = tmp_path / "media"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "fchmod", kill)
        patch.setattr(os, "chmod", kill)
        create(source)
    assert not source.exists()
    create(source)
    assert source.stat().st_mode & 0o777 == 0o710
    assert os.listdir(tmp_path) == ["media"]
