# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of hypervisors, which users may have put elsewhere, and programs that several hypervisors need."""

from __future__ import annotations

from typing import Optional

UNBUFFER = "unbuffer"
"""Program of the package expect that gives another one a terminal."""


def program_path(package: Optional[str], name: str) -> str:
    """Return the program for the option ``package``, which is a directory, a program's path or its name."""
    if package is None:
        return name
    package = package.rstrip("/")
    is_program = not package.startswith("/") or package.split("/")[-2] in ("bin", "sbin", "libexec")
    return package if is_program else f"{package}/bin/{name}"
