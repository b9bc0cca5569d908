# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How closures differ that are in the stores of two hosts, in the words of `nix store diff-closures`, which knows one
store. Pure."""

from __future__ import annotations

import os
import re
from typing import Dict, Mapping, Tuple

Closure = Mapping[str, int]
"""Sizes of all paths of a closure."""

_OUTPUT = re.compile(r"(.+)-([a-z]+|lib32|lib64)")
"""Name of a path that ends with that of an output."""

_NAME = re.compile(r"(.*?)(?:-(?![A-Za-z])(.+))?", re.DOTALL)
"""Name and version of a package."""

_LEAST_SIZE = 8 * 1024
"""Difference of sizes that is worth a line."""


def closure_difference(before: Closure, after: Closure) -> str:
    """Return which packages differ, a line each: their versions, and the size that they have more or less."""
    old, new = _grouped(before), _grouped(after)
    lines = (_line(name, old.get(name, {}), new.get(name, {})) for name in sorted({*old, *new}))
    return "".join(f"{line}\n" for line in lines if line)


def _grouped(closure: Closure) -> Dict[str, Dict[str, int]]:
    """Return the sizes by names of packages and by versions."""
    groups: Dict[str, Dict[str, int]] = {}
    for path, size in closure.items():
        name, version = _package(os.path.basename(path).partition("-")[2])
        versions = groups.setdefault(name, {})
        versions[version] = versions.get(version, 0) + size
    return groups


def _package(name: str) -> Tuple[str, str]:
    output = _OUTPUT.fullmatch(name)
    match = _NAME.fullmatch(output[1] if output else name)
    return (match[1], match[2] or "") if match else (name, "")


def _line(name: str, old: Mapping[str, int], new: Mapping[str, int]) -> str:
    delta, items = sum(new.values()) - sum(old.values()), []
    if set(old) != set(new):
        items.append(f"{_versions(old, new)} \N{RIGHTWARDS ARROW} {_versions(new, old)}")
    if abs(delta) >= _LEAST_SIZE:
        items.append(f"{delta / 1024:+.1f} KiB")
    return f"{name}: {', '.join(items)}" if items else ""


def _versions(own: Mapping[str, int], other: Mapping[str, int]) -> str:
    return (
        ", ".join(version or "\N{GREEK SMALL LETTER EPSILON}" for version in sorted(set(own) - set(other)))
        or "\N{EMPTY SET}"
    )
