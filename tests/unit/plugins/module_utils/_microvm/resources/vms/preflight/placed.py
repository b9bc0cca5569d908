# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations as preflight is given them."""

from __future__ import annotations

from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.expected import Placed

from ....examples import parse

USER = {"name": "one", "kernel": "/boot/vmlinuz", "mem": 300, "interfaces": [{"type": "user"}]}
TAP = {**USER, "name": "two", "interfaces": [{"type": "user"}, {"bridge": "br-none"}]}


def placed(*raw: dict[str, Any]) -> Placed:
    """Return declarations with their places."""
    return [(f"vms[{index}]", declaration) for index, declaration in enumerate(parse(*raw))]
