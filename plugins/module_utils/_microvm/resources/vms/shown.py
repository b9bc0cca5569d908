# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of declarations as diffs show them: what somebody has set, and neither defaults nor what follows from the
rest, such as names of sockets. Pure."""

from __future__ import annotations

import json
import posixpath
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ...declaration.types import HostImage, PackagedVm
from ...declaration.vms.options import PACKAGE_OPTIONS
from ...declaration.vms.parse import parse_vm
from ...schema.compaction import compact, is_default
from ...schema.errors import DeclarationError
from ...schema.options import Option, Options
from ...schema.quoting import printable

_OF_IMAGE = ("initrd_path", "store_disk", "store_disk_type")
"""Options that follow from an image, besides its kernel, whose path tells which build of the image it is."""


def set_options(declaration: PackagedVm) -> List[str]:
    """Return a line for each option of a complete declaration that somebody has set, by its path."""
    values = compact(PACKAGE_OPTIONS, declaration)
    return [f"{path}: {text}" for path, text in _lines(PACKAGE_OPTIONS, declaration, _derived(values, declaration), "")]


def _derived(values: Mapping[str, object], declaration: PackagedVm) -> Mapping[str, object]:
    """Return what parsing makes of a declaration without the options that it fills in; nothing where it cannot."""
    image = declaration["image"]
    is_named = image is not None and not image.startswith("/")
    directory = posixpath.dirname(declaration["kernel"] or "")
    images: Sequence[HostImage] = (
        [
            {
                "name": image or "",
                "path": directory,
                "store_disk_type": declaration["store_disk_type"],
                "kernel_lacks": [],
                "uses_host_key": bool(declaration["guest"]["host_key"]),
                "nix": True,
            }
        ]
        if is_named
        else ()
    )
    raw = _without_derived(PACKAGE_OPTIONS, values)
    if image is None:
        raw.update({name: values[name] for name in _OF_IMAGE if name in values})
    try:
        return parse_vm(raw, images)
    except DeclarationError:
        # A record of another version may have what this one refuses.
        return {}


def _is_derived(option: Option) -> bool:
    """Return whether parsing may fill an option in, other than the kernel."""
    is_template = isinstance(option.default, str) and "{" in option.default
    return (option.derived and option.name != "kernel") or is_template or option.name in _OF_IMAGE


def _without_derived(options: Options, values: Mapping[str, object]) -> Dict[str, object]:
    left = ((option, values[option.name]) for option in options if option.name in values)
    kept = ((option, value) for option, value in left if option.suboptions or not _is_derived(option))
    return {option.name: _nested_without_derived(option, value) for option, value in kept}


def _nested_without_derived(option: Option, value: object) -> object:
    if option.suboptions and isinstance(value, Mapping):
        return _without_derived(option.suboptions, value)
    if option.suboptions and isinstance(value, list):
        return [_without_derived(option.suboptions, element) for element in value]
    return value


def _lines(
    options: Options, values: Mapping[str, object], derived: Mapping[str, object], prefix: str
) -> Iterator[Tuple[str, str]]:
    for option in options:
        value, other, path = values[option.name], derived.get(option.name), f"{prefix}{option.name}"
        if option.suboptions and isinstance(value, Mapping):
            yield from _lines(option.suboptions, value, other if isinstance(other, Mapping) else {}, f"{path}.")
        elif option.suboptions and isinstance(value, (list, tuple)):
            for index, element in enumerate(value):
                yield from _lines(option.suboptions, element, _element(other, index), f"{path}[{index}].")
        elif not is_default(option, value) and not (_is_derived(option) and value == other):
            yield path, _text(value)


def _element(values: object, index: int) -> Mapping[str, object]:
    element: Optional[object] = values[index] if isinstance(values, list) and index < len(values) else None
    return element if isinstance(element, Mapping) else {}


def _text(value: object) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))
