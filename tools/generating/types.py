# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``declaration/types.py``: the types of parsed declarations, from the option tables.

Imports nothing but the tables: all other code of the collection may import types that are yet to be written.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from _microvm.declaration.host_setup.options import HOST_DIRECTORY_OPTIONS, HOST_SETUP_OPTIONS
from _microvm.declaration.images.options import HOST_IMAGE_OPTIONS, IMAGE_OPTIONS
from _microvm.declaration.networks.options import NETWORK_OPTIONS
from _microvm.declaration.taps.options import TAP_OPTIONS
from _microvm.declaration.vfio.options import VFIO_OPTIONS
from _microvm.declaration.virtiofsd.options import HOST_SHARE_OPTIONS
from _microvm.declaration.vms.host_options import HOST_OPTIONS
from _microvm.declaration.vms.hypervisor_options import HYPERVISOR_OPTIONS
from _microvm.declaration.vms.options import PACKAGE_OPTIONS
from _microvm.schema.options import Option, Options

from .headers import HEADER

ROOT = Path(__file__).resolve().parents[2]
TYPES_FILE = ROOT / "plugins" / "module_utils" / "_microvm" / "declaration" / "types.py"

INDENT = "    "
WIDTH = 120
"""Characters of a line, as pyproject.toml has it."""

HEAD = '''
"""Types of parsed declarations: one for each table of options, and for each group of options in it.

Sizes are in MiB. Lists and mappings of strings are never ``None``; other options are ``None`` where nobody wrote
them, unless they have a default or are derived from others.
"""

from __future__ import annotations

from typing import Dict, List, Literal, Optional, TypedDict, Union
'''

SCALARS = {"str": "str", "path": "str", "int": "int", "bool": "bool", "raw": "Union[int, str]"}


@dataclass(frozen=True)
class Table:
    """A table of options and the type that its parsed values have."""

    name: str
    text: str
    """Docstring of the type."""
    options: Options
    prefix: str = ""
    """Begins the names of the types of groups: an image's files are of type ``ImageFile``."""
    base: str = ""
    """Name of a type whose keys this one has beside its own."""
    path: str = ""
    """Begins the options' paths."""


TYPES = (
    Table("PackagedVm", "Options of a MicroVM that determine its package, which records them.", PACKAGE_OPTIONS),
    Table("Vm", "Options of a MicroVM, those for its host included.", HOST_OPTIONS, base="PackagedVm"),
    Table("Network", "Options of a network of a host.", NETWORK_OPTIONS, prefix="Network"),
    Table("HostTap", "Options of a tap or macvtap device of a host.", TAP_OPTIONS, prefix="HostTap"),
    Table("HostDevice", "Options of a device that a host hands over.", VFIO_OPTIONS, prefix="HostDevice"),
    Table("HostShare", "Options of a directory that a host serves by virtiofs.", HOST_SHARE_OPTIONS),
    Table("HostDirectories", "Directories of a host, which are recorded there.", HOST_DIRECTORY_OPTIONS),
    Table("HostSetup", "Settings of a host that is prepared for MicroVMs.", HOST_SETUP_OPTIONS),
    Table("Image", "Options of a guest image.", IMAGE_OPTIONS, prefix="Image"),
    Table("HostImage", "Image that a host was given.", HOST_IMAGE_OPTIONS),
)

OF_HYPERVISORS = {option.name for option in HYPERVISOR_OPTIONS}
"""Groups whose types end in ``Options``, since the hypervisors themselves are called so."""


def write_types() -> None:
    """Write the module, if it is out of date."""
    if not TYPES_FILE.exists() or TYPES_FILE.read_text() != types(*TYPES):
        TYPES_FILE.write_text(types(*TYPES))
        print(f"wrote {TYPES_FILE.relative_to(ROOT)}")


def types(*tables: Table) -> str:
    """Return the module. The type of a group comes before the types that refer to it."""
    return HEADER + HEAD + "".join(f"\n\n{text}" for table in tables for text in _definitions(table))


def _definitions(table: Table) -> Iterator[str]:
    for option in table.options:
        if option.suboptions:
            yield from _definitions(_group(table, option))
    fields = [(option.name, _type(table, option)) for option in table.options]
    yield _call(table, fields) if any(keyword.iskeyword(name) for name, _kind in fields) else _class(table, fields)


def _class(table: Table, fields: list[tuple[str, str]]) -> str:
    lines = [f"class {table.name}({table.base or 'TypedDict'}):", f'{INDENT}"""{table.text}"""', ""]
    lines += [_wrapped(f"{INDENT}{name}: ", kind, "") for name, kind in fields]
    return "\n".join(lines) + "\n"


def _call(table: Table, fields: list[tuple[str, str]]) -> str:
    """Return a type with a key that is a keyword of Python, which only the call can name."""
    lines = [f'{table.name} = TypedDict(\n{INDENT}"{table.name}",\n{INDENT}{{']
    lines += [_wrapped(f'{INDENT * 2}"{name}": ', kind, ",") for name, kind in fields]
    return "\n".join(lines) + f'\n{INDENT}}},\n)\n"""{table.text}"""\n'


def _wrapped(head: str, kind: str, end: str) -> str:
    """Return a line, or the lines that `ruff format` makes of one that is too long."""
    if len(f"{head}{kind}{end}") <= WIDTH:
        return f"{head}{kind}{end}"
    outer, inner = kind[:-1].split("[", 1)
    indent = head[: len(head) - len(head.lstrip())]
    elements = [inner] if "[" in inner else inner.split(", ")
    comma = "," if len(elements) > 1 else ""
    lines = (_wrapped(f"{indent}{INDENT}", element, comma) for element in elements)
    return "\n".join((f"{head}{outer}[", *lines, f"{indent}]{end}"))


def _group(table: Table, option: Option) -> Table:
    is_list = option.type == "list"
    name = table.prefix + _camel_case(option.name.removesuffix("s") if is_list else option.name)
    path = f"{table.path}{option.name}"
    return Table(
        f"{name}Options" if path in OF_HYPERVISORS else name,
        f"{'Element of' if is_list else 'Group'} ``{path}``.",
        option.suboptions,
        prefix=name,
        path=f"{path}[]." if is_list else f"{path}.",
    )


def _camel_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _type(table: Table, option: Option) -> str:
    kind = _plain_type(table, option)
    return f"Optional[{kind}]" if _can_be_none(option) else kind


def _plain_type(table: Table, option: Option) -> str:
    """The type of a value that is there."""
    if option.type == "list":
        element = _group(table, option).name if option.suboptions else SCALARS[option.elements or "str"]
        return f"List[{element}]"
    if option.suboptions:
        return _group(table, option).name
    if option.type == "dict":
        return f"Dict[str, {'str' if option.values == 'str' else 'object'}]"
    if option.parsed is not None:
        return str(get_type_hints(option.parsed)["return"].__name__)
    if option.choices is not None:
        return f"Literal[{', '.join(map(json.dumps, option.choices))}]"
    return SCALARS[option.type]


def _can_be_none(option: Option) -> bool:
    if option.nullable:
        return True
    if option.required or option.derived or option.is_always_there:
        return False
    return option.default is None and option.empty() is None
