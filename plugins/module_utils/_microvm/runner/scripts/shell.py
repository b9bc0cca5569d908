# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts that scripts of packages share: bash, data always quoted, nothing evaluated.

The functions themselves are the files ``*.bash`` of this directory, which ``sources`` has as strings.
"""

from __future__ import annotations

import shlex
from typing import Dict, List, Sequence

from ...hypervisors.words import CredentialFile, Part, TapDevice, Variable, Word
from . import sources

HEADER = "#!/usr/bin/env bash\n# {purpose}\nset -euo pipefail\n"
"""First lines, with `env`, since not every distribution has bash in the same place."""

HOME = "export HOME=$PWD\n"
"""Assignment for a hypervisor that keeps its control socket in its home."""

_DEFINITIONS = {
    Variable.PACKAGE: 'package=$(dirname "$(dirname "$(readlink -f "$0")")")\n',
    Variable.TSC_PARAMETER: f"{sources.TSC_PARAMETER}\ntsc_parameter=$(tsc_parameter)\n",
    Variable.PROCESSORS: "processors=$(nproc)\n",
    Variable.WAYLAND_DISPLAY: 'wayland_display="${XDG_RUNTIME_DIR:-}/${WAYLAND_DISPLAY:-wayland-0}"\n',
}


def header(purpose: str) -> str:
    """Return the first lines. ``purpose`` is a comment: a MicroVM's name has no line break."""
    return HEADER.format(purpose=purpose)


def definitions(words: Sequence[Word]) -> str:
    """Return what defines the variables and functions that the words refer to."""
    parts = {part for word in words for part in word.parts}
    script = "".join(definition for variable, definition in _DEFINITIONS.items() if variable in parts)
    has_credentials = any(isinstance(part, CredentialFile) for part in parts)
    has_macvtaps = any(isinstance(part, TapDevice) for part in parts)
    script += sources.CREDENTIAL_FILE if has_credentials else ""
    return script + (sources.MACVTAP_DEVICE if has_macvtaps else "")


def assignments(**values: str) -> str:
    """Return assignments of literal values to variables."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def call(function: str, *arguments: str) -> str:
    """Return a call of a function or program with literal arguments."""
    return f"{shlex.join([function, *arguments])}\n"


_EXPANSIONS: Dict[Variable, str] = {variable: f'"${{{variable.value}}}"' for variable in Variable}


def quoted(word: Word) -> str:
    """Return the word as the shell reads it back; an empty one too."""
    return "".join(_quoted_part(part) for part in word.parts) or "''"


def _quoted_part(part: Part) -> str:
    if isinstance(part, str):
        return shlex.quote(part) if part else ""
    if isinstance(part, TapDevice):
        return f'"$(macvtap_device {shlex.quote(part.interface)})"'
    if isinstance(part, CredentialFile):
        return f'"$(credential_file {shlex.quote(part.name)} {shlex.quote(part.path)})"'
    return _EXPANSIONS[part]


def readable(word: Word) -> str:
    """Return the word for people and pipelines, with variables by name."""
    return "".join(_readable_part(part) for part in word.parts)


def _readable_part(part: Part) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, CredentialFile):
        return part.path
    return f"/dev/tap$({part.interface})" if isinstance(part, TapDevice) else f"${part.value}"


def lines(argv: Sequence[Word]) -> List[List[Word]]:
    """Return the arguments, with a new line before each option."""
    script: List[List[Word]] = []
    for word in argv:
        option = bool(word.parts) and isinstance(word.parts[0], str) and word.parts[0].startswith("-")
        if option or not script:
            script.append([])
        script[-1].append(word)
    return script


def shell_command(argv: Sequence[Word], indent: str = "    ") -> str:
    """Return a command over several lines, each option on its own."""
    return f" \\\n{indent}".join(" ".join(quoted(word) for word in line) for line in lines(argv))


def command_line(argv: Sequence[Word]) -> str:
    """Return a command for people and for diffs, an option with its value on each line."""
    return "".join(" ".join(readable(word) for word in line) + "\n" for line in lines(argv))


def socat_escape(path: str) -> str:
    """Return a path as socat's address parser reads it back: after a backslash, any character is itself."""
    return "".join(character if character.isalnum() or character in "/._-" else f"\\{character}" for character in path)
