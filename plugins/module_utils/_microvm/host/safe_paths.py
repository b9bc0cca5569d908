# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths below directories of somebody else's, opened component by component.

Whoever may write to a directory can replace what is in it by a link, at any moment: a check of the path before it is
used proves nothing. So a directory is opened inside of the one before, and what is done in the end is done in the
directory that was opened (path_resolution(7)). Links are followed in the root directory alone, as in ``/data``: of any
other link, neither its owner nor that of its directory says that root has placed it, since root of a guest is root in
the directories that the guest shares.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Iterator, List, Optional, Tuple

from . import files
from .commands import HostError

_MOST_LINKS = 40
"""Number of links that the kernel itself follows in one path."""

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened_parent(path: str, mode: int = 0o755, makes: bool = False) -> Iterator[Tuple[int, str]]:
    """Give the opened directory that an absolute path is in, and the last component.

    ``makes`` creates directories of root's that are missing on the way, with ``mode``. Raises HostError for a link
    outside of the root directory, and OSError.
    """
    parent, name = os.path.split(os.path.normpath(path))
    directory = _open(parent, mode, makes)
    try:
        yield directory, name
    finally:
        os.close(directory)


@contextlib.contextmanager
def opened_directory(path: str) -> Iterator[int]:
    """Give the opened directory at an absolute path; see opened_parent."""
    directory = _open(os.path.normpath(path), 0o755, makes=False)
    try:
        yield directory
    finally:
        os.close(directory)


def create_directory(path: str, owner: Tuple[int, int], mode: int, mode_above: int = 0o755) -> None:
    """Create a directory with the numbers of its user and group, as a whole or not at all; one that is there stays.

    Directories of root's that are missing on the way to it get ``mode_above``. Raises HostError for a path through a
    link that others than root could have placed, and OSError.
    """
    with opened_parent(path, mode_above, makes=True) as (parent, name):
        if _look_up(parent, name) is not None:
            return
        aside = files.aside_of(name)
        if _look_up(parent, aside) is not None:
            # A killed run leaves an empty directory; anything else was made by others and is kept.
            os.rmdir(aside, dir_fd=parent)
        os.mkdir(aside, 0o700, dir_fd=parent)
        directory = os.open(aside, _FLAGS, dir_fd=parent)
        try:
            os.fchown(directory, *owner)
            os.fchmod(directory, mode)
        finally:
            os.close(directory)
        os.rename(aside, name, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)


def is_only_roots(path: str) -> bool:
    """Return whether only root can create or replace what is at a path, and the directories to it that are missing."""
    directory, entry = os.path.split(path)
    if not os.path.isdir(directory):
        return is_only_roots(directory)
    is_last = True
    while True:
        status = os.stat(directory)
        is_sticky = status.st_uid == 0 and bool(status.st_mode & stat.S_ISVTX) and not is_last
        if not files.is_roots_alone(status) and not (is_sticky and os.lstat(f"{directory}/{entry}").st_uid == 0):
            return False
        if directory == "/":
            return True
        is_last, (directory, entry) = False, os.path.split(directory)


def changeable_place(path: str) -> Optional[str]:
    """Return the first place on the way to a path that others than root can change; ``None`` if there is none.

    Links are followed, since whoever can replace one decides where the path leads. What is missing can only be made by
    whoever can change the directory that it is missing in. Raises OSError.
    """
    waiting, links, place, status = _components(path), 0, "/", os.lstat("/")
    while waiting:
        parent, entry = place, os.path.normpath(os.path.join(place, waiting.pop(0)))
        following = os.lstat(entry) if os.path.lexists(entry) else None
        if not files.is_roots_alone(status) and not _is_kept(status, following):
            return parent
        if following is None:
            return None
        if not stat.S_ISLNK(following.st_mode):
            place, status = entry, following
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(entry)
        waiting = [*_components(target), *waiting]
        place = "/" if target.startswith("/") else parent
        status = os.lstat(place)
    return None if files.is_roots_alone(status) else place


def refuse_changeable(path: str, use: str, ways_out: str, is_walked: bool = True) -> None:
    """Refuse what others than root can change, or replace, or exchange what is in it if ``is_walked``.

    ``use`` says what root does with it. Raises HostError, and OSError.
    """
    place = changeable_place(path) or (_changeable_part(os.path.realpath(path)) if is_walked else None)
    if place is not None:
        raise HostError(
            f"{place} can be changed by others than root, because of its owner or mode, and {use}; let root own it "
            f"(chown -R root, chmod -R go-w), {ways_out}"
        )


def place_open_to_all(path: str) -> Optional[str]:
    """Return a path, or the directory on the way to it, that everybody can change; ``None`` if there is none.

    Raises OSError.
    """
    place, is_last = os.path.realpath(path), True
    while True:
        mode = os.stat(place).st_mode
        if mode & stat.S_IWOTH and (is_last or not mode & stat.S_ISVTX):
            return place
        if place == "/":
            return None
        place, is_last = os.path.dirname(place), False


def _changeable_part(directory: str) -> Optional[str]:
    """Return what is in a directory, or what a link in it leads to, that others than root can change."""
    waiting = [directory] if os.path.isdir(directory) else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            # The mode of a link says nothing.
            is_own = entry.is_symlink() or files.is_roots_alone(entry.stat(follow_symlinks=False))
            place = (changeable_place(entry.path) if entry.is_symlink() else None) if is_own else entry.path
            if place is not None:
                return place
            waiting += [entry.path] if entry.is_dir(follow_symlinks=False) else []
    return None


def _is_kept(directory: os.stat_result, entry: Optional[os.stat_result]) -> bool:
    """Return whether an entry of root's stays in place by the sticky bit of a directory that others may write to."""
    is_sticky = directory.st_uid in (0, os.geteuid()) and bool(directory.st_mode & stat.S_ISVTX)
    return is_sticky and entry is not None and entry.st_uid in (0, os.geteuid())


def _open(path: str, mode: int, makes: bool) -> int:
    waiting, links = _components(path), 0
    directory, is_root = os.open("/", _FLAGS), True
    try:
        while waiting:
            component = waiting.pop(0)
            entry = _look_up(directory, component)
            if entry is None or not stat.S_ISLNK(entry.st_mode):
                directory, is_root = _step(directory, component, mode, makes), False
                continue
            links += 1
            waiting = [*_components(_target(directory, component, path, is_root, links)), *waiting]
    except BaseException:
        os.close(directory)
        raise
    return directory


def _components(path: str) -> List[str]:
    return [component for component in path.split("/") if component]


def _look_up(directory: int, component: str) -> Optional[os.stat_result]:
    try:
        return os.stat(component, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _target(directory: int, component: str, path: str, is_root: bool, links: int) -> str:
    """Return where a link of the root directory leads. Raises HostError for any other, and OSError for too many."""
    if not is_root:
        raise HostError(
            f"{path} leads through the link {component!r}, which others than root may have placed; declare the path "
            "that it leads to, or remove the link"
        )
    if links > _MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return os.readlink(component, dir_fd=directory)


def _step(directory: int, component: str, mode: int, makes: bool) -> int:
    """Open a directory inside of another, which is closed."""
    if makes:
        with contextlib.suppress(FileExistsError):
            os.mkdir(component, mode, dir_fd=directory)
    following = os.open(component, _FLAGS, dir_fd=directory)
    os.close(directory)
    return following
