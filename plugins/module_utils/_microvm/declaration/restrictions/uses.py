# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uses of a host by a declaration that need trust, from the field ``trust`` of the option tables. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Collection, Iterator, Mapping, Optional, Tuple, cast

from ...schema.compaction import is_default
from ...schema.errors import DeclarationError
from ...schema.options import (
    ARGUMENTS,
    BRIDGE,
    DEVICE,
    EXTERNAL,
    FILE,
    IMAGE,
    NETWORK,
    PLAIN,
    PROGRAM,
    SANDBOX,
    SCRIPT,
    UNIT,
    Option,
    Options,
)
from ..accounts import account
from ..names import IMAGE_STORE
from ..types import PackagedVm, Restrictions
from ..vms.host_options import HOST_OPTIONS
from ..vms.options import PACKAGE_OPTIONS

VARIABLE = "microvm_restrictions"
"""Variable of the roles that the messages name."""

KEYS = {
    SCRIPT: "scripts",
    PROGRAM: "programs",
    ARGUMENTS: "arguments",
    DEVICE: "devices",
    NETWORK: "host_network",
    UNIT: "units",
    EXTERNAL: "external_packages",
    SANDBOX: "weaker_sandbox",
    FILE: "path_prefixes",
    IMAGE: "path_prefixes",
    BRIDGE: "bridges",
}
"""Key of the restrictions that allows each kind of use."""

_REFUSED = {
    SCRIPT: "shell commands of declarations are not executed",
    PROGRAM: "declarations do not choose the programs that are executed",
    ARGUMENTS: "declarations do not choose arguments of programs, or formats of images",
    DEVICE: "guests get no devices of the host",
    NETWORK: "guests have no interfaces but those of type tap and of networks with mode macvtap",
    UNIT: "declarations do not name units of the host",
    EXTERNAL: "external packages are not accepted",
    SANDBOX: "declarations do not weaken the sandbox",
}


@dataclass(frozen=True)
class Use:
    """Use of a host: the path of an option that is not at its default, and its value."""

    path: str
    trust: str
    value: object


def uses(declaration: PackagedVm) -> Iterator[Use]:
    """Yield the uses of a declaration, parsed or recorded, in the order of the tables.

    A recorded one has no options of the host.
    """
    own_group, values = account(declaration).group, cast(Mapping[str, object], declaration)
    # Those that name a network of the host, whose link the operator has chosen.
    joining = [
        f"interfaces[{index}].type"
        for index, interface in enumerate(declaration["interfaces"])
        if interface["type"] == "macvtap" and interface["bridge"]
    ]
    options = (*PACKAGE_OPTIONS, *(option for option in HOST_OPTIONS if option.name in values))
    for use in _uses(options, values, ""):
        # Filled in where nobody wrote it.
        if (use.path != "virtiofsd.group" or use.value != own_group) and use.path not in joining:
            yield use


def _uses(options: Options, values: Mapping[str, object], prefix: str) -> Iterator[Use]:
    for option in options:
        value, path = values[option.name], f"{prefix}{option.name}"
        if option.trust not in (None, PLAIN):
            yield from _of_option(option, str(option.trust), value, path)
        elif option.suboptions and isinstance(value, list):
            for index, element in enumerate(value):
                yield from _uses(option.suboptions, element, f"{path}[{index}].")
        elif option.suboptions and isinstance(value, Mapping):
            yield from _uses(option.suboptions, value, f"{path}.")


def _of_option(option: Option, trust: str, value: object, path: str) -> Iterator[Use]:
    if is_default(option, value):
        return
    if isinstance(value, list):
        yield from (Use(f"{path}[{index}]", trust, element) for index, element in enumerate(value))
    elif isinstance(value, Mapping) and value:
        yield from (Use(f"{path}.{key}", trust, element) for key, element in value.items())
    else:
        yield Use(path, trust, value)


def refuse(declaration: PackagedVm, restrictions: Restrictions, path: str) -> None:
    """Refuse a declaration that uses what a host has closed. Raises DeclarationError with a path below ``path``."""
    if not restrictions["enable"]:
        return
    for use in uses(declaration):
        problem = _problem(use, restrictions)
        if problem is not None:
            key = f"{VARIABLE}.{KEYS[use.trust]}"
            raise DeclarationError(
                f"{path}.{use.path}",
                f"{problem} on this host ({key}); remove the option, or ask the operator of the host to allow it",
            )


def _problem(use: Use, restrictions: Restrictions) -> Optional[str]:
    """Return what restrictions have against a use, as far as it is known without looking at the host."""
    if use.trust == BRIDGE:
        return None if use.value in restrictions["bridges"] else f"no interface is attached to the bridge {use.value!r}"
    if use.trust in (FILE, IMAGE):
        return _problem_of_path(use, restrictions)
    allowed = cast(Mapping[str, object], restrictions)[KEYS[use.trust]]
    return None if allowed else _REFUSED[use.trust]


def _problem_of_path(use: Use, restrictions: Restrictions) -> Optional[str]:
    path = str(use.value)
    if not path.startswith("/"):
        return None
    prefixes = allowed_prefixes(use, restrictions)
    if any(is_below(path, prefix) for prefix in prefixes):
        return None
    return f"{path!r} is not below an allowed directory ({', '.join(prefixes) or 'none'})"


def allowed_prefixes(use: Use, restrictions: Restrictions) -> Tuple[str, ...]:
    """Return the directories below which the value of a use may be."""
    return (*restrictions["path_prefixes"], *((IMAGE_STORE,) if use.trust == IMAGE else ()))


def is_below(path: str, prefix: str) -> bool:
    """Return whether a path is below a directory, by its words alone; one with ``..`` in it is nowhere."""
    words = [word for word in path.split("/") if word not in ("", ".")]
    above = [word for word in prefix.split("/") if word not in ("", ".")]
    return ".." not in words and len(words) > len(above) and words[: len(above)] == above


def host_paths(declaration: PackagedVm) -> Iterator[Use]:
    """Yield the uses of a declaration whose value is an absolute path."""
    return (use for use in uses(declaration) if use.trust in (FILE, IMAGE) and str(use.value).startswith("/"))


def refuse_inside_of_shares(declaration: PackagedVm, sources: Collection[str], path: str) -> None:
    """Refuse what root or a hypervisor opens inside of directories that guests can change.

    ``sources`` are those of all MicroVMs of the host, see writable_sources. Root of a guest is root in them, so it
    could replace a file there by a link. Raises DeclarationError with a path below ``path``.
    """
    for use in host_paths(declaration):
        value = posixpath.normpath(str(use.value))
        is_source = use.path.startswith("shares[") and use.path.endswith(".source")
        for source in sources:
            if is_below(value, source) and not (is_source and value == source):
                raise DeclarationError(
                    f"{path}.{use.path}",
                    f"{value!r} is inside of {source}, which a guest shares and can change, and {VARIABLE} of this "
                    "host excludes that; use a path outside of shares, or make the share `read_only`",
                )


def writable_sources(declaration: PackagedVm) -> Iterator[str]:
    """Yield the absolute sources of writable virtiofs shares: directories in which root of a guest is root."""
    for share in declaration["shares"]:
        if share["proto"] == "virtiofs" and not share["read_only"] and share["source"].startswith("/"):
            yield posixpath.normpath(share["source"])
