# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Earlier versions of the collection, from the project's history."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .host import ROOT


def unpack(commit: str, collections: Path) -> None:
    """Unpack the collection of a commit where Ansible finds it below a directory; skip the test without history."""
    place = collections / "ansible_collections/microvm/fleet"
    place.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", ROOT, "archive", commit], stdout=subprocess.PIPE, check=False)
    if archive.returncode != 0:
        pytest.skip("this checkout lacks the history of the project, from which an earlier version is taken")
    subprocess.run(["tar", "-x", "-C", place], input=archive.stdout, check=True)
