# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all scripts of a package have in common: bash, data always quoted, nothing evaluated."""

from __future__ import annotations

import shlex
from typing import Dict, List, Sequence

from ...hypervisors.interface import CredentialFile, Part, TapDevice, Variable, Word

HEADER = "#!/usr/bin/env bash\n# {purpose}\nset -euo pipefail\n"
"""`env`, since not every distribution has bash in the same place."""

HOME = "export HOME=$PWD\n"
"""For a hypervisor that keeps its control socket in its home."""

_PACKAGE = 'package=$(dirname "$(dirname "$(readlink -f "$0")")")\n'

# A kernel without KVM's clock measures the processor's frequency against a timer, and gets it wrong under load.
# Where the frequency changes, /proc/cpuinfo shows the moment's and only base_frequency is the clock's.
_TSC_PARAMETER = """\
cpufreq=/sys/devices/system/cpu/cpu0/cpufreq
if [ -r "$cpufreq/base_frequency" ]; then
    frequency=$(cat "$cpufreq/base_frequency")
elif [ ! -e "$cpufreq" ] && [ -r /proc/cpuinfo ]; then
    frequency=$(sed -n '/^cpu MHz/{s/[^0-9]//gp;q;}' /proc/cpuinfo)
else
    frequency=
fi
tsc_parameter=${frequency:+ tsc_early_khz=$frequency}
"""

_WAYLAND_DISPLAY = 'wayland_display="${XDG_RUNTIME_DIR:-}/${WAYLAND_DISPLAY:-wayland-0}"\n'

_CREDENTIAL_FILE = """
credential_file() { # name, path
    local copy=${CREDENTIALS_DIRECTORY:-}/$1
    if [ -n "${CREDENTIALS_DIRECTORY:-}" ] && [ -e "$copy" ]; then echo "$copy"; else echo "$2"; fi
}
"""

_DEFINITIONS = {
    Variable.PACKAGE: _PACKAGE,
    Variable.TSC_PARAMETER: _TSC_PARAMETER,
    Variable.PROCESSORS: "processors=$(nproc)\n",
    Variable.WAYLAND_DISPLAY: _WAYLAND_DISPLAY,
}


def header(purpose: str) -> str:
    """The first lines. ``purpose`` is a comment: a MicroVM's name has no line break."""
    return HEADER.format(purpose=purpose)


def definitions(words: Sequence[Word]) -> str:
    """Sets the variables that the words have."""
    used = {part for word in words for part in word.parts if isinstance(part, Variable)}
    text = "".join(text for variable, text in _DEFINITIONS.items() if variable in used)
    has_credentials = any(isinstance(part, CredentialFile) for word in words for part in word.parts)
    return text + (_CREDENTIAL_FILE if has_credentials else "")


_EXPANSIONS: Dict[Variable, str] = {variable: f'"${{{variable.value}}}"' for variable in Variable}


def quoted(word: Word) -> str:
    """The word as the shell reads it back; an empty one too."""
    return "".join(_quoted_part(part) for part in word.parts) or "''"


def _quoted_part(part: Part) -> str:
    if isinstance(part, str):
        return shlex.quote(part) if part else ""
    if isinstance(part, TapDevice):
        return f'"$(tap_device {shlex.quote(part.interface)})"'
    if isinstance(part, CredentialFile):
        return f'"$(credential_file {shlex.quote(part.name)} {shlex.quote(part.path)})"'
    return _EXPANSIONS[part]


def readable(word: Word) -> str:
    """For people and pipelines: variables by name."""
    return "".join(_readable_part(part) for part in word.parts)


def _readable_part(part: Part) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, CredentialFile):
        return part.path
    return f"/dev/tap$({part.interface})" if isinstance(part, TapDevice) else f"${part.value}"


def lines(argv: Sequence[Word]) -> List[List[Word]]:
    """The arguments, with a new line before each option."""
    found: List[List[Word]] = []
    for word in argv:
        option = bool(word.parts) and isinstance(word.parts[0], str) and word.parts[0].startswith("-")
        if option or not found:
            found.append([])
        found[-1].append(word)
    return found


def command(argv: Sequence[Word], indent: str = "    ") -> str:
    """A command over several lines, each option on its own."""
    return f" \\\n{indent}".join(" ".join(quoted(word) for word in line) for line in lines(argv))


def command_line(argv: Sequence[Word]) -> str:
    """For people and for diffs: an option with its value on each line."""
    return "".join(" ".join(readable(word) for word in line) + "\n" for line in lines(argv))


def socat_escape(path: str) -> str:
    """socat's address parser takes a backslash before any character as that character."""
    return "".join(character if character.isalnum() or character in "/._-" else f"\\{character}" for character in path)
