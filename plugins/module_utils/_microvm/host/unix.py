# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unix sockets of state directories."""

from __future__ import annotations

import os
import socket
import stat

from .safe_paths import opened_parent


def connect(path: str, timeout: float) -> socket.socket:
    """A connection, by a short way to the directory: an address has room for 107 bytes (unix(7)), a MicroVM's name may
    have 63. Raises OSError, and HostError for a link that others could have placed."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with opened_parent(path) as (directory, name):
            # No link, which could lead to another's: these directories are their users'.
            if not stat.S_ISSOCK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise ConnectionError(f"{path} is not a socket")
            connection.connect(f"/proc/self/fd/{directory}/{name}")
    except BaseException:
        connection.close()
        raise
    return connection
