# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State directories of MicroVMs, and the way of those that an earlier version has made to today's layout.

A state directory belongs to root: root follows its links, executes what they lead to, and reads its files. The
hypervisor works in a directory below it. Earlier versions had both in one, which the MicroVM's user could write to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Collection, List, Optional

from ..declaration.accounts import ROOT, SHARED, Account
from ..declaration.identity import ACCOUNT_PREFIX
from ..declaration.names import KVM_GROUP, SOCKET_DIRECTORY, STATE_ENTRIES, WORK_DIRECTORY
from . import files
from .accounts import group_by_number, numbers
from .commands import HostError
from .exchange import UNSUPPORTED, exchange_at_once

MODE = 0o750
"""Only root writes; the MicroVM's user goes through it to its working directory."""

_MODE_BEFORE = 0o700
"""Mode of a state directory until its working directory is its user's, who can change the mode of the latter."""

WORK_MODE = 0o700

SOCKET_MODE = 0o755


def _new(path: str) -> str:
    """Path of the directory that takes the place of one of the former layout. No MicroVM's name begins with a dot."""
    return f"{os.path.dirname(path)}/.{os.path.basename(path)}.new"


def _old(path: str) -> str:
    """Path of a directory of the former layout for a moment, where the file system cannot exchange two."""
    return f"{os.path.dirname(path)}/.{os.path.basename(path)}.former"


def former(directory: str, recorded: Collection[str] = ()) -> List[str]:
    """Return the names of the MicroVMs whose state directories have the former layout, or are on their way from it.

    ``recorded`` are the names of MicroVMs; a directory of another name is one if it has links or files of root's.
    """
    try:
        entries = [entry.name for entry in os.scandir(directory) if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = {
        entry
        for entry in entries
        if not entry.startswith(".") and (entry in recorded or _has_entries_of_root(os.path.join(directory, entry)))
    }
    names |= {entry[1:].rpartition(".")[0] for entry in entries if entry.startswith(".") and entry.endswith(".former")}
    return sorted(name for name in names if is_former(os.path.join(directory, name)))


def _has_entries_of_root(path: str) -> bool:
    return any(os.path.lexists(os.path.join(path, entry)) for entry in (*STATE_ENTRIES, SOCKET_DIRECTORY))


def is_former(path: str) -> bool:
    """Return whether a state directory, or what a link of root's leads to, has the former layout, or is on its way."""
    path = os.path.realpath(path)
    status = _status(path)
    if status is None:
        return os.path.lexists(_old(path))
    if not stat.S_ISDIR(status.st_mode):
        return False
    return not files.is_roots_alone(status) or _lacks_its_parts(path) or stat.S_IMODE(status.st_mode) == _MODE_BEFORE


def _lacks_its_parts(path: str) -> bool:
    """Return whether a MicroVM has no directory to work in."""
    is_used = any(os.path.lexists(os.path.join(path, entry)) for entry in (STATE_ENTRIES[0], SOCKET_DIRECTORY))
    return is_used and not os.path.lexists(os.path.join(path, WORK_DIRECTORY))


def _status(path: str) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except OSError:
        return None


def account_of(path: str) -> Account:
    """Return the account whose MicroVM has a state directory, by the directory's group."""
    group = group_by_number(os.lstat(path).st_gid)
    return Account(group, group) if group.startswith(ACCOUNT_PREFIX) else SHARED


def group_name(path: str) -> Optional[str]:
    """Return the group of a state directory as today's layout has it; ``None`` where there is no directory."""
    group = files.group_name(path)
    return SHARED.group if group == KVM_GROUP else group


def create(path: str, account: Account) -> None:
    """Create a state directory that is not there, as a whole or not at all.

    Raises KeyError for an account that does not exist.
    """
    new = _new(path)
    _remove_new(path)
    os.mkdir(new, 0o700)
    _make_part(new, SOCKET_DIRECTORY, SOCKET_MODE, ROOT)
    _make_part(new, WORK_DIRECTORY, WORK_MODE, account)
    os.chown(new, 0, numbers(account)[1])
    os.chmod(new, MODE)
    os.rename(new, path)
    files.sync_directory(os.path.dirname(path))


def _make_part(directory: str, name: str, mode: int, owner: Account) -> None:
    part = os.path.join(directory, name)
    os.mkdir(part)
    os.chown(part, *numbers(owner))
    os.chmod(part, mode)


def remove(path: str) -> None:
    """Remove a state directory whose working directory is empty, and what root's daemons have left in it."""
    files.remove(os.path.join(path, SOCKET_DIRECTORY))
    files.remove_if_empty(os.path.join(path, WORK_DIRECTORY))
    os.rmdir(path)


def migrate(path: str) -> None:
    """Give a state directory today's layout. A MicroVM that runs goes on: the directory that it works in is the same
    one under another name. A killed migration is completed by the next.

    Raises OSError and KeyError.
    """
    path = os.path.realpath(path)
    if os.path.lexists(_old(path)):
        _complete_renames(path)
    elif not files.is_roots_alone(os.lstat(path)) or not os.path.lexists(os.path.join(path, SOCKET_DIRECTORY)):
        _remove_new(path)
        _make_new(path)
        _replace(path)
    elif not os.path.lexists(os.path.join(path, WORK_DIRECTORY)):
        os.rename(_new(path), os.path.join(path, WORK_DIRECTORY))
    files.sync_directory(path)
    _hand_over(path)
    os.chmod(path, MODE)
    files.sync_directory(os.path.dirname(path))


def _remove_new(path: str) -> None:
    """Remove what a killed migration has left. Raises OSError where somebody has put anything else there."""
    new = _new(path)
    if not os.path.lexists(new):
        return
    for entry in STATE_ENTRIES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(new, entry))
    for part in (SOCKET_DIRECTORY, WORK_DIRECTORY):
        files.remove_if_empty(os.path.join(new, part))
    os.rmdir(new)


def _make_new(path: str) -> None:
    """Make the directory that takes the place of one, with root's links and files."""
    account, new = account_of(path), _new(path)
    os.mkdir(new, _MODE_BEFORE)
    for entry in STATE_ENTRIES:
        _copy_of_root(os.path.join(path, entry), os.path.join(new, entry))
    _make_part(new, SOCKET_DIRECTORY, SOCKET_MODE, ROOT)
    os.chown(new, 0, numbers(account)[1])
    files.sync_tree(new)


def _copy_of_root(source: str, target: str) -> None:
    """Copy a link or a small file that root has made; anything else there is somebody else's."""
    status = _status(source)
    if status is None or status.st_uid != 0:
        return
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(status.st_mode):
        # The MicroVM's user may have put a link to another file in its place meanwhile.
        with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            files.write_new(target, file.read(files.BLOCK), 0o644)


def _replace(path: str) -> None:
    """Put the new directory into place, and the former one below it; where the file system allows, at no moment is
    there none."""
    try:
        exchange_at_once(_new(path), path)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise HostError(
                f"{path} is a mount point and cannot be moved to {path}/{WORK_DIRECTORY}; stop the MicroVM, unmount "
                "it, and mount its file system there"
            ) from error
        if error.errno not in UNSUPPORTED:
            raise
        os.rename(path, _old(path))
        _complete_renames(path)
    else:
        os.rename(_new(path), os.path.join(path, WORK_DIRECTORY))


def _complete_renames(path: str) -> None:
    if _status(path) is None:
        os.rename(_new(path), path)
    os.rename(_old(path), os.path.join(path, WORK_DIRECTORY))


def _hand_over(path: str) -> None:
    """Give the working directory to the MicroVM's user, without what root had in it."""
    account = account_of(path)
    work = os.open(os.path.join(path, WORK_DIRECTORY), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for entry in STATE_ENTRIES:
            for name in (entry, files.aside_of(entry)):
                _remove_of_root(work, name)
        os.fchown(work, *numbers(account))
        os.fchmod(work, WORK_MODE)
        os.fsync(work)
    finally:
        os.close(work)


def _remove_of_root(directory: int, name: str) -> None:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if status.st_uid == 0 and not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=directory)
