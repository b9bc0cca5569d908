# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of units, as their files and drop-ins have them (systemd.syntax(7))."""

from __future__ import annotations

import re
from typing import Iterator, List, Tuple

from .bus import ask

_BLANKS = " \t\r"
"""Characters that systemd takes from both ends of a line; Python knows more of them, which belong to a path."""

Setting = Tuple[str, str]
"""Key and value; an empty value forgets the earlier ones of a list."""


def service_settings(unit: str, instance: str) -> List[Setting]:
    """Return the section [Service] of a unit and its drop-ins, in the order in which systemd reads them.

    ``instance`` takes the place of ``%i``. Raises HostError.
    """
    return list(parse_service(ask(["systemctl", "cat", "--no-pager", "--", unit]), instance))


def parse_service(text: str, instance: str) -> Iterator[Setting]:
    """Yield the settings of all sections [Service] of the files that `systemctl cat` prints."""
    section = ""
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        stripped = line.strip(_BLANKS)
        if stripped.startswith("["):
            section = stripped
        elif section == "[Service]" and "=" in stripped and not stripped.startswith(("#", ";")):
            key, _equals, value = stripped.partition("=")
            yield key.strip(_BLANKS), _without_specifiers(value.strip(_BLANKS), instance)


def _without_specifiers(value: str, instance: str) -> str:
    return re.sub("%[%i]", lambda match: "%" if match.group() == "%%" else instance, value)
