# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Selectors, by which ``allow`` names guests instead of addresses: ``microvm:web`` and ``tag:frontend``."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple, Optional

from ...schema import checks

MICROVM, TAG = "microvm", "tag"

_CHECKS: Dict[str, Callable[[str], Optional[str]]] = {MICROVM: checks.name, TAG: checks.vm_tag}


class Selector(NamedTuple):
    """Guests by the name of their MicroVM, or by a tag."""

    kind: str
    value: str


def selector_of(text: str) -> Optional[Selector]:
    """Return the selector that a text is; ``None`` for addresses and networks, which have no such prefix."""
    kind, colon, value = text.partition(":")
    return Selector(kind, value) if colon and kind in _CHECKS else None


def _or_selector(check: Callable[[str], Optional[str]]) -> Callable[[str], Optional[str]]:
    def check_text(value: str) -> Optional[str]:
        selector = selector_of(value)
        return check(value) if selector is None else _CHECKS[selector.kind](selector.value)

    return check_text


allowed_origin = _or_selector(checks.interface_name_or_ipv4_subnet)
allowed_destination = _or_selector(checks.ipv4_subnet)
