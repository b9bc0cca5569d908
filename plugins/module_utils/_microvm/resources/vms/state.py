# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of MicroVMs: as a host has them, and as they are wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import FrozenSet, Mapping, Optional, Tuple

from ...declaration.accounts import SHARED, Account, account
from ...declaration.names import BOOTED_LINK, CURRENT_LINK, OLD_LINK
from ...declaration.types import PackagedVm
from ...declaration.vms.parse import Declaration
from ...host.records import Record, Switched, UpdateSource
from ...host.systemd import Unit
from ...runner.package import Package
from ...runner.units import UnitSettings, unit_settings_of
from .needs import NOTHING, Needs
from .switches import Switch

LINKS = (CURRENT_LINK, BOOTED_LINK, OLD_LINK)


@dataclass(frozen=True)
class Observed:
    """A MicroVM as the host has it. Packages are given by their names in the store."""

    name: str
    entries: Tuple[str, ...] = ()
    """Entries of the state directory and, as ``work/NAME``, of the working directory in it, sorted."""
    sockets: Tuple[str, ...] = ()
    """Entries of the working directory that are sockets or links to sockets: what a killed hypervisor leaves."""
    exists: bool = False
    """True if there is a state directory."""
    is_former: bool = False
    """True if it has the layout of an earlier version, which role ``host`` changes."""
    group: Optional[str] = None
    """Group of the state directory: that of the account which has it."""
    current: Optional[str] = None
    booted: Optional[str] = None
    old: Optional[str] = None
    foreign: Optional[str] = None
    """Target of a ``current`` that is not in our store: somebody else's MicroVM."""
    packages: Tuple[str, ...] = ()
    damaged_packages: FrozenSet[str] = frozenset()
    """Packages that are there and have to be installed anew, as far as marks and what was read of them tell."""
    record: Optional[Record] = None
    drop_ins: Mapping[str, str] = field(default_factory=dict)
    """Contents by template unit."""
    environment: Optional[str] = None
    boot_directories: Optional[str] = None
    """What creates directories of it again when the host starts."""
    flake: Optional[str] = None
    """The flake that it was built from, as root has recorded it."""
    declared: Optional[PackagedVm] = None
    """The declaration that the current package records."""
    booted_declared: Optional[PackagedVm] = None
    """The same of the package that runs."""
    booted_command_line: str = ""
    volumes: Tuple[str, ...] = ()
    """Images that its starts have created and that are there, as they were declared."""
    found_images: Tuple[str, ...] = ()
    """Declared images with absolute paths that are there, and that are not recorded: they were there before."""
    full_directories: Tuple[str, ...] = ()
    """Directories that were made for it outside of its state directory, with something else in them than its volumes
    and such directories."""
    state_directory: str = ""
    """The directory that all MicroVMs of the run have theirs in."""
    missing_directories: Tuple[str, ...] = ()
    """Directories outside of the state directory that shares and volumes need."""
    has_account: bool = True
    has_host_key: bool = False
    """True if its SSH host key is recorded; only looked at for one that is removed."""
    is_key_given: bool = False
    """True if the host has made and recorded an SSH host key for its guest."""
    roots: Tuple[str, ...] = ()
    """Packages in the store of Nix that links keep for it."""
    closures: FrozenSet[str] = frozenset()
    """Names of the closures in the host's store that are kept for its guests."""
    closures_of: Mapping[str, FrozenSet[str]] = field(default_factory=dict)
    """Names of those that its packages need; empty where no closure is kept."""
    collectable: FrozenSet[str] = frozenset()
    """Packages in the store of Nix, the wanted one and those of the record, that no link keeps for it."""
    unit: Unit = field(default_factory=Unit)

    @property
    def is_up(self) -> bool:
        """Return whether it runs, or something of it is left: the host lost its power, or its helpers end."""
        return self.unit.running or self.booted is not None

    @property
    def switched(self) -> Optional[Switched]:
        """Return the switch of its guest since that was booted."""
        return self.record.switched_in(self.unit.invocation) if self.record is not None and self.booted else None

    @property
    def guest(self) -> Optional[Switched]:
        """Return what its guest has, by its boot and the switches since; ``None`` where nothing is booted."""
        return Switched.of_running(self.record, self.unit.invocation, self.booted) if self.booted is not None else None

    def waits_with(self, package: Optional[str], switch: Optional[Switch] = None) -> bool:
        """Return whether a restart is pending where it runs and ``current`` leads to a package: now, or after a switch
        of its guest to that package."""
        guest = self.guest
        if guest is None:
            return package is not None
        if switch is not None and package is not None:
            guest = guest.after(package, switch.action, switch.waits)
        return guest.waits_with(package)

    def guest_after(self, package: Optional[str], switch: Optional[Switch] = None) -> Optional[str]:
        """Return the package whose system its guest runs: now, or after a switch to ``package``; ``None`` where nobody
        knows."""
        guest = self.guest
        if guest is not None and switch is not None and package is not None:
            guest = guest.after(package, switch.action, switch.waits)
        return guest.package or None if guest is not None else None

    def is_switched(self, package: str, action: str) -> bool:
        """Return whether a switch of its guest to a package, with an action, has nothing left to do."""
        return self.guest is not None and self.guest.has(package, action)


@dataclass(frozen=True)
class Installed:
    """A package in the store, as far as somebody who wants to run it must know it."""

    package: str
    account: Account = SHARED
    """The account that runs it."""
    drop_ins: Mapping[str, str] = field(default_factory=dict)
    """The drop-ins that it brings along, by template unit."""
    problem: str = ""
    """Reason why the host does not accept it, with what to do."""
    needs: Needs = NOTHING
    gives_host_key: bool = False
    """True if it passes on the SSH host key that the host makes for the guest."""
    store_paths: Tuple[str, ...] = ()
    """Paths in the host's store that its guest uses."""
    has_declaration: bool = True
    """False if it does not record what it was made from: by microvm.nix, or by hand."""


@dataclass(frozen=True)
class Origin:
    """Where a package is from that was made elsewhere."""

    flake: Optional[str] = ""
    """The flake to record for later updates; ``None`` leaves what is recorded as it is."""
    builds: str = ""
    """The attribute of a flake, or the build of a build service, whose package the run builds or copies."""
    is_copied: bool = False
    """True if this host builds nothing: the package is of a build service, or is built elsewhere."""
    is_known: bool = True
    """False if nobody has the package yet, so that its content cannot be shown."""
    is_left: bool = False
    """True if the MicroVM keeps the package that it has, whatever that is."""
    updates: Optional[UpdateSource] = None
    """The declared attribute and arguments of later updates, with the flake to record for them; ``None`` where none are
    declared."""
    closure_diff: str = ""
    """Differences between the closures of the package that it has and of this one, as far as the host cannot tell."""


SIMPLE = Origin()


@dataclass(frozen=True)
class Wanted:
    """A MicroVM as it is wanted."""

    declaration: Declaration
    state: str
    package: Optional[Package]
    """The package to run; ``None`` where nothing is to be left."""
    unit_settings: str = ""
    """Lines that the unit's drop-in has beside those of the package."""
    environment: Optional[str] = None
    dependencies: str = ""
    """Lines of the section [Unit] that the drop-ins of its units have."""
    keeps_state: bool = False
    """True if ``present`` is not declared, and the record keeps the state that is."""
    external: Optional[Installed] = None
    """The package, as far as the host must know it, where it was made elsewhere."""
    origin: Origin = SIMPLE
    switch: Optional[Switch] = None
    """Switch of the running guest to the package, where that is declared and another package runs."""

    @property
    def name(self) -> str:
        """Name of the MicroVM."""
        return str(self.declaration["name"])

    @property
    def account(self) -> Account:
        """The account that runs it."""
        return self.external.account if self.external is not None else account(self.declaration)

    @property
    def runs(self) -> bool:
        """Return whether it is wanted to run, and to be waited for."""
        return self.state in ("started", "restarted")


def unit_settings(package: Package) -> UnitSettings:
    """Return the drop-ins that a package brings along, by template unit."""
    return unit_settings_of(
        lambda file: package.files[file].content.decode(errors="replace") if file in package.files else ""
    )
