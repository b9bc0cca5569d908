# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``sources.py``: shell scripts and units as Python strings, since Ansible sends modules as Python only.

The leading block of comments of a file (licence, directives of shellcheck) stays behind.
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

MAPPING_HEAD = '''\
# Written by `make generate` from the files of this directory.

"""{subject}, by name; the files beside this one are the source."""

from __future__ import annotations

from typing import Dict

FILES: Dict[str, str] = {{
'''

SHELL_SOURCES = (".bash", ".sh")
"""Suffixes of scripts, of bash and of POSIX shells."""

UNIT_SOURCES = (".service", ".target")
"""Suffixes of systemd's units."""


def sources(directory: Path, subject: str) -> str:
    """Return the Python module of the scripts that lie in ``directory``, without its licence."""
    scripts = sorted(path for path in directory.iterdir() if path.suffix in SHELL_SOURCES)
    return HEAD.format(subject=subject) + "".join(constant(path.stem, body(path)) for path in scripts)


def mapping(directory: Path, subject: str) -> str:
    """Return the Python module of the units, or of the scripts, that lie in ``directory``, without its licence.

    Units are called as their files are, scripts without their suffix.
    """
    paths = sorted(path for path in directory.iterdir() if path.suffix in SHELL_SOURCES + UNIT_SOURCES)
    names = [path.name if path.suffix in UNIT_SOURCES else path.stem for path in paths]
    entries = (f'    "{name}": {_literal(name, body(path))},\n' for name, path in zip(names, paths, strict=True))
    return MAPPING_HEAD.format(subject=subject) + "".join(entries) + "}\n"


def body(path: Path) -> str:
    """Return a file without its leading comments; it begins with a blank line."""
    text = path.read_text()
    comments = LEADING_COMMENTS.match(text)
    if comments is None:
        raise ValueError(f"{path} does not begin with comments and a blank line")
    return text[comments.end() :]


def constant(name: str, content: str) -> str:
    """Return the assignment of a string of whole lines to the constant called ``name``."""
    return f"\n{name.upper().replace('-', '_')} = {_literal(name, content)}\n"


def _literal(name: str, content: str) -> str:
    if '"""' in content or not content.endswith("\n"):
        raise ValueError(f"{name} cannot be written as a raw string")
    prefix = "r" if "\\" in content else ""
    return f'{prefix}"""{content}"""'
