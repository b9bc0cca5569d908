# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs whose package is given, not declared here: by Nix, by `microvm render`, or by hand."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, replace
from typing import Dict, Optional, Tuple, cast

from ..declaration.accounts import SHARED, Account, account
from ..declaration.names import CURRENT_LINK, FLAKE_FILE
from ..declaration.types import PackagedVm
from ..declaration.vms.host_options import HOST_OPTIONS
from ..declaration.vms.options import PACKAGE_OPTIONS
from ..host import accounts, files, nix, systemd
from ..host.commands import HostError
from ..host.locks import locked
from ..host.records import Record
from ..resources.vms.install import create_state, link
from ..resources.vms.state import Observed, Places, declared, observe_names
from ..runner.package import DECLARATION_FILE, File, Package
from ..schema.compaction import complete
from ..schema.options import defaults

RUN_SCRIPT = "bin/microvm-run"


@dataclass(frozen=True)
class Given:
    """A package, and the MicroVM that it is for."""

    name: str
    package: str
    """Its directory's name in our store, or the path of one that stays where it is."""
    content: Optional[Package] = None
    """What is to be copied."""


def given(name: str, directory: str) -> Given:
    """A package of any origin. Raises HostError for a directory that is none."""
    path = os.path.realpath(directory)
    if not os.access(os.path.join(path, RUN_SCRIPT), os.X_OK):
        raise HostError(f"{directory} is no runner package: it has no executable {RUN_SCRIPT}")
    if path.startswith(nix.STORE):
        return Given(name, path)
    content = _read(name, path)
    return Given(name, content.directory_name, content)


def _read(name: str, directory: str) -> Package:
    found: Dict[str, File] = {}
    for parent, directories, entries in os.walk(directory):
        links = [one for one in directories if os.path.islink(os.path.join(parent, one))]
        for entry in (*entries, *links):
            path = os.path.join(parent, entry)
            found[os.path.relpath(path, directory)] = _file(path)
    return Package(name, found)


def _file(path: str) -> File:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return File(os.readlink(path).encode(), is_link=True)
    if not stat.S_ISREG(mode):
        raise HostError(f"{path} is neither a file nor a link; a package has nothing else")
    with open(path, "rb") as file:
        return File(file.read(), executable=bool(mode & stat.S_IXUSR))


def install_given(one: Given, places: Places, flake: Optional[str] = None) -> bool:
    """Let ``current`` lead to the package; tells whether it did not. It is not started. Raises HostError."""
    with locked([one.name]):
        observed = observe_names(places, {one.name: ()})[one.name]
        owner = _check(one, observed, places)
        is_there = observed.current == one.package and flake == read_flake(one.name, places)
        if is_there and not observed.unit.stale:
            return False
        record, kept = _record(one, observed, owner, places)
        places.records.write(record)
        _put(one, observed, owner, places)
        _remember(one.name, flake, places)
        link(one.name, one.package, record.unit_settings, places)
        systemd.daemon_reload()
        for package in observed.packages:
            if package not in kept:
                places.store.remove(package)
    return not is_there


def _check(one: Given, observed: Observed, places: Places) -> Account:
    """The account that runs it. Raises HostError."""
    if observed.foreign is not None:
        raise HostError(
            f"{places.state(one.name)} is another's MicroVM (current -> {observed.foreign}); choose another name"
        )
    if observed.record is not None and observed.record.state_directory != places.state_directory:
        place = observed.record.state_directory
        raise HostError(f"{one.name} is in {place}; say --state-dir {place}, or remove it there first")
    if observed.record is not None and observed.record.is_bad(one.package) and observed.current != one.package:
        known = observed.record.generation(one.package)
        raise HostError(
            f"{one.name}: this package is marked bad; if it is not, say so first: "
            f"microvm generations {one.name} --good {known.number if known else ''}"
        )
    owner = _owner(one, places)
    if observed.exists and observed.group != owner.group:
        raise HostError(
            f"{places.state(one.name)} is there, of the group {observed.group}, while the package runs as "
            f"{owner.user}; remove the MicroVM first, or give a package of the same isolation"
        )
    if not owner.is_own and not accounts.exists(owner.user):
        raise HostError(f"there is no user {owner.user}; prepare the host by the role microvm.fleet.host first")
    return owner


def _owner(one: Given, places: Places) -> Account:
    """Packages that say nothing of it are microvm.nix's, or by hand."""
    text = one.content.files.get(DECLARATION_FILE) if one.content else None
    known = declared(places.store, one.package) if text is None else _declared(text)
    if known is None:
        return SHARED
    if known["name"] != one.name:
        raise HostError(f"the package is that of the MicroVM {known['name']!r}, and not of {one.name!r}")
    return account(known)


def _declared(file: File) -> PackagedVm:
    return cast(PackagedVm, complete(PACKAGE_OPTIONS, json.loads(file.content)))


def _record(one: Given, observed: Observed, owner: Account, places: Places) -> Tuple[Record, Dict[str, None]]:
    record = observed.record or Record(one.name, places.state_directory)
    # An account that was there before is somebody else's to remove.
    is_new = owner.is_own and not accounts.exists(owner.user)
    record = replace(record, user=owner.user if is_new else record.user)
    if observed.current != one.package or record.generation(one.package) is None:
        record = record.with_generation(one.package)
    used = (one.package, observed.current, observed.booted, observed.old)
    kept = record.kept(defaults(HOST_OPTIONS)["keep_generations"], [package for package in used if package])
    return record.only(kept), kept


def _put(one: Given, observed: Observed, owner: Account, places: Places) -> None:
    if owner.is_own and not accounts.exists(owner.user):
        accounts.create({owner.user: places.state(one.name)})
    if one.content is not None:
        places.store.install(one.content)
    if not observed.exists:
        os.makedirs(places.state_directory, exist_ok=True)
        create_state(places.state(one.name), owner)


def _remember(name: str, flake: Optional[str], places: Places) -> None:
    """Where a MicroVM is from; before the link, so that whoever sees that knows this too."""
    if flake is None:
        files.remove(places.state(name, FLAKE_FILE))
    else:
        files.replace_file(places.state(name, FLAKE_FILE), flake.encode())


def read_flake(name: str, places: Places) -> Optional[str]:
    """The flake that a MicroVM was built from; ``None`` where root has not written one: others write there too."""
    path = places.state(name, FLAKE_FILE)
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
        return None
    return (files.read_text(path) or "").strip() or None


def is_installed(name: str, places: Places) -> bool:
    """Whether the host has such a MicroVM."""
    return os.path.lexists(places.state(name, CURRENT_LINK))
