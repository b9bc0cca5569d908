# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials by fw_cfg, QEMU's channel of files.

Other hypervisors have the device too, but describe it in no ACPI table, so the kernels of distributions do not find it.
"""

from __future__ import annotations

from typing import Callable, List

from ...declaration.vms.guest import credentials
from ...declaration.vms.host_key import files_of_credentials
from ...declaration.vms.parse import Declaration
from ..words import CredentialFile, Text, Variable, join

CREDENTIAL_PREFIX = "opt/io.systemd.credentials/"
"""Prefix of the names of systemd's files (systemd.system-credentials(7))."""


def fw_cfg(declaration: Declaration, escape: Callable[[str], str]) -> List[Text]:
    """Return credentials as ``-fw_cfg name=…,file=FILE``: files, never arguments, since they may be secrets."""
    arguments: List[Text] = []
    for name in credentials(declaration, by_serial=True):
        file = (Variable.PACKAGE, f"/share/microvm/credentials/{name}")
        arguments += ["-fw_cfg", join(f"name={CREDENTIAL_PREFIX}{name},file=", *file)]
    for name, path in sorted(files_of_credentials(declaration).items()):
        file_of_host = CredentialFile(name, escape(path))
        arguments += ["-fw_cfg", join(f"name={CREDENTIAL_PREFIX}{name},file=", file_of_host)]
    return arguments
