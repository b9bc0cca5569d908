# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Subnets of networks. Pure."""

from __future__ import annotations

import ipaddress

from ..types import Network


def subnet(network: Network) -> ipaddress.IPv4Network:
    """Return the subnet of a network's address."""
    return ipaddress.IPv4Interface(network["address"]).network
