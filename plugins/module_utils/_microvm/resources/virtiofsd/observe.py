# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the shares of a host that belong to no MicroVM, and at what they need."""

from __future__ import annotations

import grp
import os
import shutil
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from ...declaration.accounts import ROOT_NAMES
from ...declaration.names import UNIT_DIRECTORY, share_service_unit, share_socket_unit
from ...declaration.types import HostShare
from ...host import accounts, file_systems, files, safe_paths, systemd
from ...host.commands import HostError, search_path
from ...host.versions import installed_version
from ...hypervisors.programs import FORMER_VIRTIOFSD, WHOLE_VIRTIOFSD
from .state import Observed, Problem, UserNumbers

DAEMON_DIRECTORY = "/usr/libexec"
"""Directory where distributions have virtiofsd, which is not in the search path."""


def observe_shares(shares: Sequence[HostShare], directory: str = UNIT_DIRECTORY) -> Observed:
    """Return the state by one question to systemd, and the files of units in ``directory``."""
    names = [unit for share in shares for unit in (share_socket_unit(share["name"]), share_service_unit(share["name"]))]
    contents = {name: files.read_text(os.path.join(directory, name)) for name in names}
    units = systemd.show(names)
    present = [share for share in shares if share["state"] == "present"]
    sources = {share["source"] or "" for share in present}
    existing = frozenset(source for source in sources if os.path.lexists(source))
    problems = ((share["name"], _problem(share)) for share in present)
    return Observed(
        units={name: content for name, content in contents.items() if content is not None},
        active=frozenset(name for name, unit in units.items() if unit.running),
        failed=frozenset(name for name, unit in units.items() if unit.active_state == "failed"),
        enabled=frozenset(name for name, unit in units.items() if unit.enabled),
        stale=frozenset(name for name, unit in units.items() if unit.stale),
        accounts=dict(_accounts(share["user"] for share in present)),
        programs=dict(_programs(share["package"] for share in present)),
        owners={share["name"]: _owner(share) for share in present},
        sources=existing,
        problems={name: problem for name, problem in problems if problem is not None},
        lacking={share["name"]: tuple(_lacking(share)) for share in present if share["source"] in existing},
    )


def _accounts(users: Iterator[str]) -> Iterator[Tuple[str, UserNumbers]]:
    for user in users:
        account = _account(user)
        if account is not None:
            yield user, account


def _account(user: str) -> Optional[UserNumbers]:
    """Return the numbers of a user. One without an entry has a group of the same number."""
    numbers = accounts.user_numbers(user)
    if numbers is None and user.isdigit():
        numbers = int(user), int(user)
    return UserNumbers(*numbers) if numbers else None


def _group(group: str) -> Optional[int]:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _owner(share: HostShare) -> UserNumbers:
    """Return the owner of a directory that is made; accounts that are missing are reported as problems before."""
    owner = _account(share["source_owner"] or share["user"]) or UserNumbers(0, 0)
    group = _group(share["source_group"]) if share["source_group"] else owner.gid
    return UserNumbers(owner.uid, 0 if group is None else group)


def _programs(packages: Iterator[str]) -> Iterator[Tuple[str, str]]:
    for package in packages:
        program = _program(package)
        if program is not None:
            yield package, program


def _program(package: str) -> Optional[str]:
    return shutil.which(package, path=f"{search_path()}:{DAEMON_DIRECTORY}")


def _problem(share: HostShare) -> Optional[Problem]:
    return (
        _problem_of_accounts(share)
        or _problem_of_program(share)
        or _problem_of_socket(share)
        or _problem_of_source(share)
    )


def _problem_of_accounts(share: HostShare) -> Optional[Problem]:
    users: Mapping[str, Optional[str]] = {"user": share["user"], "source_owner": share["source_owner"]}
    for option, user in users.items():
        if user is not None and _account(user) is None:
            return Problem(option, accounts.no_user(user))
    account = _account(share["user"])
    if share["user"] not in ROOT_NAMES and account is not None and account.uid == 0:
        return Problem("user", f"{share['user']} is another name of root; set `user: root`, or name another user")
    groups: Mapping[str, Optional[str]] = {"group": share["group"], "source_group": share["source_group"]}
    for option, group in groups.items():
        if group is not None and _group(group) is None:
            return Problem(option, f"there is no group {group!r} on this host; create the group, or correct the name")
    return None


def _problem_of_program(share: HostShare) -> Optional[Problem]:
    program = _program(share["package"])
    version = installed_version(program) if program is not None else None
    if version is None or WHOLE_VIRTIOFSD <= version < FORMER_VIRTIOFSD:
        return None
    return Problem(
        "package",
        f"{program} has version {'.'.join(map(str, version))}, and lacks options that this module uses; install "
        f"virtiofsd {'.'.join(map(str, WHOLE_VIRTIOFSD))} or newer (Debian 13 has it), and name it here",
    )


def _problem_of_socket(share: HostShare) -> Optional[Problem]:
    if safe_paths.is_only_roots(share["socket"]):
        return None
    return Problem(
        "socket",
        f"others than root can create or replace files on the way to {share['socket']}; remove this option, or name a "
        "directory of root's",
    )


def _problem_of_source(share: HostShare) -> Optional[Problem]:
    source = share["source"] or ""
    if share["user"] in ROOT_NAMES and not safe_paths.is_only_roots(source):
        return Problem(
            "source",
            f"others than root can put another directory in the place of {source}, and root would serve that; set "
            "`user` to the one who owns it, or name a directory in one of root's",
        )
    try:
        with safe_paths.opened_directory(source):
            pass
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return Problem("source", f"{source} is no directory; name the directory to serve")
    except (HostError, OSError) as error:
        return Problem("source", str(error))
    if share["inode_file_handles"] == "mandatory" and file_systems.HANDLES in file_systems.missing_features(source):
        return Problem(
            "inode_file_handles", f"the file system of {source} has no file handles; set prefer, or remove this option"
        )
    return None


def _lacking(share: HostShare) -> Iterator[str]:
    """Yield what the guest would be offered, and the file system of the source does not have."""
    missing = file_systems.missing_features(share["source"] or "")
    if share["posix_acl"] and file_systems.ACCESS_LISTS in missing:
        yield file_systems.ACCESS_LISTS
    if file_systems.ATTRIBUTES in missing:
        yield file_systems.ATTRIBUTES
    if share["inode_file_handles"] == "prefer" and file_systems.HANDLES in missing:
        yield file_systems.HANDLES
