# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an option table is made of, and what is derived from one.

A table drives the check of user input (``validation.py``), the argument spec of the modules, and, through
``tools/generate.py``, the documentation of modules and roles. Nothing else may repeat an option.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, Optional, Tuple, Union

Check = Callable[[Any], Optional[str]]
"""Looks at a converted value; returns what is wrong with it and what to do, or ``None``."""


LIVE = "live"
"""The MicroVM goes on."""
RESTART = "restart"
"""The MicroVM is started anew."""
RECREATE = "recreate"
"""Only what is made anew has it: an image that exists stays as it is."""


@dataclass(frozen=True)
class Option:
    """One key that users may write.

    ``type`` and ``elements`` are Ansible's names of types (``str``, ``int``, ``bool``, ``path``, ``list``, ``dict``).
    ``suboptions`` describe the keys of a ``dict`` or of each element of a ``list`` of ``dict``.
    ``description`` is Ansible markup, one string for each paragraph. ``values`` is the type of a free mapping's
    values. ``nullable`` tells that ``null`` is not the default but a value of its own. ``cost`` is what a change costs
    a MicroVM that runs.
    """

    name: str
    type: str
    description: Union[str, Tuple[str, ...]]
    default: Any = None
    required: bool = False
    choices: Optional[Tuple[str, ...]] = None
    elements: Optional[str] = None
    suboptions: Tuple[Option, ...] = ()
    values: Optional[str] = None
    check: Optional[Check] = None
    no_log: Optional[bool] = None
    nullable: bool = False
    cost: str = RESTART

    @property
    def paragraphs(self) -> Tuple[str, ...]:
        """The description as a tuple of paragraphs."""
        return (self.description,) if isinstance(self.description, str) else self.description


Options = Tuple[Option, ...]


def walk(options: Options, prefix: str = "") -> Iterator[Tuple[str, Option]]:
    """Every option with its path, such as ``volumes[].image``."""
    for option in options:
        path = f"{prefix}{option.name}"
        yield path, option
        yield from walk(option.suboptions, f"{path}[]." if option.type == "list" else f"{path}.")


def defaults(options: Options) -> Dict[str, Any]:
    """Every default by the option's path."""
    return {path: option.default for path, option in walk(options)}


def argument_spec(options: Options) -> Dict[str, Any]:
    """The table as AnsibleModule's ``argument_spec``."""
    return {option.name: _specification(option) for option in options}


def documentation(options: Options) -> Dict[str, Any]:
    """The table as the ``options`` mapping of a module's documentation or of a role's ``argument_specs``."""
    return {
        option.name: {"description": list(option.paragraphs), **_specification(option, documentation)}
        for option in options
    }


def _specification(option: Option, nested: Callable[[Options], Dict[str, Any]] = argument_spec) -> Dict[str, Any]:
    """What argument spec and documentation have in common; only what is set, as both formats want it."""
    specification: Dict[str, Any] = {"type": option.type}
    if option.elements is not None:
        specification["elements"] = option.elements
    if option.required:
        specification["required"] = True
    if option.default is not None:
        specification["default"] = option.default
    # Ansible would take null for a wrong choice; our own check does not.
    if option.choices is not None and not option.nullable:
        specification["choices"] = list(option.choices)
    if option.no_log is not None and nested is argument_spec:
        specification["no_log"] = option.no_log
    if option.suboptions:
        specification["options" if nested is argument_spec else "suboptions"] = nested(option.suboptions)
    return specification
