# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Output of the command."""

from __future__ import annotations

import contextlib
import sys

from ..schema.excerpts import without_controls


def say(text: str, has_colours: bool = False) -> None:
    """A line for whoever asked; control characters, but for our own colours, do not reach the terminal."""
    sys.stdout.write(f"{text if has_colours else without_controls(text)}\n")


def complain(text: str) -> None:
    """A line about what is wrong, after all that was said before, also where both go into one file."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.write(f"{without_controls(text)}\n")
