# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making Debian's root trees by mmdebstrap, with the mirrors that it chooses."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from .commands import BedError


def bootstrap(suite: str, root: Path, packages: Sequence[str], options: Sequence[str], log: Path) -> None:
    """Make the tree ``root`` with ``packages``. Raises BedError with the end of the file ``log`` on failure."""
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}"]
    command += [*options, suite, str(root)]
    with log.open("wb") as output:
        done = subprocess.run(
            [*dies_with_us(), *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    if done.returncode != 0:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise BedError(f"mmdebstrap could not build {suite}. Does the machine reach a Debian mirror?\n{end}")


def dies_with_us() -> tuple[str, ...]:
    """A process and mount namespace that ends, with every process and mount in it, when this process does."""
    return ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
