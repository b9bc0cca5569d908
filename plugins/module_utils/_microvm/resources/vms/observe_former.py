# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at MicroVMs that are to be renamed: what a host has under their former names."""

from __future__ import annotations

import glob
import os
from typing import Dict, Iterator, Mapping, NamedTuple, Optional

from ...declaration.identity import account_name
from ...declaration.names import ARCHIVE_DIRECTORY
from ...host import accounts, guest_keys, holds, known_hosts, nix
from ...host.places import Places
from ...runner.units import UNIT_TEMPLATES
from .observe import observe_names
from .plan_rename import Former
from .state import Observed


class Formers(NamedTuple):
    """MicroVMs as they are under their former names, by their new ones; and errors of those that cannot be read."""

    vms: Dict[str, Former]
    errors: Dict[str, str]


def has_former(places: Places, former: str) -> bool:
    """Return whether a host has something under a former name, which a rename takes over."""
    return places.records.has(former) or os.path.lexists(places.state(former))


def observe_formers(places: Places, former_names: Mapping[str, str]) -> Formers:
    """Return the MicroVMs that have something under a former name; ``former_names`` are by the new ones."""
    present = {name: former for name, former in former_names.items() if has_former(places, former)}
    if not present:
        return Formers({}, {})
    observed, errors = observe_names(places, dict.fromkeys(present.values(), ()), {})
    return Formers(
        {name: _former(places, name, observed[former]) for name, former in present.items() if former in observed},
        {name: errors[former] for name, former in present.items() if former in errors},
    )


def _former(places: Places, name: str, observed: Observed) -> Former:
    former_account, account = account_name(observed.name), account_name(name)
    has_user, has_group = accounts.exists(former_account), accounts.group_exists(former_account)
    is_taken = (has_user and accounts.exists(account)) or (has_group and accounts.group_exists(account))
    return Former(
        observed,
        has_account=has_user or has_group,
        is_account_taken=is_taken,
        has_archive=os.path.isdir(os.path.join(ARCHIVE_DIRECTORY, observed.name)),
        has_roots=os.path.isdir(nix.roots_directory(observed.name)),
        has_host_key=known_hosts.has_key(observed.name) or guest_keys.is_made(observed.name),
        moving=next((moved for moved in (observed.name, name) if holds.is_moving(moved)), None),
        mount_point=_mount_point(places, observed.name),
        drop_ins_of_others=tuple(_drop_ins_of_others(places, observed.name)),
    )


def _mount_point(places: Places, name: str) -> Optional[str]:
    paths = (places.state(name), places.work(name))
    return next((path for path in paths if os.path.ismount(path)), None)


def _drop_ins_of_others(places: Places, name: str) -> Iterator[str]:
    for own in (places.drop_in(template, name) for template in UNIT_TEMPLATES):
        files_beside = glob.glob(os.path.join(glob.escape(os.path.dirname(own)), "*.conf"))
        yield from sorted(path for path in files_beside if path != own)
