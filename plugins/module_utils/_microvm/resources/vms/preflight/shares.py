# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that a host can serve the shares of declarations as they are declared."""

from __future__ import annotations

import os
import posixpath
from typing import FrozenSet, Iterator, Optional, Tuple

from ....declaration.accounts import account
from ....declaration.names import HOST_GROUPS, USER
from ....declaration.types import Share
from ....declaration.vms.external import source_option
from ....declaration.vms.parse import Declaration
from ....host import accounts, file_systems
from ....host.versions import installed_version
from ....hypervisors.programs import FORMER_VIRTIOFSD, VIRTIOFSD, WHOLE_VIRTIOFSD, program_path
from ....schema.errors import DeclarationError
from .expected import Expected, Placed

_MAPPED = ("mapped", "mapped-xattr")
"""Security models of 9p that keep owners and modes in extended attributes."""


def check_shares(placed: Placed, expected: Expected) -> None:
    """Refuse shares that this host cannot serve. Raises DeclarationError."""
    coming = _coming_accounts(placed, expected)
    for path, declaration in placed:
        _check_program(declaration, path)
        for index, share in enumerate(declaration["shares"]):
            key = f"{path}.shares[{index}]"
            _check_accounts(share, key, coming)
            if share["proto"] == "9p" and share["security_model"] in _MAPPED:
                _check_attributes(share, key)


def _check_program(declaration: Declaration, path: str) -> None:
    """Refuse a daemon without an option that a share needs."""
    shares = [share for share in declaration["shares"] if share["proto"] == "virtiofs"]
    if source_option(declaration) or not shares:
        # Packages that were made elsewhere bring their own daemon.
        return
    program = program_path(declaration["virtiofsd"]["package"], VIRTIOFSD)
    version = installed_version(program)
    if version is None:
        # It is missing, which is refused elsewhere, or does not say its version.
        return
    written = ".".join(map(str, version))
    if version >= FORMER_VIRTIOFSD:
        raise DeclarationError(
            f"{path}.virtiofsd.package",
            f"{program} has version {written}, and is the former virtiofsd, which has other options; install "
            "the package virtiofsd (Debian 13 has it), or name another program here",
        )
    translating = (index for index, share in enumerate(declaration["shares"]) if _option_of_translation(share))
    index = next(translating, None)
    if version < WHOLE_VIRTIOFSD and index is not None:
        option = _option_of_translation(declaration["shares"][index])
        raise DeclarationError(
            f"{path}.shares[{index}].{option}",
            f"{program} has version {written}, and translates no identities; install virtiofsd "
            f"{'.'.join(map(str, WHOLE_VIRTIOFSD))} or newer, and name it in virtiofsd.package, or remove this option",
        )


def _option_of_translation(share: Share) -> Optional[str]:
    return next((option for option in ("translate_uid", "translate_gid", "user") if share[option]), None)


def _coming_accounts(placed: Placed, expected: Expected) -> FrozenSet[str]:
    """Return users and groups that the same run creates, before it creates directories for them."""
    owners = [account(declaration) for _path, declaration in placed]
    own = {name for owner in owners if owner.is_own for name in (owner.user, owner.group)}
    return frozenset((*own, USER, *HOST_GROUPS) if expected.setup else own)


def _check_accounts(share: Share, key: str, coming: FrozenSet[str]) -> None:
    user = share["source_owner"]
    if user is not None and not user.isdigit() and user not in coming and not accounts.exists(user):
        raise DeclarationError(f"{key}.source_owner", accounts.no_user(user))
    if share["user"] is not None and share["user"] not in coming:
        _check_user(share["user"], f"{key}.user")
    group = share["source_group"] or user or share["user"]
    if group is not None and not group.isdigit() and group not in coming and not accounts.group_exists(group):
        raise DeclarationError(
            f"{key}.source_group",
            f"there is no group {group!r} on this host, which a directory that is created would get; name a group "
            "that there is",
        )


def _check_user(user: str, key: str) -> None:
    numbers = accounts.user_numbers(user)
    if numbers is None:
        raise DeclarationError(key, accounts.no_user(user))
    if numbers[0] == 0:
        raise DeclarationError(key, f"{user} is another name of root; remove this option, or name another user")


def _check_attributes(share: Share, key: str) -> None:
    place = _existing(share["source"])
    if place is not None and file_systems.ATTRIBUTES in file_systems.missing_features(place):
        raise DeclarationError(
            f"{key}.security_model",
            f"the file system of {place} has no extended attributes, in which {share['security_model']} keeps owners "
            "and modes; set mapped-file, or share a directory of another file system",
        )


def share_warnings(placed: Placed) -> Iterator[str]:
    """Yield what guests would be offered, and the file systems of sources do not have."""
    for path, declaration in placed:
        for index, share in enumerate(declaration["shares"]):
            if share["proto"] == "virtiofs":
                for feature, consequence in _lacking(share):
                    source = share["source"]
                    yield f"{path}.shares[{index}]: the file system of {source} has no {feature}; {consequence}"


def _lacking(share: Share) -> Iterator[Tuple[str, str]]:
    place = _existing(share["source"])
    missing = () if place is None else file_systems.missing_features(place)
    # Without the option, virtiofsd offers neither.
    for feature in (file_systems.ACCESS_LISTS, file_systems.ATTRIBUTES) if share["posix_acl"] else ():
        if feature in missing:
            yield feature, "the guest is refused them. Set `posix_acl: false` to have this accepted"


def _existing(path: str) -> Optional[str]:
    """Return the directory at an absolute path, or the nearest one above; none for a path in the working directory."""
    if not path.startswith("/"):
        return None
    while not os.path.isdir(path):
        path = posixpath.dirname(path)
    return path
