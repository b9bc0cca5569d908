# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runner packages for tests: a fake hypervisor of a few lines, or QEMU with a guest of a hundred bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .host import ROOT, Files
from .paths import STATE

BASH = "#!/usr/bin/env bash\n"
STAY = "exec sleep infinity"

FAKE_QEMU = """\
#!/bin/sh
case "$*" in *-version*) echo "QEMU emulator version 10.0.0"; exit ;; esac
exec sleep infinity
"""

ECHOING = """\
#!/bin/sh
echo "guest {mark} is up"
while read -r line; do
    [ "$line" = poweroff ] && exit 0
    echo "guest {mark} heard $line"
done
"""

# At 0x200 of a kernel as of 1991, in real mode, beyond what QEMU writes into its header: enables the power button, says
# `login: `, and echoes what comes over the serial line; a line break asks for another prompt. `p` powers off, as the
# button does; `r` resets; `f` writes lines for ever.
GUEST = (
    "fafcba0206b80001efbaf803bedc002eac84c07403eeebf7ba0006edf6c401751fbafd03eca80174efbaf803ecee3c70740e"
    "3c7274133c6674153c0a75daebc9ba0406b80020efebf7b0fee664ebfab079b96400eee2fdb00aeeebf36c6f67696e3a2000"
)


def fake(*lines: str, **scripts: str) -> Files:
    """Return a package whose hypervisor is a bash script; keywords are the names of other scripts, with underscores."""
    others = {f"bin/{name.replace('_', '-')}": BASH + text for name, text in scripts.items()}
    return {"bin/microvm-run": BASH + "\n".join(lines) + "\n", **others}


def echoing(mark: str) -> Files:
    """Return a package whose guest echoes lines with a mark until it reads ``poweroff``."""
    return {"bin/microvm-run": ECHOING.format(mark=mark)}


def rendered(directory: Path, declared: Mapping[str, object]) -> Files:
    """Return the package of a declaration, rendered in ``directory``."""
    declaration, target = directory / f"{declared['name']}.json", directory / f"{declared['name']}.package"
    declaration.write_text(json.dumps(declared))
    command: list[str | Path] = [sys.executable, ROOT / "bin/microvm", "render", declaration, "--output", target]
    subprocess.run(command, check=True, timeout=60)
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def tiny(directory: Path, **options: object) -> Files:
    """Return a package for QEMU, rendered in ``directory`` for the MicroVM ``tiny``, and its guest."""
    declared = {"name": "tiny", "hypervisor": "qemu", "mem": 64, "accel": "tcg", "qemu": {"machine": "q35"}, **options}
    files = rendered(directory, {**declared, "kernel": f"{STATE}/tiny/package/guest"})
    code = bytes(0x200) + b"\xeb\x7e" + bytes(0x7E) + bytes.fromhex(GUEST)
    return {**files, "guest": code.ljust(0x2000, b"\0")}
