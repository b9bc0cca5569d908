# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Permissions of users on the host, asked as the user: mode, access lists and mounts count alike."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
from typing import Iterator, List, Tuple

from ..declaration.accounts import Account
from . import accounts

_NOBODY = 65534
"""Number of a user and a group that own nothing, and have what everybody has."""


def is_permitted(owner: Account, path: str, mode: int) -> bool:
    """Return whether an account may use a path as ``mode`` says (``os.R_OK`` and the like).

    An account that does not exist yet may do what everybody may.
    """
    with _acting_as(owner):
        return os.access(path, mode, effective_ids=True)


@contextlib.contextmanager
def _acting_as(owner: Account) -> Iterator[None]:
    """Be an account for a moment. The real user stays root, so that no process of the account can do this one harm."""
    former = os.getgroups()
    user, groups = _identity(owner)
    try:
        os.setgroups(groups)
        os.setegid(groups[0])
        os.seteuid(user)
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(former)


@functools.cache
def _identity(owner: Account) -> Tuple[int, List[int]]:
    """Return the number of a user and those of its groups, its own first; asked once, since services may be behind."""
    try:
        user, group = accounts.numbers(owner)
    except KeyError:
        return _NOBODY, [_NOBODY]
    own = pwd.getpwuid(user).pw_name
    return user, [group, *(number for number in os.getgrouplist(own, group) if number != group)]
