# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check input against an option table: unknown keys, types, choices, values; fill in the defaults.

ansible-core's own validation does the same for modules, but its messages do not say which element of a list is wrong,
and this layer must also run where there is no Ansible (``microvm validate``).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .errors import DeclarationError
from .options import Option, Options
from .suggestions import suggestion

ELSEWHERE = {
    "balloon_mem": "this option has been removed from microvm.nix; set `balloon: true`, and `initial_balloon_mem` to "
    "reclaim memory when the guest starts",
}
"""Options that users may know from elsewhere, and what to write instead."""


Validated = Dict[str, Any]
"""Converted values by the names of all options. Parsing gives it its type, see ``declaration/types.py``."""


def validate(options: Options, raw: object, path: str) -> Validated:
    """Return ``raw`` with converted values and with the defaults filled in.

    Absent lists, and mappings of strings, are empty; other options without a default become ``None``. Where ``null``
    is a value of its own, so is the empty string, which Ansible makes of it.

    Raises DeclarationError, whose path begins with ``path``, for the first thing that is wrong.
    """
    if not isinstance(raw, Mapping):
        raise DeclarationError(path, f"must be a mapping of options, not {_describe(raw)}")
    names = {option.name for option in options} if raw else frozenset()
    for key in raw:
        if key not in names:
            raise DeclarationError(_join(path, str(key)), _unknown(str(key), [option.name for option in options]))
    values = _absent(options, path)
    for option in options:
        if option.required or option.name in raw:
            values[option.name] = _written(option, raw.get(option.name), _join(path, option.name))
    return values


def _written(option: Option, value: object, path: str) -> object:
    """Return the value of an option that somebody wrote, or must write."""
    if option.nullable and value in (None, ""):
        return None
    return _default(option, path) if value is None and not option.required else _value(option, value, path)


_MOST_TABLES = 1000
_ABSENT: Dict[int, Tuple[Options, Validated]] = {}
"""Values of tables of which nobody wrote an option, by the tables' identities, which stay theirs while they are here.
Most options are absent in each of many MicroVMs."""


def _absent(options: Options, path: str) -> Validated:
    """Return the values of options that nobody wrote, which the caller may change."""
    if id(options) not in _ABSENT:
        values = {
            option.name: None if option.required else _default(option, _join(path, option.name)) for option in options
        }
        if len(_ABSENT) >= _MOST_TABLES:
            _ABSENT.clear()
        _ABSENT[id(options)] = options, values
    return {name: _copied(value) for name, value in _ABSENT[id(options)][1].items()}


def _default(option: Option, path: str) -> object:
    if option.default is not None:
        return _value(option, option.default, path)
    return validate(option.suboptions, {}, path) if option.is_always_there else option.empty()


def _copied(value: object) -> object:
    """Return a value whose mappings and lists are nobody else's."""
    if isinstance(value, dict):
        return {key: _copied(element) for key, element in value.items()}
    return [_copied(element) for element in value] if isinstance(value, list) else value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _unknown(key: str, names: List[str]) -> str:
    if key in ELSEWHERE:
        return ELSEWHERE[key]
    return f"unknown option; {suggestion(key, names) or 'valid options are: ' + ', '.join(sorted(names))}"


def _value(option: Option, value: object, path: str) -> object:
    if value is None:
        raise DeclarationError(path, "is required")
    converted = _convert(option, value, path)
    if option.choices is not None and converted not in option.choices:
        raise DeclarationError(path, f"{converted!r} is not one of {', '.join(option.choices)}")
    _apply_check(option, converted, path)
    return converted if option.parsed is None else option.parsed(converted)


def _apply_check(option: Option, value: Any, path: str) -> None:
    if option.check is None:
        return
    if option.type == "list" and not option.suboptions:
        for index, element in enumerate(value):
            _refuse(option.check(element), f"{path}[{index}]")
    elif option.values is not None:
        for key, element in value.items():
            _refuse(option.check((key, element)), f"{path}.{key}")
    else:
        _refuse(option.check(value), path)


def _refuse(problem: Optional[str], path: str) -> None:
    if problem:
        raise DeclarationError(path, problem)


def _convert(option: Option, value: object, path: str) -> object:
    if option.type == "list":
        elements = _elements(option, option.in_list(value), path)
        return [_element(option, element, f"{path}[{index}]") for index, element in enumerate(elements)]
    if option.type == "dict":
        if option.suboptions:
            return validate(option.suboptions, value, path)
        if not isinstance(value, Mapping):
            raise DeclarationError(path, f"must be a mapping, not {_describe(value)}")
        return _free_mapping(option, value, path)
    return _SCALARS[option.type](value, path)


def _elements(option: Option, value: object, path: str) -> Sequence[object]:
    if isinstance(value, str) and not option.suboptions:
        _refuse_joined(option, value, path)
        return value.split(",")
    if not isinstance(value, (list, tuple)):
        raise DeclarationError(path, f"must be a list, not {_describe(value)}")
    return value


def _refuse_joined(option: Option, value: str, path: str) -> None:
    """Refuse a string with a comma for a list whose elements may have commas: Ansible would split it.

    Other strings are what they are everywhere in Ansible: lists of one, or of those between the commas.
    """
    if "," in value and (option.check is None or option.check(value) is None):
        raise DeclarationError(
            path,
            f"must be a list, not {_describe(value)}, whose comma may be part of an element or separate two; write "
            f"{[value]}, or {value.split(',')}",
        )


def refuse_joined(options: Options, values: object, path: str) -> None:
    """Refuse strings that Ansible would split; to be called before it does. Raises DeclarationError."""
    if not isinstance(values, Mapping):
        return
    for option in options:
        value, place = values.get(option.name), _join(path, option.name)
        if option.type == "list" and isinstance(value, str) and not option.suboptions:
            _refuse_joined(option, value, place)
        elif option.suboptions and isinstance(value, (list, tuple)):
            for index, element in enumerate(value):
                refuse_joined(option.suboptions, element, f"{place}[{index}]")
        elif option.suboptions:
            refuse_joined(option.suboptions, value, place)


def _plain(value: object, path: str, depth: int = 0) -> None:
    """Refuse what JSON has not: what is written there could not be passed on."""
    if depth > DEEPEST:
        raise DeclarationError(path, f"is nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        for key, element in value.items():
            if not isinstance(key, str):
                raise DeclarationError(path, f"has the key {key!r}, which must be a string; put it in quotes")
            _plain(element, f"{path}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, element in enumerate(value):
            _plain(element, f"{path}[{index}]", depth + 1)
    elif isinstance(value, str):
        _string(value, path)
    elif value is not None and not isinstance(value, (bool, int, float)):
        raise DeclarationError(path, f"must be plain data, not {_describe(value)}; put it in quotes")
    elif isinstance(value, float) and value - value != 0:
        raise DeclarationError(path, f"{value} is not a finite number; write a finite one")


def _free_mapping(option: Option, value: Mapping[object, object], path: str) -> Dict[str, object]:
    _plain(value, path)
    for key, element in value.items():
        if option.values == "str" and not isinstance(element, str):
            raise DeclarationError(f"{path}.{key}", f"must be a string, not {_describe(element)}; put it in quotes")
    return {str(key): element for key, element in value.items()}


def _element(option: Option, value: object, path: str) -> object:
    if option.suboptions:
        return validate(option.suboptions, value, path)
    return _SCALARS[option.elements or "str"](value, path)


def _string(value: object, path: str) -> str:
    # A number is taken as the text that the user wrote (1024 for a size); anything with structure is a mistake.
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise DeclarationError(
                path, "contains a lone surrogate, which UTF-8 cannot encode; correct the string"
            ) from None
        return str(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    advice = "" if value is None or isinstance(value, (Mapping, list, tuple)) else "; put it in quotes"
    raise DeclarationError(path, f"must be a string, not {_describe(value)}{advice}")


def _raw(value: object, path: str) -> object:
    # A number or a text; the option's check tells which.
    if isinstance(value, (Mapping, list, tuple)):
        raise DeclarationError(path, f"must be a single value, not {_describe(value)}")
    return value


def _integer(value: object, path: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        # Templated variables arrive as text.
        try:
            return int(value, 10)
        except ValueError:
            pass
    raise DeclarationError(path, f"must be a whole number, not {_describe(value)}")


DEEPEST = 50
"""Levels of a free mapping."""

_TRUE = ("yes", "on", "true")
_FALSE = ("no", "off", "false")


def _boolean(value: object, path: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    raise DeclarationError(path, f"must be true or false, not {_describe(value)}")


_SCALARS: Dict[str, Callable[[object, str], object]] = {
    "str": _string,
    "path": _string,
    "raw": _raw,
    "int": _integer,
    "bool": _boolean,
}


def _describe(value: object) -> str:
    kinds = {dict: "a mapping", list: "a list", str: "the string", bool: "the boolean", type(None): "nothing"}
    kind = kinds.get(type(value), f"a value of type {type(value).__name__}")
    return f"{kind} {value!r}" if isinstance(value, (str, bool, int, float)) else kind
