# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the flakes that MicroVMs are declared with to packages on this host: evaluated at once, built where needed."""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, TypedDict, Union

from ..declaration.names import runner_attribute
from ..declaration.vms.parse import Declaration
from ..declaration.vms.source_options import ON_TARGET, flakes_in_arguments, is_of_a_machine, names_path
from ..host import flakes, nix
from ..host.commands import HostError
from ..host.flakes import Evaluation
from ..host.records import UpdateSource
from ..schema.errors import DeclarationError


class BuiltPackage(TypedDict):
    """What is known of the package of a MicroVM whose flake has been evaluated."""

    installable: str
    """The flake and its attribute."""
    path: str
    derivation: Optional[str]
    is_built: bool
    """True if the host has the package already."""
    diff: str
    """Differences between the closures of the current package and this one, where somebody knows them."""


@dataclass(frozen=True)
class DeclaredSource:
    """A MicroVM whose package Nix brings to the store."""

    place: str
    declaration: Declaration
    current: Optional[str]
    """The package that the host has for it."""

    @property
    def name(self) -> str:
        """Name of the MicroVM."""
        return str(self.declaration["name"])

    def _path(self, option: str) -> str:
        """Return the path of an option, for messages."""
        return f"{self.place}.{option}" if self.place else option


class DeclaredFlake(DeclaredSource):
    """A MicroVM of a flake."""

    @property
    def attribute(self) -> str:
        """Attribute of the flake that is the package."""
        return self.declaration["attribute"] or runner_attribute(self.name)

    @property
    def installable(self) -> str:
        """The flake and its attribute, as Nix names them."""
        return f"{self.declaration['flake']}#{self.attribute}"

    @property
    def option(self) -> str:
        """Path of the option, for messages."""
        return self._path("flake")

    @property
    def references(self) -> List[Tuple[str, str]]:
        """References to the flake and to others that replace its inputs, each after the path of its option."""
        inputs = flakes_in_arguments(self.declaration["nix_arguments"])
        argument = self._path("nix_arguments")
        return [(self.option, str(self.declaration["flake"])), *((argument, reference) for reference in inputs)]

    @property
    def build_option(self) -> str:
        """Path of the option of where the flake is evaluated and built, for messages."""
        return self._path("build_on")

    @property
    def is_evaluated_here(self) -> bool:
        """Return whether this host evaluates the flake."""
        return self.declaration["build_on"] == ON_TARGET

    @property
    def is_copied(self) -> bool:
        """Return whether the package comes to this host, which builds nothing."""
        return not self.is_evaluated_here

    @property
    def updates(self) -> UpdateSource:
        """What later updates build; without a flake where they cannot build what is declared.

        A path of the controller is none: on the host, anybody may have made it, and root would build from it.
        """
        flake = str(self.declaration["update_flake"] or self.declaration["flake"])
        arguments = tuple(self.declaration["nix_arguments"])
        if not self.is_evaluated_here and any(map(names_path, arguments)):
            flake, arguments = "", ()
        elif not self.is_evaluated_here and not self.declaration["update_flake"] and is_of_a_machine(flake):
            flake = ""
        return UpdateSource(flake, None if self.attribute == runner_attribute(self.name) else self.attribute, arguments)


@dataclass(frozen=True)
class EvaluatedPackage:
    """Package of a MicroVM, as far as its flake has led to it."""

    built: BuiltPackage
    builds: bool = False
    """True if this run builds the package, or would do so."""
    error: str = ""
    """Reason why the build has failed."""


EarlierPackages = Mapping[str, BuiltPackage]
"""Packages that earlier calls of the same run, or the controller, have found, by the names of MicroVMs."""


def earlier_packages(given: Mapping[str, object]) -> Dict[str, BuiltPackage]:
    """Return the packages that earlier calls of a run have returned. Raises DeclarationError for anything else."""
    earlier: Dict[str, BuiltPackage] = {}
    for name, entry in given.items():
        fields = entry if isinstance(entry, Mapping) else {}
        path, installable, derivation = (fields.get(key) for key in ("path", "installable", "derivation"))
        if not isinstance(path, str) or not path.startswith(nix.STORE) or not isinstance(installable, str):
            raise DeclarationError(
                f"built.{name}",
                "is not what `evaluations` of this module are; pass those of an earlier call of the same run",
            )
        earlier[name] = {
            "installable": installable,
            "path": path,
            "derivation": str(derivation) if derivation else None,
            "is_built": fields.get("is_built") is True,
            "diff": str(fields.get("diff") or ""),
        }
    return earlier


def earlier_package(earlier: EarlierPackages, name: str, installable: str) -> Optional[BuiltPackage]:
    """Return the package that an earlier call has found for a MicroVM, unless that was what is declared no longer."""
    built = earlier.get(name)
    return built if built is not None and built["installable"] == installable else None


def evaluate_flakes(
    vms: Sequence[DeclaredFlake], earlier: EarlierPackages, is_nix_expected: bool
) -> Dict[str, EvaluatedPackage]:
    """Return the packages of MicroVMs by name, each flake evaluated once. Raises DeclarationError for all that fail."""
    packages = _still_valid(vms, earlier)
    missing = [vm for vm in vms if vm.name not in packages]
    for vm in missing:
        if not vm.is_evaluated_here:
            raise DeclarationError(
                vm.build_option,
                f"{vm.declaration['build_on']} needs the action plugin of the module, which evaluates the flake on the "
                "controller; call the module by a play of Ansible, or set `build_on: target`",
            )
    if missing and is_nix_expected and nix.store_program() is None:
        return {**packages, **{vm.name: EvaluatedPackage(_unknown(vm)) for vm in missing}}
    _refuse_changeable(missing)
    errors: List[Tuple[DeclaredFlake, str]] = []
    for vm, evaluation in evaluate_groups(missing):
        if isinstance(evaluation, HostError):
            errors.append((vm, f"{vm.installable} cannot be evaluated: {evaluation}"))
            continue
        try:
            nix.refuse_system(evaluation.system)
        except HostError as error:
            errors.append((vm, f"{vm.installable}: {error}"))
        packages[vm.name] = EvaluatedPackage(evaluated_package(vm, evaluation))
    if errors:
        raise joined_errors([DeclarationError(vm.option, message) for vm, message in errors])
    return packages


def _refuse_changeable(vms: Sequence[DeclaredFlake]) -> None:
    """Refuse flakes that others than root can change on this host. Raises DeclarationError."""
    references: Dict[str, str] = {}
    for vm in vms:
        for option, reference in vm.references:
            references.setdefault(reference, option)
    for reference, option in references.items():
        try:
            flakes.refuse_changeable_flake(reference)
        except (HostError, OSError) as error:
            raise DeclarationError(option, str(error)) from None


def _still_valid(vms: Sequence[DeclaredFlake], earlier: EarlierPackages) -> Dict[str, EvaluatedPackage]:
    """Return the packages of those MicroVMs whose earlier evaluation still holds."""
    same = [vm for vm in vms if earlier_package(earlier, vm.name, vm.installable)]
    # What the host itself has evaluated may be gone from its store since.
    own = [earlier[vm.name] for vm in same if vm.is_evaluated_here]
    valid = nix.valid_paths(path or "" for built in own for path in (built["path"], built["derivation"]))
    packages: Dict[str, EvaluatedPackage] = {}
    for vm in same:
        built = earlier[vm.name]
        if not vm.is_evaluated_here:
            packages[vm.name] = EvaluatedPackage(built)
        elif built["path"] in valid or built["derivation"] in valid:
            packages[vm.name] = EvaluatedPackage({**built, "is_built": built["path"] in valid})
    return packages


def evaluate_groups(
    vms: Sequence[DeclaredFlake], show: nix.Show = nix.hide_line
) -> List[Tuple[DeclaredFlake, Union[Evaluation, HostError]]]:
    """Evaluate flakes, each once for its MicroVMs. Raises DeclarationError where Nix is not installed."""
    groups: Dict[Tuple[str, Tuple[str, ...], bool], List[DeclaredFlake]] = {}
    for vm in vms:
        arguments, require_lock = tuple(vm.declaration["nix_arguments"]), vm.declaration["require_lock"]
        groups.setdefault((str(vm.declaration["flake"]), arguments, require_lock), []).append(vm)
    found: Dict[str, Union[Evaluation, HostError]] = {}
    for (flake, arguments, require_lock), members in groups.items():
        try:
            attributes = {vm.name: vm.attribute for vm in members}
            found.update(flakes.evaluate(flake, attributes, arguments, require_lock, show))
        except HostError as error:
            raise DeclarationError(
                members[0].option,
                f"{error}; set `microvm_nix: true` for role microvm.fleet.host, which installs it, or build elsewhere "
                "by `build_on`",
            ) from None
    return [(vm, found[vm.name]) for vm in vms]


def evaluated_package(vm: DeclaredFlake, evaluation: Evaluation, is_built: bool = False) -> BuiltPackage:
    """Return what is known of a package by the evaluation of its flake."""
    return {
        "installable": vm.installable,
        "path": evaluation.path,
        "derivation": evaluation.derivation,
        "is_built": is_built,
        "diff": "",
    }


def _unknown(vm: DeclaredFlake) -> BuiltPackage:
    """Return what is known of the package of a flake that the host cannot evaluate yet."""
    installable = vm.installable
    return {"installable": installable, "path": installable, "derivation": None, "is_built": False, "diff": ""}


def build_flakes(
    vms: Sequence[DeclaredFlake],
    packages: Mapping[str, EvaluatedPackage],
    parallel: int,
    is_prediction: bool,
    keeps: bool,
) -> Dict[str, EvaluatedPackage]:
    """Return the packages after those were built that the host lacks; with ``is_prediction``, nothing is built.

    ``keeps`` lets links keep what is built. A build that fails is part of the result, and hinders no other.
    """
    done: Dict[str, EvaluatedPackage] = {}
    to_build: List[DeclaredFlake] = []
    evaluated = (packages[vm.name].built for vm in vms)
    valid = nix.valid_paths(built["path"] for built in evaluated if not built["is_built"])
    for vm in vms:
        package = packages[vm.name]
        if package.built["is_built"] or package.built["path"] in valid:
            # What the host lacked when the controller asked it, this run has copied.
            is_new = vm.is_copied and not package.built["is_built"]
            done[vm.name] = replace(package, built={**package.built, "is_built": True}, builds=is_new)
        elif is_prediction or not (keeps or vm.is_evaluated_here):
            done[vm.name] = replace(package, builds=True)
        else:
            to_build.append(vm)
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(parallel, len(to_build)))) as pool:
        results = pool.map(lambda vm: _build(vm, packages[vm.name], keeps), to_build)
        done.update({vm.name: package for vm, package in zip(to_build, results)})
    return done


def _build(vm: DeclaredFlake, package: EvaluatedPackage, keeps: bool) -> EvaluatedPackage:
    built = package.built
    if built["derivation"] is None or not vm.is_evaluated_here:
        return replace(
            package,
            error=f"{built['path']} is not on this host, to which {vm.installable} was to be copied; if a collector of "
            "garbage has removed it, run again",
        )
    link = nix.root_of(vm.name, built["path"]) if keeps else None
    try:
        _realise(vm, built["path"], built["derivation"], link)
    except (HostError, OSError) as error:
        return replace(package, error=f"{vm.installable} cannot be built: {error}")
    return replace(package, built={**built, "is_built": True}, builds=True)


_ATTEMPTS = 4
"""Number of attempts to build what somebody removes before."""


def _realise(vm: DeclaredFlake, path: str, derivation: str, link: Optional[str]) -> None:
    """Build a derivation, which nothing keeps until then: one that a collector of garbage removes is made again.

    Raises HostError.
    """
    declaration = vm.declaration
    for remaining in reversed(range(_ATTEMPTS)):
        try:
            nix.realise(derivation, link, flakes.build_arguments(declaration["nix_arguments"]))
            return
        except HostError:
            if not remaining or nix.is_valid(derivation):
                raise
        arguments, require_lock = declaration["nix_arguments"], declaration["require_lock"]
        again = flakes.evaluate(str(declaration["flake"]), {vm.name: vm.attribute}, arguments, require_lock)[vm.name]
        if isinstance(again, HostError):
            raise again
        if again.path != path:
            raise HostError("the flake has changed since this run has evaluated it; run again")
        derivation = again.derivation


_MOST_ERRORS = 10
"""Errors that one message has."""


def joined_errors(errors: Sequence[DeclarationError]) -> DeclarationError:
    """Return an error with the first of several, and the number of the others."""
    lines = [errors[0].message, *map(str, errors[1:_MOST_ERRORS])]
    if len(errors) > _MOST_ERRORS:
        lines.append(f"{len(errors) - _MOST_ERRORS} more MicroVMs have such errors")
    return DeclarationError(errors[0].path, "\n".join(lines))
