# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shorten declarations for the records of packages: values that are the default are left out.

So a package stays the same when the table gets an option that nobody uses, and a record that another version has made
can be read.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple, Type

from .options import Option, Options


def compact(options: Options, values: Mapping[str, object]) -> Dict[str, object]:
    """Return the values that differ from the defaults."""
    shortened = ((option, _shortened(option, values[option.name])) for option in options)
    return {option.name: value for option, value in shortened if not is_default(option, value)}


def complete(options: Options, record: Mapping[str, object]) -> Dict[str, Any]:
    """Return a record with the defaults filled in; keys that the table does not have are left out."""
    return {option.name: _completed(option, record) for option in options}


def read_record(options: Options, record: object, path: str = "") -> Dict[str, Any]:
    """Return what ``complete`` does of a record that may be damaged. Raises ValueError for what no version writes.

    Keys that the table does not have are those of a newer version, whose types nobody knows here.
    """
    check_record(options, record, path)
    return complete(options, record if isinstance(record, Mapping) else {})


def check_record(options: Options, record: object, path: str = "") -> None:
    """Check the types of a record's values. Raises ValueError with the path of the first one that is wrong."""
    if not isinstance(record, Mapping):
        raise ValueError(f"{path or 'it'} is not a mapping")
    for option in options:
        place = f"{path}.{option.name}" if path else option.name
        value = record.get(option.name)
        if value is not None:
            _check_value(option, value, place)
        elif option.required:
            raise ValueError(f"{place} is missing")


_SCALARS: Mapping[str, Tuple[Type[object], ...]] = {
    "str": (str,),
    "path": (str,),
    "int": (int,),
    "bool": (bool,),
    "raw": (str, int, float, bool),
}
"""Types of JSON by those of options."""


def _check_value(option: Option, value: object, place: str) -> None:
    if option.type == "list":
        value = option.in_list(value)
        if not isinstance(value, list):
            raise ValueError(f"{place} is not a list")
        for index, element in enumerate(value):
            _check_element(option, option.elements or "str", element, f"{place}[{index}]")
    else:
        _check_element(option, option.type, value, place)


def _check_element(option: Option, kind: str, value: object, place: str) -> None:
    if option.suboptions:
        check_record(option.suboptions, value, place)
    elif kind == "dict":
        if not isinstance(value, Mapping):
            raise ValueError(f"{place} is not a mapping")
        for key, element in value.items() if option.values is not None else ():
            _check_scalar((option.values or "raw",), element, f"{place}[{key!r}]")
    else:
        # A parsed value, such as a size, has a type of its own.
        _check_scalar((kind, "int") if option.parsed is not None else (kind,), value, place)


def _check_scalar(kinds: Tuple[str, ...], value: object, place: str) -> None:
    types = tuple(type_ for kind in kinds for type_ in _SCALARS[kind])
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ValueError(f"{place} is not of type {kinds[0]}")
    if isinstance(value, str) and not _is_encodable(value):
        raise ValueError(f"{place} contains a lone surrogate")


def _is_encodable(value: str) -> bool:
    """Return whether a string can be written: JSON can have lone surrogates, which no file can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    return option.parsed(value) if option.parsed is not None else option.in_list(value)
