# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the elements of lists, which people recognize where a number says nothing: ``vms[7] (web).mem``."""

from __future__ import annotations

import re
from typing import Dict, Mapping

Names = Mapping[str, str]
"""Names of elements by their paths, such as ``vms[7]``."""

_ELEMENT = re.compile(r"(?<![\w.\]])\w*\[[0-9]+\](?! \()")
_MOST = 63
"""Characters of a name that is shown; whatever is longer is no name."""


def element_names(values: Mapping[str, object]) -> Dict[str, str]:
    """Return the names of all elements that have one, of the lists in a mapping."""
    names: Dict[str, str] = {}
    for key, elements in values.items():
        for index, element in enumerate(elements if isinstance(elements, (list, tuple)) else ()):
            name = element.get("name") if isinstance(element, Mapping) else None
            if isinstance(name, str) and 0 < len(name) <= _MOST:
                names[f"{key}[{index}]"] = name
    return names


def with_names(text: str, names: Names) -> str:
    """Return a text in which every path of an element is followed by the element's name."""

    def replacement(match: re.Match[str]) -> str:
        path = match.group()
        return f"{path} ({names[path]})" if path in names else path

    return _ELEMENT.sub(replacement, text)
