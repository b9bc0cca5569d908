# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mounts of this mount namespace, read from the kernel."""

from __future__ import annotations

from pathlib import Path

from .commands import run


def below(directory: Path) -> list[Path]:
    """Mount points in ``directory`` or deeper, the last mounted first."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [Path(line.split()[4]) for line in lines]
    return [point for point in reversed(points) if point.is_relative_to(directory)]


def unmount_below(directory: Path) -> None:
    """Unmount everything in ``directory``. Lazily, since what still uses a mount can't keep us from leaving it."""
    for point in below(directory):
        run("umount", "--lazy", point)
