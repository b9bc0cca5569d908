# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs programs of the host."""

from __future__ import annotations

import os
import subprocess
from typing import Dict, Optional, Sequence

from ..schema.excerpts import excerpt, last_lines

SHOWN_CHARACTERS = 200
"""Limit of a failed command in a message; a build's command line alone would fill a screen."""


class HostError(Exception):
    """Failure of the host; the message says what was tried and what came of it."""


def run(argv: Sequence[str], timeout: Optional[float] = 300, directory: Optional[str] = None) -> str:
    """Standard output of a command, which is run in ``directory``.

    Raises HostError when it fails or takes longer than ``timeout`` seconds.
    """
    try:
        result = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env=program_environment(),
            cwd=directory,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(f"{argv[0]} is not installed on this host") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"`{shown_command(argv)}` took longer than {error.timeout:.0f} s") from error
    if result.returncode != 0:
        reason = last_lines(result.stderr.decode(errors="replace")) or f"exit status {result.returncode}"
        raise HostError(f"`{shown_command(argv)}` failed: {reason}")
    return result.stdout.decode(errors="replace")


def search_path() -> str:
    """PATH with the directories of root's programs, which root lacks who became it by su(1), and of daemons."""
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/libexec"


def program_environment() -> Dict[str, str]:
    """Return the environment of programs, in which messages that are parsed or shown are the same everywhere."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "PATH": search_path()}


def shown_command(argv: Sequence[str]) -> str:
    """Return a command as far as a message has room for it."""
    return excerpt(" ".join(argv), SHOWN_CHARACTERS)
