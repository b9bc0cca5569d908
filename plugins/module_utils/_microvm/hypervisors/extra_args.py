# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take options that users have written as ``extra_args`` apart, to join them with ours."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from ..schema.errors import DeclarationError


def extract(arguments: Sequence[str], options: Sequence[str], key: str) -> Tuple[Dict[str, List[str]], List[str]]:
    """Return the values of each option, and all other arguments.

    Values are written ``--option value`` or ``--option=value``.

    Raises DeclarationError for an option that has no value; ``key`` is where the arguments are declared.
    """
    values: Dict[str, List[str]] = {option: [] for option in options}
    remaining: List[str] = []
    index = 0
    while index < len(arguments):
        name, equals, value = arguments[index].partition("=")
        if name not in values:
            remaining.append(arguments[index])
        elif equals:
            values[name].append(value)
        else:
            index += 1
            if index == len(arguments) or arguments[index].startswith("--"):
                raise DeclarationError(key, f"{name} has no value; write it as the next element, or {name}=VALUE")
            values[name].append(arguments[index])
        index += 1
    return values, remaining


def split_keys(text: str) -> List[Tuple[str, str]]:
    """Split ``a=1,b=[x,y],c="p,q"`` into pairs; a comma in brackets or quotes is part of a value."""
    parts, depth, quoted, start = [], 0, False, 0
    for index, character in enumerate(text):
        quoted ^= character == '"'
        if not quoted:
            depth += (character == "[") - (character == "]")
        if character == "," and not quoted and not depth:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    pairs = (part.partition("=") for part in parts if part)
    return [(name, value) for name, _equals, value in pairs]
