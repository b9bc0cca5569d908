# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of devices that a host hands over, which is the record of this collection and what its unit reads. Pure.

Its lines are ``functions ADDRESS NUMBER IDENTITY``, ``function ADDRESS NUMBER WORDS`` with words of ip-link(8), and
``device ADDRESS DRIVER RESTORE IDENTITY``, where a hyphen stands for no driver. The identity is the numbers of the
vendor and of the kind of device, where they are known: another one may be at the address when the host starts again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from ...declaration.names import DEVICE_LIST
from ...declaration.types import HostDeviceFunction
from ...declaration.vfio.options import KEPT
from ...host.commands import HostError
from ...schema.quoting import Quoted, fields, one_per_line, plain

_HEADER = "# Written by microvm.fleet; changes here are lost.\n"
_LINE = re.compile(
    r"functions (?P<card>[0-9a-f:.]+) (?P<number>[0-9]+)( (?P<card_identity>[0-9a-f]{4}:[0-9a-f]{4}))?"
    r"|function [0-9a-f:.]+ [0-9]+ .+"
    r"|device (?P<address>[0-9a-f:.]+) (?P<driver>[A-Za-z0-9_-]+) (?P<restore>absent|stop)"
    r"( (?P<identity>[0-9a-f]{4}:[0-9a-f]{4}))?"
)
_NONE = "-"


@dataclass(frozen=True)
class Taken:
    """Device that is taken from the host."""

    driver: str = ""
    """Driver that gets it back; empty for the kernel's choice."""
    restore: str = KEPT
    identity: str = ""
    """Numbers of its vendor and kind; empty where they are not known."""


@dataclass(frozen=True)
class DeviceRecord:
    """Devices that are handed over, as they are listed."""

    functions: Mapping[str, int] = field(default_factory=dict)
    """Number of virtual functions by the card's address."""
    taken: Mapping[str, Taken] = field(default_factory=dict)
    """Devices and functions by address."""
    settings: Mapping[Tuple[str, int], Tuple[str, ...]] = field(default_factory=dict)
    """Words of ip-link(8) by the card's address and the number of the function."""
    cards: Mapping[str, str] = field(default_factory=dict)
    """Identities of cards with virtual functions by address, as far as they are known."""

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is handed over."""
        return not self.functions and not self.taken

    def identity(self, address: str) -> str:
        """Return what a device or card was when it was recorded; empty where that is not known."""
        return self.cards.get(address, "") or self.taken.get(address, Taken()).identity


def parse_list(text: Optional[str]) -> DeviceRecord:
    """Return what is listed, without the settings of functions. Raises HostError."""
    functions, taken, cards = {}, {}, {}
    for line in (text or "").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise HostError(
                f"{DEVICE_LIST} is damaged ({line!r}); hand the devices of the host back by hand, and remove the file"
            )
        if match["card"]:
            functions[match["card"]] = int(match["number"])
            if match["card_identity"]:
                cards[match["card"]] = match["card_identity"]
        if match["address"]:
            driver = "" if match["driver"] == _NONE else match["driver"]
            taken[match["address"]] = Taken(driver, match["restore"], match["identity"] or "")
    return DeviceRecord(functions, taken, cards=cards)


def list_of(record: DeviceRecord) -> str:
    """Return the content of the list: cards before their functions."""
    return _HEADER + one_per_line(_lines(record))


def _lines(record: DeviceRecord) -> Iterator[str]:
    for card, number in sorted(record.functions.items()):
        yield fields(plain("functions"), plain(card), plain(number), *_known(record.cards.get(card, "")))
    for (card, number), words in sorted(record.settings.items()):
        if words:
            yield fields(plain("function"), plain(card), plain(number), *map(plain, words))
    for address, taken in sorted(record.taken.items()):
        words = (plain("device"), plain(address), plain(taken.driver or _NONE), plain(taken.restore))
        yield fields(*words, *_known(taken.identity))


def _known(identity: str) -> Sequence[Quoted]:
    return [plain(identity)] if identity else []


def function_words(function: HostDeviceFunction) -> Sequence[str]:
    """Return the words of ip-link(8) for what a new function does not have anyway."""
    words = [] if function["mac"] is None else ["mac", function["mac"]]
    words += ["vlan", str(function["vlan"])] if function["vlan"] else []
    words += ["trust", "on"] if function["trust"] else []
    return words if function["spoof_check"] else [*words, "spoofchk", "off"]
