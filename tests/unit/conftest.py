# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets ``ansible_collections.microvm.fleet`` be imported from a checkout, wherever it is."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = ROOT / ".tree" / "ansible_collections" / "microvm"


def is_importable() -> bool:
    """Return whether a tree already exists: ansible-test makes its own."""
    try:
        return importlib.util.find_spec("ansible_collections.microvm.fleet") is not None
    except ModuleNotFoundError:
        return False


def make_importable() -> None:
    """Make the tree of links that ``make tree`` makes, and import from it."""
    NAMESPACE.mkdir(parents=True, exist_ok=True)
    link = NAMESPACE / "fleet"
    if not link.exists():
        link.symlink_to("../../..")
    sys.path.insert(0, str(NAMESPACE.parent.parent))


if not is_importable():
    make_importable()
