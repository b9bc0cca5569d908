# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users of the host, by systemd-sysusers(8), which makes many at once."""

from __future__ import annotations

import grp
import pwd
import time
from typing import List, Mapping, Optional, Tuple

from ..declaration.accounts import NO_SHELL, Account, User
from ..schema.quoting import fields, plain, unit_word
from .commands import HostError, run

ENDING_SECONDS = 10
"""Time limit for the last process of a user who is renamed."""


def exists(user: str) -> bool:
    """Return whether there is such a user."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def no_user(user: str) -> str:
    """Return the reason to refuse a user whom the host does not have."""
    return f"there is no user {user!r} on this host; create the user, or correct the name"


def user_numbers(user: str) -> Optional[Tuple[int, int]]:
    """Return the numbers of a user, by name or number, and of its own group; ``None`` where there is none."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def look_up(user: str) -> Optional[User]:
    """Return a user; ``None`` where there is none of the name."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    return User(group_by_number(entry.pw_gid), entry.pw_dir, entry.pw_shell, _other_groups(user))


def _other_groups(user: str) -> Tuple[str, ...]:
    return tuple(sorted(group.gr_name for group in grp.getgrall() if user in group.gr_mem))


def number_of_user(user: str) -> Optional[int]:
    """Return the number of a user; ``None`` where there is none of the name."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def group_exists(group: str) -> bool:
    """Return whether there is a group of the name."""
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def group_by_number(number: int) -> str:
    """Return the name of a group, or its number where it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def user_by_number(number: int) -> str:
    """Return the name of a user, or its number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def create_group(group: str) -> None:
    """Make a system group."""
    run(["groupadd", "--system", group])


def create_user(name: str, user: User) -> None:
    """Make a system user, in groups that exist."""
    run(["useradd", "--system", "--no-create-home", *_properties(user), name])


def change_user(name: str, user: User) -> None:
    """Give a user another group, home and shell, and more groups."""
    run(["usermod", "--append", *_properties(user), name])


def join_group(name: str, group: str) -> None:
    """Put a user into one more group."""
    run(["usermod", "--append", "--groups", group, name])


def _properties(user: User) -> List[str]:
    return [
        *("--gid", user.group, "--groups", ",".join(user.other_groups)),
        *("--home", user.home, "--shell", user.shell),
    ]


def numbers(account: Account) -> Tuple[int, int]:
    """Return the numbers of a user and a group, either of which may be a number. Raises KeyError for one that there is
    not."""
    user, group = account.user, account.group
    return (
        int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid,
        int(group) if group.isdigit() else grp.getgrnam(group).gr_gid,
    )


def group_number(group: str) -> int:
    """Return the number of a group, or root's for one that there is not: then nobody else can read what it is for."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return 0


def create_users(homes: Mapping[str, str]) -> None:
    """Make system users, each with a group of its own; ``homes`` are their state directories."""
    lines = [_sysusers_line(user, home) for user, home in sorted(homes.items())]
    if lines:
        run(["systemd-sysusers", "--inline", *lines])


def _sysusers_line(user: str, home: str) -> str:
    """Return a line of sysusers.d(5)."""
    return fields(plain("u"), plain(user), plain("-"), unit_word("MicroVM"), unit_word(home), plain(NO_SHELL))


def rename_user(former: str, name: str, home: str) -> None:
    """Rename a user and its group, which keep their numbers. A rename that was killed is completed.

    Raises HostError for a user whose processes do not end.
    """
    if group_exists(former) and not group_exists(name):
        run(["groupmod", "--new-name", name, former])
    deadline = time.monotonic() + ENDING_SECONDS
    while exists(former):
        try:
            run(["usermod", "--login", name, "--home", home, former])
        except HostError:
            # A process of a MicroVM that was just stopped may be ending.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def remove_user(user: str) -> None:
    """Take a user and its group away; one that is not there is no error."""
    if exists(user):
        try:
            run(["userdel", user])
        except HostError:
            # A process may be just ending.
            run(["userdel", "--force", user])
