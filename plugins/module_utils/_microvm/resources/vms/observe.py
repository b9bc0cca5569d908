# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the MicroVMs of a host: one listing of the store, one question to systemd, a look at each state directory."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from dataclasses import replace
from functools import partial
from typing import (
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
)

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
from ...declaration.vms.guest_store import closure_name
from ...host import accounts, closures, files, guest_keys, known_hosts, nix, restrictions, state_directories, systemd
from ...host.commands import HostError
from ...host.places import Places
from ...host.records import Record
from ...host.restrictions import package_problem
from ...host.store import DamagedPackage, PackageStore
from ...runner.package import COMMAND_LINE_FILE
from ...runner.unit_filter import problem_of_settings
from ...runner.units import external_directories
from .needs import SOURCE_LISTS, package_needs
from .settings import DROP_IN_TEMPLATES
from .state import LINKS, Installed, Observed, Wanted

Value = TypeVar("Value")


class Observations(NamedTuple):
    """MicroVMs of a host by name, and errors of those whose state cannot be read, which hide no other."""

    vms: Dict[str, Observed]
    errors: Dict[str, str]


def observe(places: Places, wanted: Sequence[Wanted]) -> Observations:
    """Return the MicroVMs of a run."""
    directories = {vm.name: external_directories(vm.declaration) if vm.package else () for vm in wanted}
    every = observe_names(places, directories, {vm.name: vm.account for vm in wanted})
    removed = {vm.name for vm in wanted if vm.package is None and vm.name in every.vms}
    every.vms.update({name: replace(every.vms[name], has_host_key=_has_host_key(name)) for name in sorted(removed)})
    for vm in wanted:
        if vm.package is not None and vm.name in every.vms:
            every.vms[vm.name] = with_collectable(_with_found_images(every.vms[vm.name], vm), vm.package.place)
    return every


def with_collectable(observed: Observed, place: str) -> Observed:
    """Return a MicroVM with the packages that Nix may remove as garbage; ``place`` is the wanted one, or empty."""
    record = observed.record
    recorded = frozenset(generation.package for generation in record.generations) if record else frozenset()
    packages = {package for package in recorded if nix.is_collectable(observed.name, package) and nix.is_valid(package)}
    # That Nix does not know the wanted package is an error of the run.
    is_wanted = place not in recorded or (record is not None and not record.is_bad(place))
    if place and is_wanted and nix.is_collectable(observed.name, place):
        packages.add(place)
    return replace(observed, collectable=frozenset(packages))


def _has_host_key(name: str) -> bool:
    return known_hosts.has_key(name) or guest_keys.is_made(name)


def _with_found_images(observed: Observed, wanted: Wanted) -> Observed:
    recorded = observed.record.volumes if observed.record else ()
    images = (volume["image"] for volume in wanted.declaration["volumes"] if volume["image"].startswith("/"))
    return replace(
        observed, found_images=tuple(image for image in images if image not in recorded and os.path.lexists(image))
    )


def observe_name(places: Places, name: str, owner: Account = SHARED) -> Observed:
    """Return one MicroVM; ``owner`` is the account that is to run it. Raises HostError."""
    observed, errors = observe_names(places, {name: ()}, {name: owner})
    if errors:
        raise HostError(errors[name])
    return observed[name]


def observe_names(
    places: Places, directories: Mapping[str, Sequence[str]], users: Mapping[str, Account]
) -> Observations:
    """Return MicroVMs.

    ``directories`` are those outside of the state directory that are looked for, of each; ``users`` the accounts that
    are to run them.
    """
    packages, units = places.store.contents(), _units(places, list(directories))
    marked, every, given = places.store.damaged(), Observations({}, {}), guest_keys.given_names(directories)
    for name, paths in directories.items():
        own = _Packages(packages.get(name, []), marked)
        try:
            observed = _observe(places, name, paths, users.get(name, SHARED), own, units[name])
            closures_of = _closures_of(places, observed)
            every.vms[name] = replace(observed, is_key_given=name in given, closures_of=closures_of)
        except (HostError, OSError) as error:
            every.errors[name] = str(error)
    return every


def _closures_of(places: Places, observed: Observed) -> Dict[str, FrozenSet[str]]:
    """Return the closures that the packages of a MicroVM need, if any is kept."""
    needed: Dict[str, FrozenSet[str]] = {}
    for package in (*observed.packages, *observed.roots) if observed.closures else ():
        try:
            declaration = places.declaration(package)
        except DamagedPackage:
            # Nobody knows which.
            continue
        paths = declaration["store_paths"] if declaration else ()
        needed[package] = frozenset([closure_name(paths)] if paths else [])
    return needed


class _Packages(NamedTuple):
    """Packages of a MicroVM in the store, and the marked ones of all MicroVMs."""

    names: List[str]
    marked: FrozenSet[str]


def _units(places: Places, names: Sequence[str]) -> Dict[str, systemd.Unit]:
    """Return the services of MicroVMs by name; stale where systemd has not read the files of a helper unit either."""
    templates = [template for template in DROP_IN_TEMPLATES if template != unit_name("")]
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
    places: Places, name: str, directories: Iterable[str], owner: Account, packages: _Packages, unit: systemd.Unit
) -> Observed:
    directory = places.state(name)
    is_former = state_directories.is_former(directory)
    entries, sockets = _entries(directory, is_former)
    targets = {link: files.link_target(places.state(name, link)) for link in LINKS}
    record = places.records.read(name)
    ours = {link: _package(places.store, target, record) for link, target in targets.items()}
    current, booted = ours[CURRENT_LINK], ours[BOOTED_LINK]
    damaged = set(places.store.unusable(packages.names, packages.marked))
    declared = _unless_damaged(lambda: places.declaration(current), current, damaged)
    booted_declared, booted_command_line = declared, None
    if booted is not None:
        read_command_line = partial(places.store.read, booted, COMMAND_LINE_FILE)
        booted_command_line = _unless_damaged(read_command_line, booted, damaged)
        if booted != current:
            booted_declared = _unless_damaged(partial(places.declaration, booted), booted, damaged)
    drop_ins = {template: _drop_in(places.drop_in(template, name)) for template in DROP_IN_TEMPLATES}
    return Observed(
        name=name,
        entries=tuple(sorted(entries)),
        sockets=tuple(sorted(sockets)),
        exists=os.path.isdir(directory),
        is_former=is_former,
        group=state_directories.group_name(directory),
        current=current,
        booted=booted,
        old=ours[OLD_LINK],
        foreign=None if current else targets[CURRENT_LINK],
        packages=tuple(packages.names),
        damaged_packages=frozenset(damaged),
        roots=tuple(nix.kept_packages(name)),
        closures=closures.kept_closures(name),
        record=record,
        drop_ins={template: content for template, content in drop_ins.items() if content is not None},
        environment=_text(places.environment(name)),
        boot_directories=_text(places.boot_directories(name)) if record and record.directories else None,
        flake=read_flake(name, places),
        declared=declared,
        booted_declared=booted_declared,
        booted_command_line=booted_command_line or "",
        volumes=tuple(volume for volume in record.volumes if os.path.lexists(places.work(name, volume)))
        if record
        else (),
        full_directories=_full_directories(record) if record else (),
        state_directory=places.state_directory,
        missing_directories=tuple(path for path in directories if not os.path.isdir(path)),
        has_account=not owner.is_own or accounts.exists(owner.user),
        unit=unit,
    )


def _full_directories(record: Record) -> Tuple[str, ...]:
    """Return the directories with something that the record does not name; those inside before those outside."""
    full: List[str] = []
    for path in reversed(record.directories):
        if files.has_entries(path, {*record.volumes, *record.directories} - {*full}):
            full.append(path)
    return tuple(full)


def _unless_damaged(read: Callable[[], Value], package: Optional[str], damaged: Set[str]) -> Optional[Value]:
    """Return what is read of a package; ``None`` for one that is damaged, which is added to ``damaged``."""
    try:
        return read()
    except DamagedPackage:
        damaged.update([package] if package else [])
        return None


def _text(path: str) -> Optional[str]:
    """Return the content of a file that a plan replaces where it is not the wanted one: anything that cannot be read is
    not."""
    try:
        return files.read_text(path)
    except files.UnreadableFile:
        return ""


def _drop_in(path: str) -> Optional[str]:
    """Return a drop-in's content. A directory alone or a half-made file, left by a killed run, counts as an empty one,
    so that a plan replaces or removes it."""
    content = _text(path)
    if content is not None:
        return content
    directory = os.path.dirname(path)
    is_left = os.path.exists(files.aside_of(path)) or (os.path.isdir(directory) and not files.has_entries(directory))
    return "" if is_left else None


def installed_package(places: Places, name: str) -> Optional[str]:
    """Return the package that ``current`` of a MicroVM leads to, if it is one of ours. Raises HostError."""
    return _package(places.store, files.link_target(places.state(name, CURRENT_LINK)), places.records.read(name))


def _package(store: PackageStore, target: Optional[str], record: Optional[Record]) -> Optional[str]:
    """Return the package that a link leads to: one of the store, or an external one that a record names."""
    if target is None:
        return None
    is_recorded = record is not None and record.generation(target) is not None
    return store.owns(target) or (target if is_recorded else None)


def _entries(directory: str, is_former: bool) -> Tuple[List[str], List[str]]:
    """Return the entries of a state directory and of the working directory in it, and which of them are sockets.

    In the former layout both were one.
    """
    own = {WORK_DIRECTORY, SOCKET_DIRECTORY, *STATE_ENTRIES}
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
    try:
        return stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        # The hypervisor may create and remove files at any time.
        return False


def installed(places: Places, package: str, name: str, is_external: bool = False) -> Installed:
    """Look at a package that is there and that is to be run by the MicroVM ``name``."""
    declaration, drop_ins = places.declaration(package), places.unit_settings(package)
    owner = account(declaration) if declaration else SHARED
    # Those that are not ours are where somebody else has put them.
    is_external = is_external or declaration is None or package.startswith("/")
    problem = package_problem(declaration, restrictions.read(), is_external)
    problem = problem or problem_of_settings(drop_ins, declaration, places.store.path(package), name)
    needs = package_needs(declaration, _lists(places, package), partial(places.store.read, package))
    gives_host_key = bool(declaration and declaration["guest"]["host_key"])
    store_paths = tuple(declaration["store_paths"]) if declaration else ()
    return Installed(package, owner, drop_ins, problem, needs, gives_host_key, store_paths, declaration is not None)


def _lists(places: Places, package: str) -> List[str]:
    """Return the files of a package that list its shares."""
    directory = places.store.path(package)
    return [os.path.relpath(file, directory) for file in glob.glob(f"{glob.escape(directory)}/{SOURCE_LISTS}")]


def installed_generations(places: Places, record: Optional[Record]) -> Dict[str, Installed]:
    """Return the packages of a record's generations that are there, by name."""
    generations = {generation.package: generation for generation in record.generations} if record else {}
    damaged = places.store.unusable(list(generations), places.store.damaged())
    found: Dict[str, Installed] = {}
    for package, generation in generations.items():
        # A damaged one is as good as gone.
        if record is not None and package not in damaged:
            with contextlib.suppress(DamagedPackage):
                found[package] = installed(places, package, record.name, generation.external)
    return found


def recorded_beside(places: Places, names: Sequence[str]) -> List[PackagedVm]:
    """Return the declarations of the MicroVMs on the host that are none of ``names``, as their packages record them."""
    undeclared = (name for name in places.store.contents() if name not in names)
    targets = (files.link_target(places.state(name, CURRENT_LINK)) for name in undeclared)
    declarations: List[PackagedVm] = []
    for target in targets:
        # The damaged package of one MicroVM keeps no other from its state; a run of its own reports it.
        with contextlib.suppress(DamagedPackage):
            declaration = places.declaration(places.store.owns(target)) if target else None
            declarations += [declaration] if declaration is not None else []
    return declarations


def read_flake(name: str, places: Places) -> Optional[str]:
    """Return the flake that a MicroVM was built from; ``None`` where root has not written it, since others can."""
    path = places.state(name, FLAKE_FILE)
    if _is_of_others(path) is not None:
        return None
    return (_text(path) or "").strip() or None


def ignored_flake(name: str, places: Places) -> Optional[str]:
    """Return why the file with the flake of a MicroVM is not read; ``None`` where there is no such file, or it is."""
    path = places.state(name, FLAKE_FILE)
    if not os.path.lexists(path) or read_flake(name, places) is not None:
        return None
    return _is_of_others(path) or "has no text"


def _is_of_others(path: str) -> Optional[str]:
    """Return in which way others than root may have written a file; ``None`` where it is root's."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    return "does not belong to root" if status.st_uid not in (0, os.geteuid()) else None
