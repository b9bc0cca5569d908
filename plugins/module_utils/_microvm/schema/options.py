# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that tables are made of, and what is derived from a table.

A table drives the check of user input (``validation.py``), the argument spec of the modules, and, through
``tools/generate.py``, the documentation of modules and roles. Nothing else may repeat an option.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

Check = Callable[[Any], Optional[str]]
"""Function that returns what is wrong with a converted value and what to do, or ``None``."""

Parse = Callable[[Any], object]
"""Function that makes the parsed value of a checked one, of the type that it is annotated to return."""

LIVE = "live"
"""Cost of a change that a running MicroVM takes over."""
RESTART = "restart"
"""Cost of a change that takes effect with a restart."""
RECREATE = "recreate"
"""Cost of a change that only a new image has: an image that exists stays as it is."""

HYPERVISOR = "hypervisor"
"""Honoured by the hypervisors whose profiles name the option; the others refuse it."""
NAMESAKE = "namesake"
"""Honoured by the hypervisor that the group is named after; it has no effect on others."""
PACKAGE = "package"
"""Honoured by scripts and units, whatever the hypervisor; the same is true of the following values."""
GUEST = "guest"
"""Honoured by the guest."""
HOST = "host"
"""Honoured by the host."""
RECORD = "record"
"""Honoured by nobody: the option is only recorded."""

PLAIN = "plain"
"""Needs no trust: the value names nothing of the host, and nothing there executes it."""
SCRIPT = "script"
"""The value is executed on the host; like the following ones, it is for declarations that are trusted."""
PROGRAM = "program"
"""The value is the place of a program that is executed on the host."""
ARGUMENTS = "arguments"
"""The value is given to a program of the host as it is, which may open files or execute others because of it."""
FILE = "file"
"""The value is the path of a file or directory of the host, or is made of such paths."""
IMAGE = "image"
"""The value is the path of a file of the host that a guest boots from."""
DEVICE = "device"
"""The value gives a device of the host to a guest."""
NETWORK = "network"
"""The value, unless it is the default, connects a guest with an interface, a port or a service of the host."""
BRIDGE = "bridge"
"""The value is the name of a bridge of the host."""
EXTERNAL = "external"
"""The value is the place of a package that somebody else has made, whose scripts are executed."""
UNIT = "unit"
"""The value is the name of a unit of the host, which is started with the MicroVM or before it."""
SANDBOX = "sandbox"
"""The value, unless it is the default, widens the sandbox of a MicroVM."""


@dataclass(frozen=True)
class Option:
    """Key that users may write.

    ``type`` and ``elements`` are Ansible's names of types (``str``, ``int``, ``bool``, ``path``, ``list``, ``dict``).
    ``suboptions`` describe the keys of a ``dict`` or of each element of a ``list`` of ``dict``.
    ``description`` is Ansible markup, one string for each paragraph. ``values`` is the type of a free mapping's
    values. ``nullable`` means that ``null`` is not the default but a value of its own. ``cost`` is what a change costs
    a MicroVM that runs. ``honoured_by`` names who must honour the option; by default it is that of the group, and
    ``HYPERVISOR`` of what is in no group.

    ``trust`` says what a declaration reaches on a host by the option, which restrictions of the host may close. It is
    required for free strings and mappings; other options without it are ``PLAIN``. It holds for suboptions too.

    The rest says what validation and parsing make of a value, which ``declaration/types.py`` is generated from.
    ``parsed`` turns a checked value into another type, such as a size into MiB. ``derived`` means that parsing fills
    the option in where nobody wrote it, so that it is never ``None`` afterwards. ``on_demand`` means that a group which
    nobody wrote is ``None``; other groups are there with the defaults of their suboptions. ``single`` means that the
    only element of a list may be written without the list.
    """

    name: str
    type: str
    description: Union[str, Tuple[str, ...]]
    default: Any = None
    required: bool = False
    choices: Optional[Tuple[str, ...]] = None
    elements: Optional[str] = None
    suboptions: Tuple[Option, ...] = ()
    honoured_by: Optional[str] = None
    values: Optional[str] = None
    check: Optional[Check] = None
    no_log: Optional[bool] = None
    nullable: bool = False
    cost: str = RESTART
    trust: Optional[str] = None
    parsed: Optional[Parse] = None
    derived: bool = False
    on_demand: bool = False
    single: bool = False

    @property
    def paragraphs(self) -> Tuple[str, ...]:
        """Return the description as a tuple of paragraphs."""
        return (self.description,) if isinstance(self.description, str) else self.description

    @property
    def is_group(self) -> bool:
        """Return whether the option is a mapping with options of its own."""
        return self.type == "dict" and bool(self.suboptions)

    @property
    def is_always_there(self) -> bool:
        """Return whether a group that nobody wrote has its defaults: it is neither on demand, nor needs a value."""
        needs_value = any(suboption.required for suboption in self.suboptions)
        return self.is_group and not self.on_demand and not needs_value

    def in_list(self, value: object) -> object:
        """Return a value in a list where it may be written, or was recorded, without one."""
        return [value] if self.single and isinstance(value, str) else value

    def empty(self) -> Optional[Union[List[object], Dict[str, object]]]:
        """Return the value of an option without a default that nobody wrote."""
        if self.nullable:
            return None
        if self.type == "list":
            return []
        return {} if self.values is not None else None


Options = Tuple[Option, ...]
Specification = Dict[str, object]
"""Options as Ansible describes them, in an ``argument_spec`` or in documentation."""


def walk(options: Options, prefix: str = "") -> Iterator[Tuple[str, Option]]:
    """Yield every option with its path, such as ``volumes[].image``."""
    for option in options:
        path = f"{prefix}{option.name}"
        yield path, option
        yield from walk(option.suboptions, f"{path}[]." if option.type == "list" else f"{path}.")


def honoured_by(options: Options, owner: str = HYPERVISOR, prefix: str = "") -> Dict[str, str]:
    """Return who must honour every option, by its path; ``owner`` is that of the group which the options are in."""
    owners: Dict[str, str] = {}
    for option in options:
        path, own = f"{prefix}{option.name}", option.honoured_by or owner
        owners[path] = own
        owners.update(honoured_by(option.suboptions, own, f"{path}[]." if option.type == "list" else f"{path}."))
    return owners


def defaults(options: Options) -> Dict[str, Any]:
    """Return every default by the option's path."""
    return {path: option.default for path, option in walk(options)}


def argument_spec(options: Options) -> Specification:
    """Return the table as AnsibleModule's ``argument_spec``."""
    return {option.name: _specification(option) for option in options}


def documentation(options: Options) -> Specification:
    """Return the table as the ``options`` mapping of a module's documentation or of a role's ``argument_specs``."""
    return {
        option.name: {"description": list(option.paragraphs), **_specification(option, documentation)}
        for option in options
    }


def _specification(option: Option, nested: Callable[[Options], Specification] = argument_spec) -> Specification:
    """Return what argument spec and documentation have in common; only set keys, as both formats want it."""
    specification: Specification = {"type": option.type}
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
