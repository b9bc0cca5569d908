# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the command ``microvm`` into one file that any Python runs: ``dist/microvm``, or the path that is given.

PyYAML, which reads the declarations, goes along, without its compiled part. The same sources give the same bytes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipapp
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
MAIN = "import sys\n\nfrom _microvm.cli.main import main\n\nsys.exit(main())\n"
TIME = 315532800
"""1980, where the time of zip archives begins."""


def pack(target: Path) -> None:
    """Write the archive."""
    with tempfile.TemporaryDirectory() as work:
        stage = Path(work)
        code = ROOT / "plugins" / "module_utils" / "_microvm"
        # Ansible's side is of no use here.
        shutil.copytree(code, stage / "_microvm", ignore=shutil.ignore_patterns("__pycache__", "module.py"))
        for source in sorted(Path(yaml.__file__).parent.glob("*.py")):
            (stage / "yaml").mkdir(exist_ok=True)
            shutil.copy(source, stage / "yaml")
        (stage / "__main__.py").write_text(MAIN)
        for path in stage.rglob("*"):
            os.utime(path, (TIME, TIME))
        target.parent.mkdir(parents=True, exist_ok=True)
        zipapp.create_archive(stage, target, interpreter="/usr/bin/env python3", compressed=True)
    target.chmod(0o755)


if __name__ == "__main__":
    destination = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "microvm"
    pack(destination)
    print(f"wrote {destination}")
