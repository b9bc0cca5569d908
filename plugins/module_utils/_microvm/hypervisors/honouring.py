# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse options that a hypervisor does not honour, naming the hypervisors that honour them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..schema.errors import DeclarationError
from ..schema.options import HYPERVISOR, NAMESAKE, Option, Options, honoured_by, walk
from .profile import Profile, Value

SWITCHES = {"graphics.": "graphics.enable", "deflate_on_oom": "balloon"}
"""Options that have no effect, and need nobody to honour them, while the other option is off."""


@dataclass(frozen=True)
class Setting:
    """Option with a value of a declaration, and its place there (``shares[0].cache``)."""

    option: Option
    path: str
    place: str
    value: object


def refuse(options: Options, declaration: Mapping[str, Any], profiles: Mapping[str, Profile]) -> None:
    """Raise DeclarationError for the first option that the declared hypervisor does not honour."""
    profile = profiles[declaration["hypervisor"]]
    for setting in _settings(options, declaration):
        if not _is_honoured(setting, profile) and _is_switched_on(setting.path, declaration):
            alternatives = supported_by(honouring(setting.option, setting.path, setting.value, profiles.values()))
            raise DeclarationError(setting.place, f"{profile.name} {_shortcoming(setting, profile)}; {alternatives}")


def _shortcoming(setting: Setting, profile: Profile) -> str:
    value = setting.value
    if isinstance(value, bool) and profile.honours.get(setting.path) == (not value,):
        # The value may be the default, which nobody has written.
        return f"supports only `{setting.option.name}: {str(not value).lower()}`, set it so or choose another"
    is_shown = isinstance(value, (str, int)) and not isinstance(value, bool)
    return f"does not support {value!r}" if is_shown else "does not support this option"


def honouring(option: Option, path: str, value: object, profiles: Iterable[Profile]) -> Tuple[str, ...]:
    """Return the names of the hypervisors that honour a value of an option, and whatever it needs to have an effect."""
    setting = Setting(option, path, path, value)
    # Without its switch, an option has no effect with any value.
    switch = SWITCHES.get(path)
    return tuple(
        profile.name
        for profile in profiles
        if _is_honoured(setting, profile) and (switch is None or profile.claims(switch, True))
    )


def supported_by(names: Iterable[str]) -> str:
    """Return the part of a refusal that names the hypervisors which support the option."""
    listed = ", ".join(names)
    return f"supported by: {listed}" if listed else "no hypervisor supports it"


def partly_honoured(options: Options, profiles: Iterable[Profile]) -> Dict[str, Dict[Optional[Value], Tuple[str, ...]]]:
    """Return the options that not all hypervisors honour, by path: names of those that do, by value.

    The value is ``None`` where any value but the default one is meant. Of a list that not all honour, its elements'
    options are left out.
    """
    listed, owners = list(profiles), honoured_by(options)
    support: Dict[str, Dict[Optional[Value], Tuple[str, ...]]] = {}
    for path, option in walk(options):
        by_value = _support(option, path, listed) if owners[path] == HYPERVISOR else {}
        if by_value and not any(path.startswith(f"{other}[].") for other in support):
            support[path] = by_value
    return support


def _support(option: Option, path: str, profiles: List[Profile]) -> Dict[Optional[Value], Tuple[str, ...]]:
    if option.suboptions and option.type != "list":
        return {}
    if option.choices is None and option.type != "bool":
        names = tuple(profile.name for profile in profiles if path in profile.honours)
        return {None: names} if len(names) < len(profiles) else {}
    by_value = {value: honouring(option, path, value, profiles) for value in option.choices or (True, False)}
    partly: Dict[Optional[Value], Tuple[str, ...]] = {
        value: names for value, names in by_value.items() if len(names) < len(profiles)
    }
    if option.default is False:
        return {None: partly[True]} if partly else {}
    alternatives = {value for value in by_value if value != option.default}
    is_alike = len(alternatives) > 1 and set(partly) == alternatives and len(set(partly.values())) == 1
    return {None: next(iter(partly.values()))} if is_alike else partly


def _is_honoured(setting: Setting, profile: Profile) -> bool:
    values = profile.honours.get(setting.path, ())
    if setting.path in profile.honours:
        return values is None or setting.value in (None, *values)
    return not _is_set(setting.option, setting.value)


def _is_set(option: Option, value: object) -> bool:
    """Return whether a value is another one than the default."""
    if isinstance(option.default, bool):
        return bool(value != option.default)
    return bool(value) and str(value) != str(option.default)


def _is_switched_on(path: str, declaration: Mapping[str, Any]) -> bool:
    for prefix, switch in SWITCHES.items():
        if path.startswith(prefix):
            value: Any = declaration
            for part in switch.split("."):
                value = value[part]
            return bool(value)
    return True


def _settings(
    options: Options, values: Mapping[str, Any], owner: str = HYPERVISOR, path: str = "", place: str = ""
) -> Iterator[Setting]:
    """Yield the settings that a hypervisor must honour, a list before its elements."""
    for option in options:
        if option.honoured_by == NAMESAKE:
            continue
        value, own = values[option.name], option.honoured_by or owner
        full_path, full_place = f"{path}{option.name}", f"{place}{option.name}"
        is_list = option.type == "list"
        if own == HYPERVISOR and (is_list or not option.suboptions):
            yield Setting(option, full_path, full_place, value)
        if option.suboptions and is_list:
            for index, element in enumerate(value):
                yield from _settings(option.suboptions, element, own, f"{full_path}[].", f"{full_place}[{index}].")
        elif option.suboptions and value:
            yield from _settings(option.suboptions, value, own, f"{full_path}.", f"{full_place}.")
