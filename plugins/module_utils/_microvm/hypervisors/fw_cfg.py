# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials by fw_cfg, QEMU's channel of files, which other hypervisors have too."""

from __future__ import annotations

from typing import Callable, List

from ..declaration.vms.guest import credentials
from ..declaration.vms.parse import Declaration
from .words import CredentialFile, Text, Variable, join

CREDENTIAL_PREFIX = "opt/io.systemd.credentials/"
"""Prefix of the names of systemd's files (systemd.system-credentials(7))."""


def fw_cfg(
    declaration: Declaration, by_serial: bool, option: str, key: str, escape: Callable[[str], str]
) -> List[Text]:
    """Return credentials as ``option name=…,key=FILE``: files, never arguments, since they may be secrets."""
    arguments: List[Text] = []
    for name in credentials(declaration, by_serial):
        file = (Variable.PACKAGE, f"/share/microvm/credentials/{name}")
        arguments += [option, join(f"name={CREDENTIAL_PREFIX}{name},{key}=", *file)]
    for name, path in sorted(declaration["credential_files"].items()):
        file_of_host = CredentialFile(name, escape(path))
        arguments += [option, join(f"name={CREDENTIAL_PREFIX}{name},{key}=", file_of_host)]
    return arguments
