# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Abilities of the file systems that directories are on: what a share can offer to its guest."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Callable, Mapping, Tuple

_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)
_AT_FDCWD = -100
_HANDLE_BYTES = 128
"""MAX_HANDLE_SZ of the kernel."""


class _Handle(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint), ("kind", ctypes.c_int), ("content", ctypes.c_char * _HANDLE_BYTES))


def _has_attribute(directory: str, name: str) -> bool:
    try:
        os.getxattr(directory, name)
    except OSError as error:
        return error.errno not in _NOT_SUPPORTED
    return True


def _has_handles(directory: str) -> bool:
    """Return whether files have handles by which they are opened again (open_by_handle_at(2))."""
    library, handle, mount = ctypes.CDLL(None, use_errno=True), _Handle(_HANDLE_BYTES), ctypes.c_int()
    arguments = (os.fsencode(directory), ctypes.byref(handle), ctypes.byref(mount), 0)
    if library.name_to_handle_at(_AT_FDCWD, *arguments) == 0:
        return True
    return ctypes.get_errno() not in _NOT_SUPPORTED


_FEATURES: Mapping[str, Callable[[str], bool]] = {
    "access control lists": lambda directory: _has_attribute(directory, "system.posix_acl_access"),
    "extended attributes": lambda directory: _has_attribute(directory, "user.microvm"),
    "file handles": _has_handles,
}

ACCESS_LISTS, ATTRIBUTES, HANDLES = _FEATURES


def missing_features(directory: str) -> Tuple[str, ...]:
    """Return what the file system of an existing directory does not have."""
    return tuple(feature for feature, has in _FEATURES.items() if not has(directory))
