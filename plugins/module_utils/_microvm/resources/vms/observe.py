# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the MicroVMs of a host: one listing of the store, one question to systemd, a look at each state directory."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ...declaration.accounts import SHARED, Account, account
from ...declaration.names import (
    BOOTED_LINK,
    CURRENT_LINK,
    FLAKE_FILE,
    OLD_LINK,
    SOCKET_DIRECTORY,
    STATE_ENTRIES,
    WORK_DIRECTORY,
    unit_name,
)
from ...declaration.types import PackagedVm
from ...host import accounts, files, restrictions, state_directories, systemd
from ...host.places import Places
from ...host.records import Record
from ...host.restrictions import package_problem
from ...host.store import PackageStore
from ...runner.package import COMMAND_LINE_FILE
from ...runner.unit_filter import problem_of_settings
from ...runner.units import UNIT_TEMPLATES, external_directories
from .state import LINKS, Installed, Observed, Wanted


def observe(places: Places, wanted: Sequence[Wanted]) -> Dict[str, Observed]:
    """Return the MicroVMs of a run by name."""
    directories = {vm.name: external_directories(vm.declaration) if vm.package else () for vm in wanted}
    return observe_names(places, directories, {vm.name: vm.account for vm in wanted})


def observe_name(places: Places, name: str, owner: Account = SHARED) -> Observed:
    """Return one MicroVM; ``owner`` is the account that is to run it."""
    return observe_names(places, {name: ()}, {name: owner})[name]


def observe_names(
    places: Places, directories: Mapping[str, Sequence[str]], users: Mapping[str, Account]
) -> Dict[str, Observed]:
    """Return MicroVMs by name.

    ``directories`` are those outside of the state directory that are looked for, of each; ``users`` the accounts that
    are to run them.
    """
    packages, units = places.store.contents(), _units(places, list(directories))
    return {
        name: _observe(places, name, paths, users.get(name, SHARED), packages.get(name, []), units[name])
        for name, paths in directories.items()
    }


def _units(places: Places, names: Sequence[str]) -> Dict[str, systemd.Unit]:
    """Return the services of MicroVMs by name; stale where systemd has not read the files of a helper unit either."""
    templates = [template for template in UNIT_TEMPLATES if template != unit_name("")]
    helpers = {
        name: [_instance(template, name) for template in templates if os.path.exists(places.drop_in(template, name))]
        for name in names
    }
    units = systemd.show([*map(unit_name, names), *(unit for listed in helpers.values() for unit in listed)])
    stale = {name: any(units[unit].stale for unit in (unit_name(name), *helpers[name])) for name in names}
    return {name: replace(units[unit_name(name)], stale=stale[name]) for name in names}


def _instance(template: str, name: str) -> str:
    return template.replace("@", f"@{name}")


def _observe(
    places: Places, name: str, directories: Iterable[str], owner: Account, packages: List[str], unit: systemd.Unit
) -> Observed:
    directory = places.state(name)
    entries, sockets = _entries(directory)
    targets = {link: files.link_target(places.state(name, link)) for link in LINKS}
    record = places.records.read(name)
    ours = {link: _package(places.store, target, record) for link, target in targets.items()}
    current, booted = ours[CURRENT_LINK], ours[BOOTED_LINK]
    declared = places.declaration(current)
    drop_ins = {template: _drop_in(places.drop_in(template, name)) for template in UNIT_TEMPLATES}
    return Observed(
        name=name,
        entries=tuple(sorted(entries)),
        sockets=tuple(sorted(sockets)),
        exists=os.path.isdir(directory),
        is_former=state_directories.is_former(directory),
        group=state_directories.group_name(directory),
        current=current,
        booted=booted,
        old=ours[OLD_LINK],
        foreign=None if current else targets[CURRENT_LINK],
        packages=tuple(packages),
        record=record,
        drop_ins={template: content for template, content in drop_ins.items() if content is not None},
        environment=files.read_text(places.environment(name)),
        flake=read_flake(name, places),
        declared=declared,
        booted_declared=declared if booted in (None, current) else places.declaration(booted),
        booted_command_line=places.store.read(booted, COMMAND_LINE_FILE) if booted else "",
        volumes=tuple(volume for volume in record.volumes if os.path.lexists(places.work(name, volume)))
        if record
        else (),
        full_directories=tuple(path for path in record.directories if files.has_entries(path)) if record else (),
        state_directory=places.state_directory,
        missing_directories=tuple(path for path in directories if not os.path.isdir(path)),
        has_account=not owner.is_own or accounts.exists(owner.user),
        unit=unit,
    )


def _drop_in(path: str) -> Optional[str]:
    """Return a drop-in's content. A directory alone or a half-made file, left by a killed run, counts as an empty one,
    so that a plan replaces or removes it."""
    content = files.read_text(path)
    if content is not None:
        return content
    directory = os.path.dirname(path)
    is_left = os.path.exists(files.aside_of(path)) or (os.path.isdir(directory) and not files.has_entries(directory))
    return "" if is_left else None


def _package(store: PackageStore, target: Optional[str], record: Optional[Record]) -> Optional[str]:
    """Return the package that a link leads to: one of the store, or an external one that a record names."""
    if target is None:
        return None
    is_recorded = record is not None and record.generation(target) is not None
    return store.owns(target) or (target if is_recorded else None)


def _entries(directory: str) -> Tuple[List[str], List[str]]:
    """Return the entries of a state directory and of the working directory in it, and which of them are sockets.

    In the former layout both were one.
    """
    own = {WORK_DIRECTORY, SOCKET_DIRECTORY, *STATE_ENTRIES}
    is_former = state_directories.is_former(directory)
    outside = [entry for entry in _listed(directory) if entry.name not in (WORK_DIRECTORY, SOCKET_DIRECTORY)]
    inside = _listed(os.path.join(directory, WORK_DIRECTORY))
    if is_former:
        inside += [entry for entry in outside if entry.name not in own]
        outside = [entry for entry in outside if entry.name in own]
    in_work = {f"{WORK_DIRECTORY}/{entry.name}": entry for entry in inside}
    sockets = [name for name, entry in in_work.items() if _is_socket(entry, os.path.join(directory, SOCKET_DIRECTORY))]
    return [*(entry.name for entry in outside), *in_work], sockets


def _listed(directory: str) -> List[os.DirEntry[str]]:
    try:
        return list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_socket(entry: os.DirEntry[str], sockets: str) -> bool:
    """Return whether an entry is a socket, or a link to one of root's daemons."""
    if entry.is_symlink():
        return (files.link_target(entry.path) or "").startswith(f"{sockets}/")
    return stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)


def installed(places: Places, package: str, name: str, is_external: bool = False) -> Installed:
    """Look at a package that is there and that is to be run by the MicroVM ``name``."""
    declaration, drop_ins = places.declaration(package), places.unit_settings(package)
    owner = account(declaration) if declaration else SHARED
    # Those that are not ours are where somebody else has put them.
    is_external = is_external or declaration is None or package.startswith("/")
    problem = package_problem(declaration, restrictions.read(), is_external)
    problem = problem or problem_of_settings(drop_ins, declaration, places.store.path(package), name)
    return Installed(package, owner, drop_ins, problem)


def installed_generations(places: Places, record: Optional[Record]) -> Dict[str, Installed]:
    """Return the packages of a record's generations that are there, by name."""
    if record is None:
        return {}
    return {
        generation.package: installed(places, generation.package, record.name, generation.external)
        for generation in record.generations
        if os.path.isdir(places.store.path(generation.package))
    }


def recorded_beside(places: Places, names: Sequence[str]) -> List[PackagedVm]:
    """Return the declarations of the MicroVMs on the host that are none of ``names``, as their packages record them."""
    undeclared = (name for name in places.store.contents() if name not in names)
    targets = (files.link_target(places.state(name, CURRENT_LINK)) for name in undeclared)
    declarations = (places.declaration(places.store.owns(target)) for target in targets if target)
    return [declaration for declaration in declarations if declaration is not None]


def read_flake(name: str, places: Places) -> Optional[str]:
    """Return the flake that a MicroVM was built from; ``None`` where root has not written it, since others can."""
    path = places.state(name, FLAKE_FILE)
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
        return None
    return (files.read_text(path) or "").strip() or None
