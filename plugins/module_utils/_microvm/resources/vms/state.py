# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is, and what is wanted, of each MicroVM."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, cast

from ...declaration.accounts import SHARED, Account, account
from ...declaration.names import BOOTED_LINK, CURRENT_LINK, OLD_LINK, SETTINGS_DIRECTORY, UNIT_DIRECTORY, unit_name
from ...declaration.types import PackagedVm
from ...declaration.vms.options import PACKAGE_OPTIONS
from ...declaration.vms.parse import Declaration
from ...host import accounts, files, systemd
from ...host.records import Record, Records
from ...host.store import PackageStore
from ...runner.package import COMMAND_LINE_FILE, DECLARATION_FILE, Package
from ...runner.units import UNIT_FILES, VIRTIOFSD_TEMPLATE, external_directories
from ...schema.compaction import complete

LINKS = (CURRENT_LINK, BOOTED_LINK, OLD_LINK)

DROP_IN_TEMPLATES = (unit_name(""), VIRTIOFSD_TEMPLATE)
"""Template units that MicroVMs have settings of their own for."""


@dataclass(frozen=True)
class Observed:
    """A MicroVM as the host has it. Packages are given by their directory names in the store."""

    name: str
    entries: Tuple[str, ...] = ()
    """What lies in the state directory, sorted."""
    sockets: Tuple[str, ...] = ()
    """Those of the entries that are sockets: what a killed hypervisor leaves."""
    exists: bool = False
    """Whether there is a state directory."""
    group: Optional[str] = None
    """Group of the state directory: that of the account which has it."""
    current: Optional[str] = None
    booted: Optional[str] = None
    old: Optional[str] = None
    foreign: Optional[str] = None
    """Target of a ``current`` that is not in our store: somebody else's MicroVM."""
    packages: Tuple[str, ...] = ()
    record: Optional[Record] = None
    drop_ins: Mapping[str, str] = field(default_factory=dict)
    """By template unit."""
    environment: Optional[str] = None
    declared: Optional[PackagedVm] = None
    """What the current package records of its declaration."""
    booted_declared: Optional[PackagedVm] = None
    """The same of the package that runs."""
    booted_command_line: str = ""
    volumes: Tuple[str, ...] = ()
    """Images that its starts have created and that are there, as they were declared."""
    full_directories: Tuple[str, ...] = ()
    """Those that were made for it outside of its state directory, and that have something in them."""
    state_directory: str = ""
    """The one that all MicroVMs of the run have theirs in."""
    missing_directories: Tuple[str, ...] = ()
    """Outside of the state directory: of shares and volumes."""
    has_account: bool = True
    unit: systemd.Unit = field(default_factory=systemd.Unit)

    @property
    def is_up(self) -> bool:
        """Whether it runs, or something of it is left: the host lost its power, or its helpers are just ending."""
        return self.unit.running or self.booted is not None


@dataclass(frozen=True)
class Wanted:
    """A MicroVM as it shall be."""

    declaration: Declaration
    state: str
    package: Optional[Package]
    """``None`` where nothing shall be left."""
    unit_settings: str = ""
    """What the unit's drop-in has beside what the package brings along."""
    environment: Optional[str] = None

    @property
    def name(self) -> str:
        """Name of the MicroVM."""
        return str(self.declaration["name"])

    @property
    def account(self) -> Account:
        """Who runs it."""
        return account(self.declaration)


@dataclass(frozen=True)
class Places:
    """Where things are on the host."""

    state_directory: str
    store: PackageStore = field(default_factory=PackageStore)
    records: Records = field(default_factory=Records)

    def state(self, name: str, *entry: str) -> str:
        """A MicroVM's state directory, or something in it."""
        return os.path.join(self.state_directory, name, *entry)

    @staticmethod
    def drop_in(template: str, name: str) -> str:
        """A MicroVM's own settings of one of its units."""
        prefix, suffix = template.split("@")
        return f"{UNIT_DIRECTORY}/{prefix}@{name}{suffix}.d/50-microvm-fleet.conf"

    @staticmethod
    def environment(name: str) -> str:
        """What the units' scripts read of a MicroVM."""
        return f"{SETTINGS_DIRECTORY}/{name}.env"

    def unit_files(self, package: str) -> Dict[str, str]:
        """The drop-ins that an installed package brings along, by template unit."""
        return _unit_files(lambda file: self.store.read(package, file))


def unit_files(package: Package) -> Dict[str, str]:
    """The drop-ins that a package brings along, by template unit."""
    return _unit_files(lambda file: package.files[file].content.decode() if file in package.files else "")


def _unit_files(read: Callable[[str], str]) -> Dict[str, str]:
    texts = {template: read(f"{UNIT_FILES}/{template}.conf") for template in DROP_IN_TEMPLATES}
    return {template: text for template, text in texts.items() if text}


def declared(store: PackageStore, package: Optional[str]) -> Optional[PackagedVm]:
    """What a package records of its declaration; ``None`` for one that was not rendered here."""
    text = store.read(package, DECLARATION_FILE) if package else ""
    return cast(PackagedVm, complete(PACKAGE_OPTIONS, json.loads(text))) if text else None


def recorded_beside(places: Places, names: Sequence[str]) -> List[PackagedVm]:
    """Declarations of the MicroVMs on the host that are none of ``names``, as their packages record them."""
    others = (name for name in places.store.contents() if name not in names)
    currents = (files.link_target(places.state(name, CURRENT_LINK)) for name in others)
    found = (declared(places.store, places.store.owns(current)) for current in currents if current)
    return [one for one in found if one is not None]


def observe(places: Places, wanted: Sequence[Wanted]) -> Dict[str, Observed]:
    """One listing of the store, one question to systemd, one look at each state directory."""
    directories = {one.name: external_directories(one.declaration) if one.package else () for one in wanted}
    users = {one.name: one.account for one in wanted}
    return observe_names(places, directories, users)


def observe_names(
    places: Places, directories: Mapping[str, Sequence[str]], users: Optional[Mapping[str, Account]] = None
) -> Dict[str, Observed]:
    """MicroVMs by name; ``directories`` are those outside of the state directory that are looked for, of each."""
    packages = places.store.contents()
    units = systemd.show([unit_name(name) for name in directories])
    return {
        name: _observe(places, name, paths, (users or {}).get(name, SHARED), packages.get(name, []), units)
        for name, paths in directories.items()
    }


def _observe(
    places: Places,
    name: str,
    directories: Iterable[str],
    owner: Account,
    packages: List[str],
    units: Mapping[str, systemd.Unit],
) -> Observed:
    directory = places.state(name)
    entries, sockets = _entries(directory)
    links = {link: files.link_target(places.state(name, link)) if link in entries else None for link in LINKS}
    record = places.records.read(name)
    ours = {link: _package(places.store, target, record) for link, target in links.items()}
    foreign = links[CURRENT_LINK] if links[CURRENT_LINK] and not ours[CURRENT_LINK] else None
    of_current = declared(places.store, ours[CURRENT_LINK])
    is_outdated = ours[BOOTED_LINK] not in (None, ours[CURRENT_LINK])
    drop_ins = {template: files.read_text(places.drop_in(template, name)) for template in DROP_IN_TEMPLATES}
    return Observed(
        name=name,
        entries=tuple(sorted(entries)),
        sockets=tuple(sorted(sockets)),
        exists=os.path.isdir(directory),
        group=files.group(directory),
        current=ours[CURRENT_LINK],
        booted=ours[BOOTED_LINK],
        old=ours[OLD_LINK],
        foreign=foreign,
        packages=tuple(packages),
        record=record,
        drop_ins={template: text for template, text in drop_ins.items() if text is not None},
        environment=files.read_text(places.environment(name)),
        declared=of_current,
        booted_declared=declared(places.store, ours[BOOTED_LINK]) if is_outdated else of_current,
        booted_command_line=places.store.read(ours[BOOTED_LINK] or "", COMMAND_LINE_FILE) if ours[BOOTED_LINK] else "",
        volumes=tuple(one for one in record.volumes if os.path.exists(places.state(name, one))) if record else (),
        full_directories=tuple(path for path in record.directories if files.has_entries(path)) if record else (),
        state_directory=places.state_directory,
        missing_directories=tuple(path for path in directories if not os.path.isdir(path)),
        has_account=not owner.is_own or accounts.exists(owner.user),
        unit=units[unit_name(name)],
    )


def _package(store: PackageStore, target: Optional[str], record: Optional[Record]) -> Optional[str]:
    """What a link leads to: a package of the store, or one that was not rendered here and that a record names."""
    if target is None:
        return None
    is_known = record is not None and record.generation(target) is not None
    return store.owns(target) or (target if is_known else None)


def _entries(directory: str) -> Tuple[List[str], List[str]]:
    """What is in a directory, and which of it are sockets."""
    try:
        found = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    sockets = [entry.name for entry in found if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)]
    return [entry.name for entry in found], sockets
