# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The short forms of microvm.nix's command, as its handbook has them."""

from __future__ import annotations

import getopt
from typing import Dict, List, Sequence

from .parser import DEFAULT_FLAKE

_FORMS = "c:f:uRr:s:l"
_ACTIONS = ("-c", "-u", "-r", "-s", "-l")


def translate(words: Sequence[str]) -> List[str]:
    """Words of the command line with a short form written as a command; any other as they are."""
    if not words or not words[0].startswith("-") or words[0] in ("-h", "-") or words[0].startswith("--"):
        return list(words)
    if words[0] == "-l":
        return ["list", "--evaluate", *words[1:]]
    try:
        pairs, rest = getopt.getopt(list(words), _FORMS)
        if any(option == "-u" for option, _value in pairs):
            # Its flags may follow the names, as others' may not: a command for the guest has flags of its own.
            pairs, rest = getopt.gnu_getopt(list(words), _FORMS)
    except getopt.GetoptError:
        return list(words)
    values = dict(pairs)
    actions = [action for action in _ACTIONS if action in values]
    if len(actions) != 1:
        return list(words)
    return _command(actions[0], values, rest)


def _command(action: str, values: Dict[str, str], rest: List[str]) -> List[str]:
    if action == "-c":
        return ["create", values["-c"], "--flake", values.get("-f", DEFAULT_FLAKE), *rest]
    if action == "-u":
        options = [*(["--restart"] if "-R" in values else []), *(["--flake", values["-f"]] if "-f" in values else [])]
        return ["update", *options, "--", *rest]
    if action == "-l":
        return ["list", "--evaluate", *rest]
    return [{"-r": "run", "-s": "ssh"}[action], values[action], *rest]
