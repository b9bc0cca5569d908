# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users of the host, by systemd-sysusers(8), which makes many at once."""

from __future__ import annotations

import grp
import pwd
from typing import Mapping, Tuple

from ..declaration.accounts import Account
from .commands import HostError, run

NO_SHELL = "/usr/sbin/nologin"


def exists(user: str) -> bool:
    """Return whether there is such a user."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def numbers(account: Account) -> Tuple[int, int]:
    """Return the numbers of a user and a group. Raises KeyError for one that there is not."""
    return pwd.getpwnam(account.user).pw_uid, grp.getgrnam(account.group).gr_gid


def create_users(homes: Mapping[str, str]) -> None:
    """Make system users, each with a group of its own; ``homes`` are their state directories."""
    lines = [f'u {user} - "MicroVM" "{home}" {NO_SHELL}' for user, home in sorted(homes.items())]
    if lines:
        run(["systemd-sysusers", "--inline", *lines])


def remove_user(user: str) -> None:
    """Take a user and its group away; one that is not there is no error."""
    if exists(user):
        try:
            run(["userdel", user])
        except HostError:
            # A process may be just ending.
            run(["userdel", "--force", user])
