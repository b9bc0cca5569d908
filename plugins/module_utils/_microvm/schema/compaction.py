# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shorten declarations for the records of packages: values that are the default are left out.

So a package stays the same when the table gets an option that nobody uses, and a record that another version has made
can be read.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping

from .options import Option, Options


def compact(options: Options, values: Mapping[str, object]) -> Dict[str, object]:
    """Return the values that differ from the defaults."""
    shortened = ((option, _shortened(option, values[option.name])) for option in options)
    return {option.name: value for option, value in shortened if not is_default(option, value)}


def complete(options: Options, record: Mapping[str, object]) -> Dict[str, Any]:
    """Return a record with the defaults filled in; keys that the table does not have are left out."""
    return {option.name: _completed(option, record) for option in options}


def _shortened(option: Option, value: object) -> object:
    if option.suboptions and isinstance(value, (list, tuple)):
        return [compact(option.suboptions, element) for element in value]
    return compact(option.suboptions, value) if option.suboptions and isinstance(value, Mapping) else value


def is_default(option: Option, value: object) -> bool:
    """Return whether a value is the default of an option, or is none."""
    if value is None:
        return option.default is None or not option.nullable
    if option.default is None:
        return value in ([], {}) and not option.nullable
    # Sizes are numbers here, and strings in the table.
    return bool(value == option.default or str(value) == str(option.default))


def _completed(option: Option, record: Mapping[str, object]) -> object:
    value: Any = record.get(option.name, option.default)
    if option.suboptions and option.type == "list":
        return [complete(option.suboptions, element) for element in value or []]
    if option.suboptions:
        return complete(option.suboptions, value or {})
    if value is None:
        return option.empty()
    return option.parsed(value) if option.parsed is not None else value
