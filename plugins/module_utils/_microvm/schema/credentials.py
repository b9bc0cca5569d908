# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users, passwords and tokens in URLs, which everybody would read."""

from __future__ import annotations

import re

_USERS = re.compile(r"([A-Za-z0-9+.-]+)://([^/?\s]*)@")
"""Scheme and user of a URL."""

_SECRETS = re.compile(r"(?P<begin>[?&]([a-z]+[_-])?(token|password|secret)=)[^&#]*", re.IGNORECASE)
"""Parameters of a URL that nobody else is to know, such as GitLab's ``private_token``."""


def has_credentials(text: str) -> bool:
    """Return whether a URL in a string has a password or token, or a user where there is no SSH that needs a name."""
    return _SECRETS.search(text) is not None or any(
        ":" in user or scheme.lower().rpartition("+")[2] in ("http", "https") for scheme, user in _USERS.findall(text)
    )


def without_credentials(reference: str) -> str:
    """Return a URL as reports may show it."""
    if not has_credentials(reference):
        return reference
    return _SECRETS.sub(r"\g<begin>…", _USERS.sub(r"\1://…@", reference))
