# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that are declared under another name than before. Pure."""

from __future__ import annotations

from typing import Dict, Sequence

from ..types import Network


def renamed_networks(recorded: Sequence[Network], declared: Sequence[Network]) -> Dict[str, str]:
    """Return the new names of networks by their former ones; ``recorded`` are those that the host has.

    A network that is no longer declared has a new name if one that is new has its mode, address and link.
    """
    former = _without(recorded, declared)
    return {
        old["name"]: new["name"]
        for old in former
        for new in _without(declared, recorded)
        if (old["mode"], old["address"], old["link"]) == (new["mode"], new["address"], new["link"])
    }


def _without(networks: Sequence[Network], others: Sequence[Network]) -> Sequence[Network]:
    names = {network["name"] for network in others}
    return [network for network in networks if network["name"] not in names]
