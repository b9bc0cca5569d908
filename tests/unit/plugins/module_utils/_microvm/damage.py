# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ways in which a file of a host may be damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def clear(path: Path) -> None:
    """Remove whatever is at a path."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def written(content: bytes) -> Damage:
    """Return the damage that replaces the content."""

    def damage(path: Path) -> None:
        clear(path)
        path.write_bytes(content)

    return damage


def _directory(path: Path) -> None:
    clear(path)
    path.mkdir()


def _fifo(path: Path) -> None:
    clear(path)
    os.mkfifo(path)


def _link_to_itself(path: Path) -> None:
    clear(path)
    path.symlink_to(path.name)


def _device(path: Path) -> None:
    clear(path)
    path.symlink_to("/dev/zero")


def _half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


ANY_FILE: dict[str, Damage] = {
    "empty": written(b""),
    "zeros": written(b"\0" * 4096),
    "not UTF-8": written(b'{"name": "\xff\xfe"}'),
    "a directory": _directory,
    "a FIFO": _fifo,
    "a device": _device,
    "a link to itself": _link_to_itself,
}
"""Damage that no text file has."""

JSON_FILE: dict[str, Damage] = {
    **ANY_FILE,
    "a brace": written(b"{"),
    "null": written(b"null"),
    "a list": written(b"[]"),
    "a string": written(b'"web"'),
    "a number": written(b"1e400"),
    "no JSON": written(b"<html>"),
    "two values": written(b"{}{}"),
    "deep": written(b"[" * 200_000),
    "digits": written(b"9" * 10_000),
    "no keys": written(b"{}"),
    "half of it": _half,
}
"""Damage that no JSON file of ours has."""


def changed(**values: object) -> Damage:
    """Return the damage that gives keys of a JSON file other values."""

    def damage(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return damage
