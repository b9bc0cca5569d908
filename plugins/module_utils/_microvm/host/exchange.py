# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exchange of two directories, so that at no moment one of them is missing (RENAME_EXCHANGE of renameat2(2))."""

from __future__ import annotations

import ctypes
import errno
import os

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of kernels, C libraries and file systems that cannot do it."""


def exchange(path: str, other: str) -> None:
    """Let two paths of one file system change places. Raises OSError.

    Where nothing can do that at once, ``path`` is missing for a moment, and for good after a kill at that moment.
    """
    try:
        exchange_at_once(path, other)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        aside = f"{other}.former"
        os.rename(path, aside)
        os.rename(other, path)
        os.rename(aside, other)


def exchange_at_once(path: str, other: str) -> None:
    """Let two paths change places, or raise OSError with an error of ``UNSUPPORTED`` where nothing can do that."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if function(_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path, None, other)
