# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machine that runs: QEMU's process with the connections to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .hardware import Machine
from .line import Line
from .monitor import Monitor
from .sockets import connected

BOOT_SECONDS = 600
"""Time limit of one step: half a minute where nothing else runs."""


@contextmanager
def started(
    machine: Machine, state: Path | None, prefix: Sequence[str | Path]
) -> Iterator[tuple[subprocess.Popen[bytes], Line]]:
    """QEMU's process and the serial line: of a machine that boots, or with ``state`` one that was frozen.

    ``prefix`` are the words before QEMU's command. The process is killed if an exception comes out of the block.
    """
    # Writes of a machine that was frozen go to a file without a name in that directory.
    environment = {**os.environ, "TMPDIR": str(machine.directory)}
    process = subprocess.Popen(
        [*prefix, *machine.command(is_frozen=state is not None)], stdin=subprocess.DEVNULL, env=environment
    )
    try:
        with connected(machine.line, process, BOOT_SECONDS) as script_lines:
            if state is not None:
                with monitored(machine.monitor, process) as monitor:
                    monitor.thaw(state)
            yield process, Line(script_lines)
    except BaseException:
        process.kill()
        raise


@contextmanager
def monitored(path: Path, process: subprocess.Popen[bytes] | None = None) -> Iterator[Monitor]:
    """Monitor of a machine that runs, which has one connection at a time; ``process`` is one that has just begun."""
    with connected(path, process, BOOT_SECONDS) as lines:
        yield Monitor(lines)
