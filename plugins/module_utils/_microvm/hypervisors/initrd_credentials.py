# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials for guests whose hypervisor has no channel of its own: appended to the initial RAM disk.

The kernel unpacks several archives one after the other, and systemd takes credentials from
``/.extra/system_credentials`` (systemd.system-credentials(7)); the initrd of our images does the same for an older one.
``microvm-run`` appends them in memory that only the hypervisor can open: no argument and no file has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ..declaration.vms.guest import credentials
from ..declaration.vms.host_key import files_of_credentials
from ..declaration.vms.parse import Declaration
from ..schema.errors import DeclarationError


@dataclass(frozen=True)
class Initrd:
    """Initial RAM disk that a hypervisor opens: the declared file, or one with credentials."""

    path: Optional[str]
    names: Tuple[str, ...] = ()
    descriptor: int = 0


def initrd_with_credentials(declaration: Declaration, descriptor: int, by_serial: bool = True) -> Initrd:
    """Return the initial RAM disk; one that credentials are appended to is open at ``descriptor``.

    Raises DeclarationError where there is none to append them to.
    """
    names = (*credentials(declaration, by_serial), *sorted(files_of_credentials(declaration)))
    path = declaration["initrd_path"]
    if not names:
        return Initrd(path)
    if path is None:
        raise DeclarationError(
            "initrd_path", f"is required because {declaration['hypervisor']} passes credentials in it; set it"
        )
    return Initrd(f"/proc/self/fd/{descriptor}", names, descriptor)
