# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Context identifiers of guests in the host's own vsock(7)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

DEVICE = "/dev/vhost-vsock"

_SET_GUEST_CID = 0x4008AF60
"""VHOST_VSOCK_SET_GUEST_CID of the kernel's linux/vhost.h."""


def is_in_use(context: int) -> bool:
    """Return whether a guest of the host has a context identifier, as far as its kernel can be asked.

    The identifier is taken for a moment, as a hypervisor takes it, and given back.
    """
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(device, _SET_GUEST_CID, struct.pack("=Q", context))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    finally:
        os.close(device)
    return False
