# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse values that a hypervisor's way of writing options cannot express."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional, Tuple

from ..declaration.vms.parse import Declaration
from ..schema.errors import DeclarationError


def refuse_in(declaration: Declaration, paths: Tuple[str, ...], characters: str, name: str) -> None:
    """Raise DeclarationError for the first value that has one of the characters.

    ``paths`` are those of options (``shares[].tag``); of a mapping, its values are meant.
    """
    for path in paths:
        for key, text in values_at(declaration, path):
            refuse_characters(text or "", characters, key, name)


def values_at(declaration: Mapping[str, Any], path: str) -> Iterator[Tuple[str, Optional[str]]]:
    """Yield the values of an option, with the place of each in the declaration (``shares[0].tag``)."""
    head, _dot, rest = path.partition(".")
    if head.endswith("[]"):
        for index, element in enumerate(declaration[head[:-2]]):
            yield from ((f"{head[:-1]}{index}].{key}", value) for key, value in values_at(element, rest))
    elif rest:
        yield from ((f"{head}.{key}", value) for key, value in values_at(declaration[head], rest))
    elif isinstance(declaration[head], Mapping):
        yield from ((f"{head}.{key}", value) for key, value in declaration[head].items())
    else:
        yield head, declaration[head]


def refuse_characters(text: str, characters: str, key: str, name: str) -> None:
    """Raise DeclarationError for what a hypervisor's way of writing options cannot express."""
    refused = sorted({character for character in text if character in characters})
    if refused:
        listed = " and ".join(repr(character) for character in refused)
        raise DeclarationError(key, f"{name} cannot be passed a value that contains {listed}; use another name")
