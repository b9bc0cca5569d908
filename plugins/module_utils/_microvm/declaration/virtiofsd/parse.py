# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories that a host serves by virtiofs: their options, and what must be true of them together."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Sequence, Tuple, cast

from ...schema.errors import DeclarationError
from ...schema.validation import validate
from ..accounts import ROOT_NAMES
from ..types import HostShare
from .options import HOST_SHARE_OPTIONS

_OWN_ARGUMENTS: Dict[str, Optional[str]] = {
    "-o": None,
    "--cache": "cache",
    "--fd": None,
    "--gid-map": "translate_gid",
    "--inode-file-handles": "inode_file_handles",
    "--modcaps": None,
    "--posix-acl": "posix_acl",
    "--readonly": "read_only",
    "--sandbox": None,
    "--shared-dir": "source",
    "--socket-group": "group",
    "--socket-path": "socket",
    "--tag": "tag",
    "--thread-pool-size": "thread_pool_size",
    "--translate-gid": "translate_gid",
    "--translate-uid": "translate_uid",
    "--uid-map": "translate_uid",
    "--xattr": None,
}
"""Options of virtiofsd that its unit determines, which takes none of them twice, and ours in their place."""


def parse_host_shares(raw: Sequence[object], path: str = "shares") -> List[HostShare]:
    """Validate shares of one host. Raises DeclarationError with the path of what is wrong."""
    shares = [_parse(element, f"{path}[{index}]") for index, element in enumerate(raw)]
    _refuse_duplicates(shares, path)
    return shares


def translates_identities(share: HostShare) -> bool:
    """Return whether owners of files are others in the guest than on the host."""
    return bool(share["translate_uid"] or share["translate_gid"]) or share["user"] not in ROOT_NAMES


def _parse(raw: object, path: str) -> HostShare:
    share = cast(HostShare, validate(HOST_SHARE_OPTIONS, raw, path))
    share["socket"] = share["socket"].replace("{name}", share["name"])
    if share["state"] == "present":
        if share["source"] is None:
            raise DeclarationError(f"{path}.source", "is required; name the directory to serve")
        _check_user(share, path)
        _check_arguments(share, path)
        if share["posix_acl"] and translates_identities(share):
            raise DeclarationError(
                f"{path}.posix_acl",
                "virtiofsd has no access control lists where it translates identities (translate_uid, translate_gid, "
                "or a user other than root); remove this option",
            )
        if share["posix_acl"] is None:
            share["posix_acl"] = not translates_identities(share)
    return share


def _check_user(share: HostShare, path: str) -> None:
    if share["inode_file_handles"] in ("prefer", "mandatory") and share["user"] not in ROOT_NAMES:
        raise DeclarationError(
            f"{path}.inode_file_handles",
            f"only root can use file handles, and the user is {share['user']}; remove this option, or set `user: root`",
        )


def _check_arguments(share: HostShare, path: str) -> None:
    for index, argument in enumerate(share["extra_args"]):
        name = "-o" if argument.startswith("-o") else argument.partition("=")[0]
        if name in _OWN_ARGUMENTS:
            option = _OWN_ARGUMENTS[name]
            raise DeclarationError(
                f"{path}.extra_args[{index}]",
                f"the share's unit determines {name} of virtiofsd; "
                + (f"set `{option}` instead" if option else "remove this argument"),
            )


def _refuse_duplicates(shares: Sequence[HostShare], path: str) -> None:
    uses: Dict[Tuple[str, str], str] = {}
    for index, share in enumerate(shares):
        for key, value in _claims(share):
            place = f"{path}[{index}].{key}"
            first = uses.setdefault((key, value), place)
            if first != place:
                raise DeclarationError(place, f"{value} is already used by {first}; use another one")


def _claims(share: HostShare) -> Iterator[Tuple[str, str]]:
    yield "name", share["name"]
    # The socket of a share that is removed is free for others.
    if share["state"] == "present":
        yield "socket", share["socket"]
