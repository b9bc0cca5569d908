# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the command ``microvm`` into one file that any Python runs, and prints its path. Usage: pack.py [TARGET]

Without a target, the file is in a temporary directory of its own.

PyYAML, which reads the declarations, goes along, without its compiled part. The same sources give the same bytes,
whatever the time zone and the modes of the files here.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

CODE = Path(__file__).resolve().parents[3] / "plugins" / "module_utils" / "_microvm"
MAIN = "import sys\n\nfrom _microvm.cli.main import main\n\nsys.exit(main())\n"
INTERPRETER = b"#!/usr/bin/env python3\n"
TIME = (1980, 1, 1, 0, 0, 0)
"""Where the time of zip archives begins."""


def sources() -> dict[str, bytes]:
    """What goes along, by its name in the archive; Ansible's side (``modules/``) is of no use here."""
    own = {f"_microvm/{path.relative_to(CODE)}": path for path in CODE.rglob("*.py") if path.parent.name != "modules"}
    reader = {f"yaml/{path.name}": path for path in Path(yaml.__file__).parent.glob("*.py")}
    files = {name: path.read_bytes() for name, path in {**own, **reader}.items()}
    return {"__main__.py": MAIN.encode(), **files}


def pack(target: Path) -> None:
    """Write the archive."""
    archive = io.BytesIO(INTERPRETER)
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in sorted(sources().items()):
            entry = zipfile.ZipInfo(name, TIME)
            entry.external_attr = 0o100644 << 16
            zipped.writestr(entry, content, zipfile.ZIP_DEFLATED)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(archive.getvalue())
    target.chmod(0o755)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="microvm-")) / "microvm"
    pack(target)
    print(target)
