# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify the files and directories that declarations name: they are there, and the MicroVM's user can use them."""

from __future__ import annotations

import os
import posixpath
import stat
from typing import Iterator, Mapping, NamedTuple

from ....declaration.accounts import Account
from ....declaration.vms.parse import Declaration
from ....host import file_systems, safe_paths
from ....host.commands import HostError
from ....host.permissions import is_permitted
from ....hypervisors import registry
from ....schema.errors import DeclarationError
from ..state import Observed
from .expected import Expected, Placed
from .owners import owner


class _File(NamedTuple):
    """A file that a declaration names with a key."""

    key: str
    path: str
    mode: int = 0
    """Use that the MicroVM's user makes of it; 0 for a file that only root reads."""


def check_files(placed: Placed, expected: Expected, observed: Mapping[str, Observed]) -> None:
    """Refuse files that are missing, or that a MicroVM's user cannot read. Raises DeclarationError."""
    for path, declaration in placed:
        user = owner(declaration, observed.get(declaration["name"]))
        for file in _named_files(declaration):
            key = f"{path}.{file.key}"
            if not os.path.exists(file.path):
                if not expected.has(file.path):
                    raise DeclarationError(
                        key, f"{file.path} does not exist on this host; correct the path or provide the file"
                    )
            elif os.path.isdir(file.path):
                raise DeclarationError(key, f"{file.path} is a directory; name the file")
            else:
                _refuse_forbidden(user, file, key)
        for option, directory in registry.directories(declaration).items():
            if not os.path.isdir(directory):
                raise DeclarationError(
                    f"{path}.{option}",
                    f"{directory}, which {declaration['hypervisor']} needs, is no directory of this host; create it, "
                    "or name another one",
                )
        _check_sources(declaration, user, path)
        _check_sockets(declaration, path)


def _named_files(declaration: Declaration) -> Iterator[_File]:
    for key in ("kernel", "initrd_path", "store_disk"):
        path = declaration[key]
        if path:
            yield _File(key, path, os.R_OK)
    if declaration["extra_args_script"]:
        yield _File("extra_args_script", declaration["extra_args_script"], os.R_OK | os.X_OK)
    for name, path in declaration["credential_files"].items():
        yield _File(f"credential_files.{name}", path)


def _check_sources(declaration: Declaration, user: Account, path: str) -> None:
    """Refuse sources of shares that are no directories, or that a hypervisor cannot serve; virtiofsd is root's."""
    for index, share in enumerate(declaration["shares"]):
        source, key = share["source"], f"{path}.shares[{index}].source"
        if not source.startswith("/") or not os.path.exists(source):
            continue
        if not os.path.isdir(source):
            raise DeclarationError(key, f"{source} is no directory; name the directory to share")
        if share["proto"] == "9p":
            _refuse_forbidden(user, _File(key, source, os.R_OK | os.X_OK), key)
        else:
            _refuse_links(source, key)
            _refuse_missing_handles(declaration, source, path)


def _refuse_missing_handles(declaration: Declaration, source: str, path: str) -> None:
    """Refuse a source whose daemon could not open a single file."""
    is_mandatory = declaration["virtiofsd"]["inode_file_handles"] == "mandatory"
    if is_mandatory and file_systems.HANDLES in file_systems.missing_features(source):
        raise DeclarationError(
            f"{path}.virtiofsd.inode_file_handles",
            f"the file system of {source} has no file handles; set prefer, or share a directory of another file system",
        )


def _refuse_links(source: str, key: str) -> None:
    """Refuse a source that root opens for virtiofsd, and that a link is on the way to."""
    try:
        with safe_paths.opened_directory(source):
            pass
    except HostError as error:
        raise DeclarationError(key, str(error)) from None


def _check_sockets(declaration: Declaration, path: str) -> None:
    """Refuse sockets of virtiofsd where others than root can create files; see microvm-package."""
    for index, share in enumerate(declaration["shares"]):
        socket = share["socket"] or ""
        if (
            share["proto"] == "virtiofs"
            and socket.startswith("/")
            and not safe_paths.is_only_roots(posixpath.normpath(socket))
        ):
            raise DeclarationError(
                f"{path}.shares[{index}].socket",
                f"others than root can create or replace files on the way to {socket}; remove this option, or name a "
                "directory of root's",
            )


def _refuse_forbidden(user: Account, file: _File, key: str) -> None:
    if file.mode and not is_permitted(user, file.path, file.mode):
        verb = "execute" if file.mode & os.X_OK and not os.path.isdir(file.path) else "read"
        raise DeclarationError(
            key,
            f"the user {user.user!r}, who runs the hypervisor, cannot {verb} {file.path}; allow it by the "
            "modes of the file and of the directories above it (chmod, setfacl), or put it elsewhere",
        )


def check_directories(path: str, observed: Observed) -> None:
    """Refuse directories that are to be created where a link or a file is in the way. Raises DeclarationError."""
    for directory in observed.missing_directories:
        try:
            with safe_paths.opened_parent(directory) as (parent, name):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            continue
        except (HostError, OSError) as error:
            raise DeclarationError(path, f"{directory} cannot be created: {error}") from None
        if not stat.S_ISDIR(status.st_mode):
            raise DeclarationError(path, f"{directory} is to be a directory, and is something else; move it away")
