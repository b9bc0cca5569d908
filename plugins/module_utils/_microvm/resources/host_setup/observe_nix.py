# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the Nix of a host."""

from __future__ import annotations

import os
import stat
import time
from typing import Iterator, Optional, Tuple

from ...declaration import names
from ...host import accounts, nix, systemd
from ...host.commands import HostError
from ...host.systemd import Unit
from .nix_settings import USERS_GROUP, NixState, has_line, place_of_line
from .state import Wanted


def observe_nix(wanted: Wanted, root: str = "") -> NixState:
    """Return the state of Nix; where nothing of it is wanted, and nothing of ours is there, only that."""
    place = place_of_line(_configuration(root + names.NIX_CONFIGURATION)[0] or "")
    text, mode, obstacle = _configuration(root + place)
    ours = (names.NIX_SETTINGS, f"{names.UNIT_DIRECTORY}/{names.NIX_GARBAGE_TIMER}")
    if not wanted.nix and not has_line(text or "") and not any(os.path.lexists(root + path) for path in ours):
        return NixState()
    units = systemd.show([names.NIX_GARBAGE_TIMER, names.NIX_DAEMON, names.NIX_SOCKET])
    changed = [_changed(root + path) for path in (names.NIX_CONFIGURATION, place, names.NIX_SETTINGS)]
    is_installed = nix.store_program() is not None
    warnings, mistake = _read(wanted) if is_installed else ((), "")
    return NixState(
        is_installed=is_installed,
        configuration=place,
        text=text,
        mode=mode,
        obstacle=obstacle,
        units=units,
        is_daemon_stale=_is_older(units[names.NIX_DAEMON], max(changed)),
        outside=tuple(_outside(wanted)),
        unknown=tuple(user for user in wanted.nix_users if accounts.look_up(user) is None),
        warnings=warnings,
        mistake=mistake,
    )


def _read(wanted: Wanted) -> Tuple[Tuple[str, ...], str]:
    """Let Nix read the settings that it is to have. Returns what it warns of, and why it cannot read them."""
    settings = wanted.files.get(names.NIX_SETTINGS)
    if settings is None:
        return (), ""
    try:
        return tuple(nix.configuration_warnings(settings.content)), ""
    except HostError as error:
        return (), str(error)


def _configuration(path: str) -> Tuple[Optional[str], int, str]:
    """Return content and mode of a configuration, and what keeps us from changing it."""
    try:
        status = os.lstat(path)
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
    except FileNotFoundError:
        is_link = os.path.islink(path)
        return None, 0o644, "it is a symbolic link that leads nowhere" if is_link else ""
    except UnicodeDecodeError:
        return None, 0o644, "it is not UTF-8 text"
    is_regular = stat.S_ISREG(status.st_mode)
    return (
        text,
        stat.S_IMODE(status.st_mode),
        "" if is_regular else "it is a symbolic link to a file of somebody else's",
    )


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _is_older(daemon: Unit, changed: float) -> bool:
    """Return whether a daemon that runs was started before its settings changed: it reads them once."""
    return daemon.active_state == "active" and time.time() - daemon.active_seconds < changed


def _outside(wanted: Wanted) -> Iterator[str]:
    if accounts.group_exists(USERS_GROUP):
        for user in wanted.nix_users:
            account = accounts.look_up(user)
            if account is not None and USERS_GROUP not in (account.group, *account.other_groups) and user != "root":
                yield user
