# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that put a MicroVM on the host, before systemd is told."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Callable, Dict, Mapping, Tuple

from ...declaration.accounts import SHARED, Account
from ...declaration.accounts import account as account_of
from ...declaration.identity import account_name
from ...declaration.names import CURRENT_LINK, OLD_LINK, OWN_ENTRIES
from ...host import files
from ...host.accounts import numbers
from . import settings
from .plan import Action, Plan
from .state import DROP_IN_TEMPLATES, Places, Wanted, declared

STATE_DIRECTORY_MODES = {True: 0o1770, False: 0o1775}
"""By whether the account is the MicroVM's own. The hypervisor, by its group, may make files but, by the sticky bit, not
replace the links, which are root's."""

DIRECTORY_MODE = 0o755


def install(plan: Plan, wanted: Wanted, places: Places) -> None:
    """Carry out the steps of a plan that come before systemd's."""
    name, package, store = plan.name, wanted.package, places.store
    if package is None:
        return
    work: Dict[Action, Callable[[str], None]] = {
        Action.INSTALL: lambda _package: store.install(package),
        Action.CREATE_STATE: lambda _name: create_state(places.state(name), wanted.account),
        Action.OWN_STATE: lambda _user: _own_state(places.state(name), wanted),
        Action.CREATE_DIRECTORY: lambda path: _create_directory(path, numbers(wanted.account), DIRECTORY_MODE),
        Action.LINK_OLD: lambda target: files.replace_link(places.state(name, OLD_LINK), store.path(target)),
        Action.LINK_CURRENT: lambda target: files.replace_link(places.state(name, CURRENT_LINK), store.path(target)),
        Action.WRITE_ENVIRONMENT: lambda _name: _write(places.environment(name), wanted.environment or ""),
        Action.REMOVE_DROP_IN: lambda unit: remove_drop_in(unit, name, places),
        Action.WRITE_DROP_IN: lambda unit: _write_drop_in(unit, name, plan.drop_ins, places),
    }
    for step in plan.steps:
        if step.action in work:
            work[step.action](step.target)


def link(name: str, package: str, unit_settings: str, places: Places) -> None:
    """Let ``current`` lead to a package that is installed, with the drop-ins that it brings along. The caller reloads
    systemd."""
    target = files.link_target(places.state(name, CURRENT_LINK))
    if target is not None and target != places.store.path(package):
        files.replace_link(places.state(name, OLD_LINK), target)
    files.replace_link(places.state(name, CURRENT_LINK), places.store.path(package))
    texts = settings.drop_ins(places.unit_files(package), unit_settings)
    for template in DROP_IN_TEMPLATES:
        if template in texts:
            _write(places.drop_in(template, name), texts[template])
        else:
            files.remove(os.path.dirname(places.drop_in(template, name)))


def _template(unit: str, name: str) -> str:
    return unit.replace(f"@{name}", "@")


def _write_drop_in(unit: str, name: str, texts: Mapping[str, str], places: Places) -> None:
    template = _template(unit, name)
    _write(places.drop_in(template, name), texts[template])


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.replace_file(path, text.encode())


def remove_drop_in(unit: str, name: str, places: Places) -> None:
    """Take away what a MicroVM has of one of its units. The caller reloads systemd."""
    files.remove(os.path.dirname(places.drop_in(_template(unit, name), name)))


def create_state(path: str, account: Account) -> None:
    """A state directory. Raises OSError, and KeyError for an account that there is not."""
    _create_directory(path, (0, numbers(account)[1]), STATE_DIRECTORY_MODES[account.is_own])


def _create_directory(path: str, owner: Tuple[int, int], mode: int) -> None:
    """With its owner and mode at once: a directory that is there counts as right, also where another MicroVM of the run
    has just made it. Nobody can put a link in its place meanwhile."""
    if os.path.isdir(path):
        return
    aside = f"{path}.partial"
    if os.path.isdir(aside):
        # What a killed run left is empty; anything else is not from here, and not taken.
        os.rmdir(aside)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mkdir(aside, 0o700)
    directory = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(directory, *owner)
        os.fchmod(directory, mode)
    finally:
        os.close(directory)
    os.rename(aside, path)
    files.sync_directory(os.path.dirname(path))


def _own_state(path: str, wanted: Wanted) -> None:
    """What is in it first: whoever finds the directory with the right group takes all in it for right. In a directory
    with the sticky bit, the new user could not even remove what the one before has left. Nobody runs meanwhile."""
    account = wanted.account
    former = {user.user for user in (SHARED, Account(account_name(wanted.name), ""))}
    volumes = [os.path.join(path, volume["image"]) for volume in wanted.declaration["volumes"]]
    for entry in [*(entry.path for entry in os.scandir(path) if _is_left(entry)), *volumes]:
        if os.path.isfile(entry) and not os.path.islink(entry) and files.owner(entry) not in former:
            # Somebody gave it another owner, by whom the MicroVM can use it.
            continue
        if os.path.lexists(entry) and not os.path.islink(entry):
            os.chown(entry, *numbers(account), follow_symlinks=False)
    os.chmod(path, STATE_DIRECTORY_MODES[account.is_own])
    shutil.chown(path, "root", account.group)


def _is_left(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode) or entry.name in OWN_ENTRIES


def fits(name: str, package: str, places: Places) -> bool:
    """Whether a package is run by the account that has the state directory."""
    known = declared(places.store, package)
    return known is None or files.group(places.state(name)) == account_of(known).group
