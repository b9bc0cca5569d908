# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the packages of MicroVMs that are declared by a directory, a build service or a flake."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Sequence, Union

from ..declaration.types import Restrictions
from ..declaration.vms.external import NO_FACTS, source_option
from ..declaration.vms.parse import Declaration
from ..declaration.vms.source_options import is_service
from ..host import nix, restrictions
from ..host.commands import HostError
from ..host.places import Places
from ..resources.vms.observe import installed_package
from ..resources.vms.state import SIMPLE, Installed, Origin
from ..runner.package import Package
from ..schema.errors import DeclarationError
from .external_packages import ExternalPackage, external_package, present_package, refuse_others
from .flakes import BuiltPackage, DeclaredFlake, EarlierPackages, EvaluatedPackage, build_flakes, evaluate_flakes
from .published import DeclaredService, ask_services, copy_published

_Declared = Union[DeclaredFlake, DeclaredService]


@dataclass(frozen=True)
class SourcePackage:
    """Package of a MicroVM that was made elsewhere."""

    package: ExternalPackage
    origin: Origin = SIMPLE
    error: str = ""
    """Reason why the host does not have the package."""
    built: Optional[BuiltPackage] = None
    """What its flake was evaluated to."""
    before: Optional[str] = None
    """Package that the MicroVM had before this one was built or copied."""


@dataclass(frozen=True)
class Search:
    """How packages are looked for."""

    limits: Sequence[Restrictions] = ()
    """Restrictions that are in force."""
    earlier: EarlierPackages = field(default_factory=dict)
    """What flakes have been evaluated to before, by the names of MicroVMs."""
    parallel: int = 1
    builds: bool = False
    """True if what is missing is built."""
    keeps: bool = False
    """True if links keep what is built."""
    is_nix_expected: bool = False
    """True if the host need not have Nix yet."""


def source_packages(declared: Mapping[str, Declaration], places: Places, search: Search) -> Dict[str, SourcePackage]:
    """Return the packages of MicroVMs by the paths of their declarations. Raises DeclarationError."""
    packages: Dict[str, SourcePackage] = {}
    flakes: List[DeclaredFlake] = []
    services: List[DeclaredService] = []
    for place, vm in declared.items():
        try:
            # Before anything of it is read, or executed by Nix.
            for limits in search.limits:
                restrictions.check_external(limits)
            current = _current(places, vm["name"])
            present = _present_package(vm, current, places)
            if present is not None:
                packages[place] = present
            elif is_service(vm["runner"]):
                services.append(DeclaredService(place, vm, current))
            elif vm["runner"] is not None:
                refuse_others(vm["runner"])
                packages[place] = SourcePackage(external_package(vm["name"], vm["runner"], places))
            else:
                flakes.append(DeclaredFlake(place, vm, current))
        except (HostError, OSError) as error:
            raise DeclarationError(_option(place, vm), str(error)) from None
    return {**packages, **_of_services(services, places, search), **_of_flakes(flakes, places, search)}


def _present_package(vm: Declaration, current: Optional[str], places: Places) -> Optional[SourcePackage]:
    """Return the package that a MicroVM keeps; ``None`` where the declared one is to be installed."""
    kept = _kept_package(vm, current, places)
    package = present_package(vm["name"], kept, places) if kept is not None else None
    updates = DeclaredFlake("", vm, kept).updates if vm["flake"] is not None else None
    return None if package is None else SourcePackage(package, Origin(flake=None, is_left=True, updates=updates))


def _kept_package(vm: Declaration, current: Optional[str], places: Places) -> Optional[str]:
    """Return the package that runs leave a MicroVM, ``current`` or the one that it has under its former name.

    The latter is in Nix's store and says nothing of a name.
    """
    if vm["manage"] != "once":
        return None
    if current is not None or vm["renamed_from"] is None:
        return current
    former = _current(places, vm["renamed_from"])
    try:
        is_named = places.declaration(former) is not None
    except HostError:
        return None
    return former if former is not None and former.startswith(nix.STORE) and not is_named else None


def with_present_packages(
    sources: Mapping[str, SourcePackage], declared: Mapping[str, Declaration], places: Places
) -> Dict[str, SourcePackage]:
    """Return the packages after those were read again that MicroVMs keep: they may have been updated since.

    Whoever calls holds the locks of the MicroVMs.
    """
    present: Dict[str, SourcePackage] = {}
    for place, source in sources.items():
        current = _current(places, declared[place]["name"])
        kept = _kept_package(declared[place], current, places)
        is_same = source.origin.is_left and source.package.content.place == kept
        now = None if is_same else _present_package(declared[place], current, places)
        if now is not None:
            present[place] = replace(now, built=source.built)
        elif source.origin.is_left and not is_same:
            error = "its package was removed or damaged while this run prepared others; run again to install it"
            present[place] = replace(source, error=error)
        elif source.origin.builds and not source.error and current not in (source.before, source.package.content.place):
            # This run may be one that was interrupted long ago: Ansible leaves a module that it has started to itself.
            error = f"another package, {current or 'none'}, was installed while this run built or copied one; run again"
            present[place] = replace(source, error=error)
        else:
            present[place] = source
    return present


def _of_services(vms: Sequence[DeclaredService], places: Places, search: Search) -> Dict[str, SourcePackage]:
    named = ask_services(vms, search.earlier, search.parallel, search.is_nix_expected)
    packages: Dict[str, SourcePackage] = {}
    for vm in vms:
        is_prediction = not search.builds or _is_bad(vm, named[vm.name], places)
        packages[vm.place] = _source(vm, copy_published(vm, named[vm.name], is_prediction, search.keeps), places)
    return packages


def _current(places: Places, name: str) -> Optional[str]:
    """Return the package that a MicroVM has; the damaged record of one is an error of its own, and of no other."""
    try:
        return installed_package(places, name)
    except HostError:
        return None


def _of_flakes(vms: Sequence[DeclaredFlake], places: Places, search: Search) -> Dict[str, SourcePackage]:
    evaluated = evaluate_flakes(vms, search.earlier, search.is_nix_expected)
    # What a rollback has marked bad is not installed again, so nobody waits for its build.
    bad = [vm for vm in vms if _is_bad(vm, evaluated[vm.name], places)]
    rest = [vm for vm in vms if vm not in bad]
    packages = build_flakes(rest, evaluated, search.parallel, not search.builds, search.keeps)
    packages.update(build_flakes(bad, evaluated, 1, is_prediction=True, keeps=False))
    return {vm.place: _source(vm, packages[vm.name], places) for vm in vms}


def _is_bad(vm: _Declared, package: EvaluatedPackage, places: Places) -> bool:
    path = package.built["path"]
    if vm.current in (None, path):
        return False
    record = places.records.read(vm.name)
    return record is not None and record.is_bad(path)


def _source(vm: _Declared, package: EvaluatedPackage, places: Places) -> SourcePackage:
    built = package.built
    origin = Origin(
        flake=vm.updates.flake,
        updates=vm.updates,
        builds=vm.installable if package.builds else "",
        is_copied=vm.is_copied,
        is_known=built["is_built"],
        closure_diff=built["diff"],
    )
    try:
        content = (
            external_package(vm.name, built["path"], places)
            if built["is_built"]
            else _unknown_package(vm, built["path"], places)
        )
    except (HostError, OSError) as error:
        raise DeclarationError(vm.option, f"{vm.installable}: {error}") from None
    return SourcePackage(content, origin, package.error, built, vm.current)


def _unknown_package(vm: _Declared, path: str, places: Places) -> ExternalPackage:
    """Return a package that nobody has yet; what the host must know of it is expected to be as it is."""
    content = Package(vm.name, {}, place=path)
    present = present_package(vm.name, vm.current, places) if vm.current is not None else None
    before = present.installed if present is not None else Installed(path)
    expected = replace(before, package=path, problem="", has_declaration=False)
    return ExternalPackage(content, expected, None, NO_FACTS)


def _option(place: str, vm: Declaration) -> str:
    return f"{place}.{source_option(vm)}" if place else source_option(vm)


def known_packages(sources: Mapping[str, SourcePackage]) -> Dict[str, ExternalPackage]:
    """Return the packages that somebody has looked at, by the paths of declarations."""
    return {place: source.package for place, source in sources.items() if source.origin.is_known}


def evaluations_of(sources: Mapping[str, SourcePackage]) -> Dict[str, BuiltPackage]:
    """Return what flakes have been evaluated to, by the names of MicroVMs."""
    evaluated = {source.package.content.name: source.built for source in sources.values() if source.built is not None}
    # Of what Nix will be asked for when it is there, nobody knows anything yet.
    return {name: built for name, built in evaluated.items() if built["path"].startswith(nix.STORE)}
