# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks whether a host can filter what macvtaps send."""

from __future__ import annotations

import shutil
from typing import Sequence

from ...declaration.networks.macvtap import is_macvtap
from ...declaration.types import Network
from ...host.commands import HostError, run
from ...schema.errors import DeclarationError
from .configuration import recorded_networks
from .state import Observed

_PROBE = """\
add table netdev microvm_fleet_probe
add chain netdev microvm_fleet_probe guest { type filter hook egress device "lo" priority filter; policy accept; }
delete table netdev microvm_fleet_probe
"""


def refuse_unfiltered_macvtaps(observed: Observed, networks: Sequence[Network], path: str = "networks") -> None:
    """Refuse new networks of macvtaps whose guests could send any frame. Raises DeclarationError."""
    former = [network["name"] for network in recorded_networks(observed.files) if is_macvtap(network)]
    new = [index for index, network in enumerate(networks) if is_macvtap(network) and network["name"] not in former]
    if new and not can_filter_macvtaps():
        raise DeclarationError(
            f"{path}[{new[0]}].mode",
            "this host cannot filter what macvtaps send, which takes Linux 5.16 and nftables 1.0.1; update it, or "
            "declare macvtap.link and macvtap.mode of the MicroVMs' interfaces instead, which are not filtered",
        )


def can_filter_macvtaps() -> bool:
    """Return whether nft and the kernel have rules for what an interface sends.

    The answer is that of one transaction which leaves nothing behind. A host that has no nft yet may get one that has.
    """
    try:
        run(["nft", _PROBE])
    except HostError:
        return shutil.which("nft") is None
    return True
