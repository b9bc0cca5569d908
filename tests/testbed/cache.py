# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is built once for all beds: directories named by a digest of all that determines them, then only read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import lock
from .commands import delete
from .paths import CACHE


def digest(inputs: object) -> str:
    """Return sixteen hexadecimal digits for ``inputs``, which consist of what JSON has."""
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def ensure(name: str, build: Callable[[Path], None]) -> Path:
    """Return the directory ``name`` of the cache, which ``build`` fills first if no run did it before."""
    final = CACHE / name
    if not final.is_dir():
        with lock.exclusive(CACHE):
            remove_unfinished()
            if not final.is_dir():
                with _aside(final) as partial:
                    build(partial)
    return final


def remove_unfinished() -> None:
    """Delete what killed builds left. The caller holds the lock of the cache, so no build is at work."""
    for path in CACHE.glob("*.partial"):
        delete(path)


def clean() -> None:
    """Delete all that is cached; hosts that run on it must be gone."""
    if CACHE.is_dir():
        with lock.exclusive(CACHE):
            delete(CACHE)


@contextmanager
def _aside(final: Path) -> Iterator[Path]:
    """A directory to work in, which becomes ``final`` if all goes well and nothing if not."""
    partial = final.with_name(final.name + ".partial")
    partial.mkdir()
    try:
        yield partial
        partial.rename(final)
    finally:
        delete(partial)
