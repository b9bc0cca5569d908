# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files, links and directories that a crash leaves whole: written aside, synced, renamed."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shutil
import stat
from typing import Collection, Iterator, Optional

from ..declaration.accounts import Account
from ..declaration.names import PARTIAL_SUFFIX
from .accounts import group_by_number, numbers, user_by_number
from .commands import HostError, run

BLOCK = 1 << 16
"""Bytes that are read at once."""

MOST_BYTES = 16 << 20
"""Size of the largest text file that is read; none of ours comes near it."""


class UnreadableFile(HostError):
    """File that is there and is not what it should be; the message begins with its path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.reason = reason


def read_text(path: str) -> Optional[str]:
    """Content of a text file; ``None`` where there is none. Raises UnreadableFile for anything else in its place."""
    try:
        return _read_bytes(path).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        raise UnreadableFile(path, "is not UTF-8") from None
    except OSError as error:
        hint = "; run the command as root" if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() else ""
        raise UnreadableFile(path, f"cannot be read ({error.strerror}){hint}") from error


def _read_bytes(path: str) -> bytes:
    """Return the content of a regular file. Anything else is not even waited for: a FIFO may have no writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableFile(path, "is not a regular file")
        content = b"".join(_blocks(descriptor))
    finally:
        os.close(descriptor)
    if len(content) > MOST_BYTES:
        raise UnreadableFile(path, f"is larger than {MOST_BYTES >> 20} MiB")
    return content


def _blocks(descriptor: int) -> Iterator[bytes]:
    """Yield the content of a file until it is too large. The kernel has room for a block, but not for more, where the
    file is a parameter of its own (``/proc/sys``)."""
    size = 0
    while size <= MOST_BYTES:
        block = os.read(descriptor, BLOCK)
        if not block:
            return
        size += len(block)
        yield block


def write_new(path: str, content: bytes, mode: int) -> None:
    """Write a new file. Raises FileExistsError where something is in its place."""
    with open(path, "xb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)


def write_synced(path: str, content: bytes, mode: int, owner: Optional[Account] = None) -> None:
    """Write a new file, on the disk when this returns. Raises FileExistsError where something is in its place."""
    # Whoever else may write in the directory has not put a link there.
    with open(path, "xb") as file:
        file.write(content)
        if owner is not None:
            os.fchown(file.fileno(), *numbers(owner))
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())


def aside_of(path: str) -> str:
    """Path under which a file, link or directory is made before it takes its place."""
    return path + PARTIAL_SUFFIX


def replace_file(path: str, content: bytes, mode: int = 0o644, owner: Optional[Account] = None) -> None:
    """Replace a file, which has the old or the new content at any time. It is the process's own without ``owner``."""
    aside = aside_of(path)
    remove(aside)
    write_synced(aside, content, mode, owner)
    os.replace(aside, path)
    sync_directory(os.path.dirname(path))


def replace_link(path: str, target: str) -> None:
    """The link at ``path`` has the old or the new target at any time."""
    aside = aside_of(path)
    remove(aside)
    os.symlink(target, aside)
    os.replace(aside, path)
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """The directory's entries are on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str) -> None:
    """Write a directory and all below it to the disk."""
    for directory, _directories, names in os.walk(path):
        for name in names:
            _sync_file(os.path.join(directory, name))
        sync_directory(directory)


def _sync_file(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        # A link has nothing of its own to write.
        if error.errno == errno.ELOOP:
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: str) -> None:
    """Remove a file, a link or a whole directory, if it is there; no link in it is followed."""
    if os.path.isdir(path) and not os.path.islink(path):
        _remove_tree(path)
    else:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _remove_tree(path: str) -> None:
    try:
        shutil.rmtree(path)
    except (RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EMFILE, errno.ENAMETOOLONG):
            raise
        # Somebody has made a tree that is deeper than Python can go. The program has no such limit.
        run(["rm", "-rf", "--", path], timeout=None)


def link_target(path: str) -> Optional[str]:
    """Return the target of a link; ``None`` where there is no link."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def is_roots_alone(status: os.stat_result) -> bool:
    """Return whether nobody but root, or whoever runs this, may write to what has such a status."""
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022


def owner_and_group(path: str) -> Account:
    """Return the user and the group that have a file. Raises OSError where there is none."""
    status = os.stat(path)
    return Account(user_by_number(status.st_uid), group_by_number(status.st_gid))


def change_owner(path: str, account: Account) -> None:
    """Give a file, or a directory, to a user and a group."""
    os.chown(path, *numbers(account))


def owner(path: str) -> Optional[str]:
    """Name of the user who has a file; ``None`` where it or the user is not there."""
    try:
        return pwd.getpwuid(os.lstat(path).st_uid).pw_name
    except (OSError, KeyError):
        return None


def group_name(path: str) -> Optional[str]:
    """Name of the group that has a file; ``None`` where it or the group is not there."""
    try:
        return grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return None


def remove_if_empty(directory: str) -> None:
    """Remove a directory; one that has something in it, is none or is not there, is no error."""
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.EBUSY, errno.ENOTDIR):
            raise


def has_entries(path: str, besides: Collection[str] = ()) -> bool:
    """Return whether there is such a directory, and something in it ``besides`` some paths."""
    try:
        with os.scandir(path) as entries:
            return any(entry.path not in besides for entry in entries)
    except OSError:
        return False
