# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions of the programs that are installed, and options that they lack."""

from __future__ import annotations

import re
import shutil
from functools import cache
from typing import FrozenSet, Iterable, Optional, Tuple

from .commands import HostError, run, search_path
from .transient import run_confined

PATIENCE = 10.0
"""Seconds for a program to say it."""

_VERSION = re.compile(r"\bv?(\d+(?:\.\d+)+)")
_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")


def installed_version(program: str) -> Optional[Tuple[int, ...]]:
    """Return the version that ``program --version`` prints, such as (10, 0, 13); ``None`` where there is none.

    A program that is declared by its path, and not the host's own, is asked in a sandbox. It is asked once.
    """
    text = _answer(program, "--version")
    return parse_version(text) if text is not None else None


def missing_options(program: str, options: Iterable[str]) -> FrozenSet[str]:
    """Return the options that ``program --help`` does not mention; none of a program that does not answer."""
    wanted = frozenset(options)
    text = _answer(program, "--help") if wanted else None
    return wanted - frozenset(_OPTION.findall(text)) if text else frozenset()


@cache
def _answer(program: str, question: str) -> Optional[str]:
    """Return what a program prints; ``None`` where it is not installed or fails."""
    if shutil.which(program, path=search_path()) is None:
        return None
    try:
        argv = [program, question]
        return run_confined(question.lstrip("-"), argv, PATIENCE).text if "/" in program else run(argv, PATIENCE)
    except HostError:
        return None


def parse_version(text: str) -> Optional[Tuple[int, ...]]:
    """The first thing that looks like a version."""
    match = _VERSION.search(text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else None
