# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""console."""

from __future__ import annotations

import os
import select
import sys
import time
from argparse import Namespace
from typing import Optional

from ...host.console import Console
from ...host.deadline import Deadline
from ...operations.lifecycle import require
from ..host import places
from ..output import complain
from ..screen import Screen
from ..terminal import DETACH, raw

POLL_SECONDS = 0.05

BLOCK = 4096
"""Bytes that are taken from the keyboard at once."""

DETACH_SECONDS = 0.5
"""Time limit for the guest to take what was typed before."""

LISTENING_SECONDS = 600.0
"""Time limit of a guest's answers to input that is no terminal's, beside the silence that ends them."""


def console(arguments: Namespace) -> int:
    """``microvm console``."""
    require(arguments.name, places(arguments))
    guest = Console(arguments.name)
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    try:
        if not os.isatty(keyboard):
            Attachment(guest, keyboard, screen, arguments.linger).run()
            return 0
        complain(f"Console of {arguments.name}; Ctrl-] detaches.")
        with raw(keyboard):
            Attachment(guest, keyboard, screen, None).run()
        complain(
            f"{arguments.name} has stopped"
            if guest.has_ended
            else f"detached from {arguments.name}, which keeps running"
        )
    finally:
        guest.close()
    return 0


class Attachment:
    """Copies both ways until the guest ends, or whoever types detaches.

    ``linger`` is for a source that is no terminal: how many seconds of silence end it once all is said.
    """

    def __init__(self, guest: Console, source: int, target: int, linger: Optional[float]) -> None:
        self._guest, self._source, self._target, self._linger = guest, source, target, linger
        self._screen = Screen() if os.isatty(target) else None
        self._waiting = b""
        """Bytes that the guest had no room for yet."""
        self._end: Optional[Deadline] = None
        """Latest end, once nothing more is typed: a guest that never falls silent keeps nobody here."""
        self._last = time.monotonic()

    def run(self) -> None:
        """Copy until the end."""
        while not self._is_done(self._listen()):
            self._speak()

    def _listen(self) -> bool:
        """Return whether the guest has said anything."""
        output = self._guest.log.read()
        if output:
            _write(self._target, self._screen.filter(output) if self._screen else output)
            self._last = time.monotonic()
        return bool(output)

    def _is_done(self, heard: bool) -> bool:
        if self._end is not None and self._end.is_over:
            return True
        if heard:
            return False
        silent = time.monotonic() - self._last > (self._linger or 0)
        return self._guest.has_ended or (self._end is not None and not self._waiting and silent)

    def _speak(self) -> None:
        """Pass on what is typed, for a moment; nothing more is taken while the guest takes nothing."""
        if self._waiting or self._end is not None:
            time.sleep(POLL_SECONDS)
        elif select.select([self._source], [], [], POLL_SECONDS)[0]:
            self._take(os.read(self._source, BLOCK))
        if self._waiting:
            self._waiting = self._guest.write(self._waiting)

    def _take(self, typed: bytes) -> None:
        detaches = self._linger is None and DETACH in typed
        self._waiting = typed.partition(DETACH)[0] if detaches else typed
        if detaches or not typed:
            self._end = Deadline(DETACH_SECONDS if detaches else (self._linger or 0) + LISTENING_SECONDS)
        self._last = time.monotonic()


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
