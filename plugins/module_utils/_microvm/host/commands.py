# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs programs of the host."""

from __future__ import annotations

import os
import subprocess
from typing import Optional, Sequence

SHOWN_CHARACTERS, SHOWN_LINES = 200, 30
"""Limits of a failed command and of its last words in a message; a build's command line alone would fill a screen."""


class HostError(Exception):
    """Failure of the host; the message says what was tried and what came of it."""


def run(argv: Sequence[str], timeout: Optional[float] = 300, directory: Optional[str] = None) -> str:
    """Standard output of a command, which is run in ``directory``.

    Raises HostError when it fails or takes longer than ``timeout`` seconds.
    """
    # Messages that are parsed or shown are the same everywhere.
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": search_path()}
    try:
        result = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env=environment,
            cwd=directory,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(f"{argv[0]} is not installed on this host") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"`{_shown(argv)}` took longer than {error.timeout:.0f} s") from error
    if result.returncode != 0:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        reason = "\n".join(lines[-SHOWN_LINES:]) or f"exit status {result.returncode}"
        raise HostError(f"`{_shown(argv)}` failed: {reason}")
    return result.stdout.decode(errors="replace")


def search_path() -> str:
    """PATH with the directories of root's programs, which root lacks who became it by su(1), and of daemons."""
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/libexec"


def _shown(argv: Sequence[str]) -> str:
    """A command as far as a message has room for it."""
    text = " ".join(argv)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"
