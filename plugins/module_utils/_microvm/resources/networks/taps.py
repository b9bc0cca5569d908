# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The taps of networks: what their files of rules say, and what the kernel has of it. Pure."""

from __future__ import annotations

import json
import re
from typing import Collection, FrozenSet, List, Optional, Tuple

_MAC = re.compile(r'^add element \S+ \S+ macs \{ "[^"]+" \. ([0-9A-Fa-f:]{17}) \}$', re.MULTILINE)


def bound_mac(rules: Optional[str]) -> Optional[str]:
    """Return the MAC address of the guest that a tap is bound to, if it is known."""
    match = _MAC.search(rules or "")
    return match.group(1).lower() if match else None


def deletions(rules: str, others: Collection[str]) -> List[str]:
    """Return the commands of nft(8) that delete the elements of a tap, but for those that other taps have too."""
    shared = {line for text in others for line in text.splitlines()}
    return [f"delete {line[len('add ') :]}" for line in rules.splitlines() if line not in shared]


def parse_elements(output: str) -> FrozenSet[str]:
    """Return the interfaces of a set, of the output of ``nft list set``."""
    return frozenset(re.findall(r'"([^"]+)"', output.partition("elements")[2]))


def parse_entries(output: str) -> FrozenSet[Tuple[str, str]]:
    """Return the ports with their static MAC addresses, of the output of ``bridge -json fdb show`` (bridge(8))."""
    entries = json.loads(output or "[]")
    return frozenset((entry["ifname"], entry["mac"].lower()) for entry in entries if entry.get("state") == "static")
