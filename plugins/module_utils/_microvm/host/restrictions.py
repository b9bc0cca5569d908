# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restrictions of declarations on a host: the file that keeps them, and what they ask of the host's directories."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import List, Optional, Tuple

from ..declaration.accounts import account
from ..declaration.names import RESTRICTIONS
from ..declaration.restrictions.parse import UNRESTRICTED, parse_restrictions
from ..declaration.restrictions.uses import VARIABLE, host_paths, refuse
from ..declaration.types import PackagedVm, Restrictions
from ..schema.errors import DeclarationError
from . import files
from .commands import HostError

_OPENED_BY_USER = r"(volumes\[\d+\]\.image|socket|shares\[\d+\]\.socket|graphics\.socket)"
"""Options whose paths the MicroVM's user opens. The directory may belong to that user, and is created so."""


def read(path: str = RESTRICTIONS) -> Restrictions:
    """Return the restrictions of this host. Raises HostError where they cannot be known: then nothing is allowed."""
    try:
        with open(path, encoding="utf-8") as file:
            return parse_restrictions(json.load(file))
    except FileNotFoundError:
        return UNRESTRICTED
    except PermissionError:
        raise HostError(f"only root can read the restrictions of this host, {path}; run this as root") from None
    except (OSError, ValueError, RecursionError) as error:
        raise HostError(
            f"the restrictions of this host are not readable, so nothing is installed: {path}: {error}; set "
            f"{VARIABLE} and run the role microvm.fleet.host, which writes them again"
        ) from None


def in_force(given: Optional[Restrictions], is_predicted: bool, path: str = RESTRICTIONS) -> List[Restrictions]:
    """Return the restrictions that a request must satisfy: those of the host, and those that it was given.

    A prediction, whose run is about to write the given ones, is about those alone.
    """
    if given is None:
        return [read(path)]
    return [given] if is_predicted else [read(path), given]


def check(declaration: PackagedVm, restrictions: Restrictions, path: str) -> None:
    """Refuse a declaration that uses what is closed. Raises DeclarationError with a path below ``path``."""
    refuse(declaration, restrictions, path)
    if not restrictions["enable"]:
        return
    user = account(declaration).user
    for use in host_paths(declaration):
        problem = path_problem(str(use.value), user if re.fullmatch(_OPENED_BY_USER, use.path) else None)
        if problem is not None:
            raise DeclarationError(
                f"{path}.{use.path}",
                f"{problem}, which {VARIABLE} of this host excludes; use a path whose directories belong to root",
            )


def path_problem(path: str, user: Optional[str] = None) -> Optional[str]:
    """Return why somebody other than root may decide what is at a path, or ``None``.

    Everything above the path is looked at, without following links; what does not exist yet is nobody's. The directory
    that the path is in may belong to ``user``, who opens the path.
    """
    if "\0" in path:
        return f"{path!r} contains a null character"
    normal, real = os.path.normpath(path), os.path.realpath(path)
    if normal.lstrip("/") != real.lstrip("/"):
        return f"{path!r} leads through a symbolic link to {real!r}"
    directory = os.path.dirname(normal)
    owners = ("root", user)
    while True:
        if not _is_closed(directory, owners):
            return f"{path!r} can be replaced by others than root, because of the owner or the mode of {directory!r}"
        if directory == os.path.dirname(directory):
            return None
        directory, owners = os.path.dirname(directory), ("root", None)


def _is_closed(directory: str, owners: Tuple[str, Optional[str]]) -> bool:
    """Return whether nobody but its owner, who is one of ``owners``, may replace what is in a directory."""
    try:
        status = os.lstat(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    writers = stat.S_IWOTH | (stat.S_IWGRP if status.st_gid != 0 else 0)
    is_owned = status.st_uid == 0 or files.owner(directory) in owners
    return stat.S_ISDIR(status.st_mode) and is_owned and not status.st_mode & writers


def check_external(restrictions: Restrictions) -> None:
    """Refuse external packages where they are closed. Raises HostError."""
    if restrictions["enable"] and not restrictions["external_packages"]:
        raise HostError(
            f"external packages are not accepted on this host ({VARIABLE}.external_packages); declare the MicroVM, or "
            "ask the operator of the host to allow them"
        )


def package_problem(declaration: Optional[PackagedVm], restrictions: Restrictions, is_external: bool) -> str:
    """Return why a package with a recorded declaration is not accepted; nothing if it is."""
    try:
        if is_external:
            check_external(restrictions)
        if declaration is not None:
            check(declaration, restrictions, "its declaration")
    except (ValueError, HostError) as error:
        # Paths that somebody else has recorded may be none.
        return str(error)
    return ""
