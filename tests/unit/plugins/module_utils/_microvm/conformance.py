# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check while a test runs that values conform to their types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_CONTAINERS = (list, dict)


def violations(value: Any, kind: Any, path: str = "") -> Iterator[str]:
    """Yield the places of a value that are not of a type: a TypedDict, or what can be in one."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Union:
        if all(any(violations(value, argument)) for argument in arguments):
            yield f"{path}: {value!r} is no {kind}"
    elif origin is Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is none of {arguments}"
    elif origin in _CONTAINERS and isinstance(value, origin):
        for key, element in value.items() if origin is dict else enumerate(value):
            yield from violations(element, arguments[-1], f"{path}[{key!r}]")
    elif hasattr(kind, "__required_keys__"):
        yield from _of_keys(value, kind, path) if isinstance(value, dict) else [f"{path}: {value!r} is no mapping"]
    elif origin is not None or not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        yield f"{path}: {value!r} is no {kind}"


def _of_keys(value: dict[str, Any], kind: Any, path: str) -> Iterator[str]:
    hints = get_type_hints(kind)
    missing, unknown = kind.__required_keys__ - set(value), set(value) - set(hints)
    if missing or unknown:
        yield f"{path}: {sorted(missing)} are missing, {sorted(unknown)} are unknown"
    for key in set(hints) & set(value):
        yield from violations(value[key], hints[key], f"{path}.{key}")
