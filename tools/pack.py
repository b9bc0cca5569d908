# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the command as role ``host`` does: into ``dist/microvm``, or the path that is given."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> None:
    """Pack, say where."""
    target = Path(arguments[0]) if arguments else ROOT / "dist" / "microvm"
    runpy.run_path(str(ROOT / "roles" / "host" / "files" / "pack.py"))["pack"](target)
    print(f"wrote {target}")


if __name__ == "__main__":
    main(sys.argv[1:])
