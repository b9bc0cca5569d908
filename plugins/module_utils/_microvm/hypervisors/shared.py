# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several hypervisors are told alike: open macvtaps, credentials by fw_cfg, the size of a balloon by QMP."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Tuple

from ..declaration.vms.guest import credentials
from ..declaration.vms.parse import Declaration
from .interface import Balloon, CredentialFile, QmpRequest, Text, Variable, join

FIRST_DESCRIPTOR = 3
"""After standard input, output and errors."""

HUGE_PAGES = "/dev/hugepages"
"""Where systemd mounts them."""

CREDENTIAL_PREFIX = "opt/io.systemd.credentials/"
"""Of systemd.system-credentials(7), for fw_cfg."""

Descriptors = Mapping[str, List[int]]


def macvtap_descriptors(declaration: Declaration, queues: int) -> Dict[str, List[int]]:
    """File descriptors by macvtap, one for each queue."""
    names = [interface["id"] for interface in declaration["interfaces"] if interface["type"] == "macvtap"]
    starts = {name: FIRST_DESCRIPTOR + index * queues for index, name in enumerate(names)}
    return {name: list(range(start, start + queues)) for name, start in starts.items()}


def pairs(descriptors: Descriptors) -> Tuple[Tuple[str, int], ...]:
    """The same as Command.macvtaps has it."""
    return tuple((name, descriptor) for name, own in descriptors.items() for descriptor in own)


def next_descriptor(descriptors: Descriptors) -> int:
    """The first one that no macvtap has."""
    return FIRST_DESCRIPTOR + sum(map(len, descriptors.values()))


def fw_cfg(
    declaration: Declaration, by_serial: bool, option: str, key: str, escape: Callable[[str], str]
) -> List[Text]:
    """Credentials as ``option name=…,key=FILE``: files, never arguments, since a secret is the guest's affair only."""
    arguments: List[Text] = []
    for name in credentials(declaration, by_serial):
        file = (Variable.PACKAGE, f"/share/microvm/credentials/{name}")
        arguments += [option, join(f"name={CREDENTIAL_PREFIX}{name},{key}=", *file)]
    for name, path in sorted(declaration["credential_files"].items()):
        given = CredentialFile(name, escape(path))
        arguments += [option, join(f"name={CREDENTIAL_PREFIX}{name},{key}=", given)]
    return arguments


def qmp_balloon(declaration: Declaration) -> Optional[Balloon]:
    """The command ``balloon`` of the QEMU Machine Protocol, which says what is left to the guest."""
    if not declaration["balloon"] or declaration["socket"] is None:
        return None
    command = join('{"execute":"balloon","arguments":{"value":', Variable.GUEST_BYTES, "}}")
    return Balloon(QmpRequest(declaration["socket"], command))
