# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A terminal that passes every key on, and is as before when that ends, however it ends."""

from __future__ import annotations

import contextlib
import signal
import sys
import termios
import tty
from types import FrameType
from typing import Iterator, Optional

DETACH = b"\x1d"
"""Ctrl-]."""

RESET = "\033[0m" + "".join(f"\033[?{mode}l" for mode in (1000, 1002, 1003, 1004, 1006, 1049, 2004)) + "\033[?25h\r\n"
"""Ends a line, a colour, and reports of the mouse and the focus that the guest has left open."""

_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Detached(BaseException):
    """A signal asks for the end."""


def _end(_signal: int, _frame: Optional[FrameType]) -> None:
    raise Detached


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Switch a terminal to raw, and back."""
    before = termios.tcgetattr(descriptor)
    handlers = {number: signal.signal(number, _end) for number in _ENDS}
    try:
        tty.setraw(descriptor)
        yield
    except Detached:
        pass
    finally:
        # What has been typed for the guest, or answered to it, is not for the shell.
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.stdout.write(RESET)
        sys.stdout.flush()
