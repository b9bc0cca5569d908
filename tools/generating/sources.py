# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``scripts/sources.py``: shell scripts as Python strings, since Ansible sends modules as Python only.

The leading block of comments of a script (licence, directives of shellcheck) stays behind.
"""

from __future__ import annotations

import re
from pathlib import Path

LEADING_COMMENTS = re.compile(r"(#.*\n)+(?=\n)")

HEAD = '''\
# Written by `make generate` from the shell scripts of this directory.

"""{subject}, as strings; the scripts beside this file are the source."""

from __future__ import annotations
'''

SHELL_SOURCES = (".bash", ".sh")
"""Suffixes of scripts, of bash and of POSIX shells."""


def sources(directory: Path, subject: str) -> str:
    """Return the Python module of the scripts that lie in ``directory``, without its licence."""
    scripts = sorted(path for path in directory.iterdir() if path.suffix in SHELL_SOURCES)
    return HEAD.format(subject=subject) + "".join(_constant(path.stem, body(path)) for path in scripts)


def body(path: Path) -> str:
    """Return a script without its leading comments; it begins with a blank line."""
    text = path.read_text()
    comments = LEADING_COMMENTS.match(text)
    if comments is None:
        raise ValueError(f"{path} does not begin with comments and a blank line")
    return text[comments.end() :]


def _constant(name: str, script: str) -> str:
    if '"""' in script or not script.endswith("\n"):
        raise ValueError(f"{name} cannot be written as a raw string")
    prefix = "r" if "\\" in script else ""
    return f'\n{name.upper().replace("-", "_")} = {prefix}"""{script}"""\n'
