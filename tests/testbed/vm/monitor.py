# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's monitor, in its JSON protocol: freezing and thawing."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ..commands import BedError
from .sockets import Lines

MAPPED_RAM = {"capabilities": [{"capability": "mapped-ram", "state": True}]}
"""Pages have fixed places in the file, so that a state is no longer than its memory, and is read at once."""

MIGRATION_SECONDS = 300


class Monitor:
    """Connection to the monitor of a QEMU."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        lines.receive("greeting of QEMU's monitor")
        self.execute("qmp_capabilities")

    def execute(self, command: str, arguments: object = None) -> object:
        """Return what a command returns. Raises BedError with QEMU's words if it fails."""
        request = {"execute": command, **({} if arguments is None else {"arguments": arguments})}
        self._lines.send(json.dumps(request))
        while True:
            answer = json.loads(self._lines.receive(f"answer to {command}"))
            if "error" in answer:
                raise BedError(f"QEMU refuses {command}: {answer['error']['desc']}")
            # Events come between.
            if "return" in answer:
                return answer["return"]

    def freeze(self, state: Path) -> None:
        """Stop the machine, and write its state into a file."""
        self.execute("stop")
        self._migrate("migrate", state)

    def thaw(self, state: Path) -> None:
        """Read the machine's state from a file, and let it go on."""
        self._migrate("migrate-incoming", state)
        self.execute("cont")

    def _migrate(self, command: str, state: Path) -> None:
        self.execute("migrate-set-capabilities", MAPPED_RAM)
        self.execute(command, {"uri": f"file:{state}"})
        end = time.monotonic() + MIGRATION_SECONDS
        while (status := self._migration())["status"] not in ("completed", "failed"):
            if time.monotonic() > end:
                raise BedError(f"{command} of {state} is not complete after {MIGRATION_SECONDS} s: {status}")
            time.sleep(0.02)
        if status["status"] == "failed":
            raise BedError(f"{command} of {state} failed: {status.get('error-desc', 'see the console')}")

    def _migration(self) -> dict[str, object]:
        answer = self.execute("query-migrate")
        return {"status": "none", **(answer if isinstance(answer, dict) else {})}
