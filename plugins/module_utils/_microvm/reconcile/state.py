# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is, and what is wanted, of each MicroVM."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..declaration.names import BOOTED_LINK, CURRENT_LINK, OLD_LINK, UNIT_DIRECTORY, unit_name
from ..declaration.parse import Declaration
from ..declaration.record import complete
from ..declaration.vm_options import PACKAGE_OPTIONS
from ..host import files, systemd
from ..host.store import PackageStore
from ..runner.package import Package
from ..runner.render import DECLARATION_FILE, external_directories

LINKS = (CURRENT_LINK, BOOTED_LINK, OLD_LINK)


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
    current: Optional[str] = None
    booted: Optional[str] = None
    old: Optional[str] = None
    foreign: Optional[str] = None
    """Target of a ``current`` that is not in our store: somebody else's MicroVM."""
    packages: Tuple[str, ...] = ()
    drop_in: Optional[str] = None
    missing_directories: Tuple[str, ...] = ()
    """Outside of the state directory: of shares and volumes."""
    unit: systemd.Unit = field(default_factory=systemd.Unit)


@dataclass(frozen=True)
class Wanted:
    """A MicroVM as it shall be."""

    declaration: Declaration
    state: str
    package: Optional[Package]
    """``None`` where nothing shall be left."""
    drop_in: Optional[str]

    @property
    def name(self) -> str:
        """Name of the MicroVM."""
        return str(self.declaration["name"])


@dataclass(frozen=True)
class Places:
    """Where things are on the host."""

    state_directory: str
    store: PackageStore

    def state(self, name: str, *entry: str) -> str:
        """A MicroVM's state directory, or something in it."""
        return os.path.join(self.state_directory, name, *entry)

    def drop_in(self, name: str) -> str:
        """A MicroVM's own settings of its unit."""
        return f"{UNIT_DIRECTORY}/{unit_name(name)}.d/50-microvm-fleet.conf"


def recorded_beside(places: Places, names: Sequence[str]) -> List[Dict[str, Any]]:
    """Declarations of the MicroVMs on the host that are none of ``names``, as their packages record them."""
    found = []
    for name in places.store.contents():
        current = files.link_target(places.state(name, CURRENT_LINK)) if name not in names else None
        package = places.store.owns(current) if current else None
        text = places.store.read(package, DECLARATION_FILE) if package else ""
        if text:
            found.append(complete(PACKAGE_OPTIONS, json.loads(text)))
    return found


def observe(places: Places, wanted: Sequence[Wanted]) -> Dict[str, Observed]:
    """One listing of the store, one question to systemd, one look at each state directory."""
    names = [one.name for one in wanted]
    packages = places.store.contents()
    units = systemd.show([unit_name(name) for name in names])
    return {one.name: _observe(places, one, packages.get(one.name, []), units) for one in wanted}


def _sockets(directory: str) -> List[str]:
    return [entry.name for entry in os.scandir(directory) if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)]


def _observe(places: Places, wanted: Wanted, packages: List[str], units: Dict[str, systemd.Unit]) -> Observed:
    name = wanted.name
    directory = places.state(name)
    exists = os.path.isdir(directory)
    links = {link: files.link_target(places.state(name, link)) for link in LINKS}
    ours = {link: places.store.owns(target) if target else None for link, target in links.items()}
    foreign = links[CURRENT_LINK] if links[CURRENT_LINK] and not ours[CURRENT_LINK] else None
    directories = external_directories(wanted.declaration) if wanted.package else ()
    return Observed(
        name=name,
        entries=tuple(sorted(os.listdir(directory))) if exists else (),
        sockets=tuple(sorted(_sockets(directory))) if exists else (),
        exists=exists,
        current=ours[CURRENT_LINK],
        booted=ours[BOOTED_LINK],
        old=ours[OLD_LINK],
        foreign=foreign,
        packages=tuple(packages),
        drop_in=files.read_text(places.drop_in(name)),
        missing_directories=tuple(path for path in directories if not os.path.isdir(path)),
        unit=units[unit_name(name)],
    )
