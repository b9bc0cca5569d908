# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running other programs, and the one error that the user sees."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


class BedError(Exception):
    """Error that the user can understand and act upon; its message is shown without a traceback."""


def run(*command: str | Path, stdin: str | None = None) -> str:
    """Run ``command`` to its end, with ``stdin`` as its input, and return what it wrote to standard output.

    Raises BedError with the command's own words if it fails.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin or "", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"`{' '.join(words)}` failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


def send_signal(process: int, number: int) -> None:
    """Send a signal to ``process``, which may be gone already."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def delete(path: Path) -> None:
    """Remove ``path`` and all below it, but never anything that is mounted there."""
    run("rm", "-rf", "--one-file-system", path)


def delete_if_empty(paths: Sequence[Path]) -> None:
    """Remove those of the directories ``paths`` that hold nothing."""
    for path in paths:
        try:
            path.rmdir()
        except OSError:
            continue


def write_aside(path: Path, text: str, mode: int = 0o644) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old or the new file, never a part."""
    aside = path.with_name(path.name + ".partial")
    aside.write_text(text, encoding="utf-8")
    aside.chmod(mode)
    aside.rename(path)
