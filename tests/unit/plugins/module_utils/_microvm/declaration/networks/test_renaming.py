# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks under new names: they are told from others by what makes a network."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.renaming import (
    renamed_networks,
)

OLD: dict[str, Any] = {"name": "old0", "address": "10.66.1.1/24", "nat": True}
NEW: dict[str, Any] = {**OLD, "name": "new0"}
WIRE: dict[str, Any] = {"name": "wire0", "mode": "macvtap", "link": "eth0"}


@pytest.mark.parametrize(
    ("recorded", "declared", "expected"),
    [
        ([OLD], [NEW], {"old0": "new0"}),
        ([OLD], [{**NEW, "nat": False, "isolate": True}], {"old0": "new0"}),
        ([OLD, WIRE], [{**WIRE, "name": "wire1"}, NEW], {"old0": "new0", "wire0": "wire1"}),
        ([OLD], [OLD, {**NEW, "address": "10.66.2.1/24"}], {}),
        ([OLD], [{**NEW, "address": "10.66.2.1/24"}], {}),
        ([OLD], [{**NEW, "mode": "routed"}], {}),
        ([WIRE], [{**WIRE, "name": "wire1", "link": "eth1"}], {}),
        ([OLD], [], {}),
    ],
)
def test_a_network_has_a_new_name_if_mode_address_and_link_are_the_same(
    recorded: list[dict[str, Any]], declared: list[dict[str, Any]], expected: dict[str, str]
) -> None:
    assert renamed_networks(parse_networks(recorded), parse_networks(declared)) == expected
