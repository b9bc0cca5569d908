# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers of automatic starts of MicroVMs, as their units count them: systemd forgets its own number (``NRestarts``)
when helper units are restarted together with a service."""

from __future__ import annotations

import contextlib
import os
from typing import Iterable, Optional

from ..declaration.names import RESTART_DIRECTORY, unit_name
from . import files


def count(unit: str) -> int:
    """Return how often a MicroVM's service was started again by itself; 0 for any other unit."""
    path = _path(unit)
    try:
        text = (files.read_text(path) or "").strip() if path else ""
    except files.UnreadableFile:
        return 0
    return int(text) if text.isdigit() and len(text) < 10 else 0


def forget(units: Iterable[str]) -> None:
    """Begin anew with the next start of MicroVMs' services."""
    for path in filter(None, map(_path, units)):
        with contextlib.suppress(OSError):
            os.unlink(path)


def _path(unit: str) -> Optional[str]:
    prefix, _at, instance = unit.partition("@")
    name = instance[: -len(".service")]
    is_service = name and "/" not in name and f"{prefix}@{instance}" == unit_name(name)
    return os.path.join(RESTART_DIRECTORY, name) if is_service else None
