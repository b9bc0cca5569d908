# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the build services that MicroVMs are declared with to packages on this host, copied where it lacks them."""

from __future__ import annotations

import concurrent.futures
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..host import nix
from ..host.commands import HostError
from ..host.published_packages import fetch_package, latest_package, signature_errors
from ..host.records import UpdateSource
from ..schema.errors import DeclarationError
from .flakes import DeclaredSource, EarlierPackages, EvaluatedPackage, earlier_package, joined_errors


class DeclaredService(DeclaredSource):
    """A MicroVM of a build service."""

    is_copied = True
    """Nobody builds its package here."""

    @property
    def installable(self) -> str:
        """URL of the build."""
        return str(self.declaration["runner"])

    @property
    def key(self) -> Optional[str]:
        """Public key that has signed the package, whatever else the host trusts."""
        return self.declaration["runner_key"]

    @property
    def option(self) -> str:
        """Path of the option, for messages."""
        return self._path("runner")

    @property
    def updates(self) -> UpdateSource:
        """What later updates build: nothing."""
        return UpdateSource("")


def ask_services(
    vms: Sequence[DeclaredService], earlier: EarlierPackages, parallel: int, is_nix_expected: bool
) -> Dict[str, EvaluatedPackage]:
    """Return the packages that build services name, by the names of MicroVMs. Raises DeclarationError for all errors.

    What an earlier call of the same run was told is ``earlier``, so that all of a run is about one build.
    """
    if vms and not is_nix_expected and nix.store_program() is None:
        raise DeclarationError(
            vms[0].option,
            f"{nix.MISSING}; set `microvm_nix: true` for role microvm.fleet.host, which installs it",
        )
    found = {vm.name: earlier_package(earlier, vm.name, vm.installable) for vm in vms}
    packages = {name: EvaluatedPackage(built) for name, built in found.items() if built is not None}
    missing = [vm for vm in vms if vm.name not in packages]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(parallel, len(missing)))) as pool:
        answers = list(pool.map(_ask, missing))
    errors: List[Tuple[DeclaredService, str]] = []
    for vm, answer in zip(missing, answers):
        if isinstance(answer, EvaluatedPackage):
            packages[vm.name] = answer
        else:
            errors.append((vm, str(answer)))
    valid = nix.valid_paths(package.built["path"] for package in packages.values())
    for name, package in packages.items():
        packages[name] = replace(package, built={**package.built, "is_built": package.built["path"] in valid})
    errors += _unsigned([vm for vm in vms if vm.name in packages], packages)
    if errors:
        raise joined_errors([DeclarationError(vm.option, message) for vm, message in errors])
    return packages


def _unsigned(
    vms: Sequence[DeclaredService], packages: Mapping[str, EvaluatedPackage]
) -> List[Tuple[DeclaredService, str]]:
    """Return the MicroVMs whose packages the host has without the signature of their key, with messages."""
    by_key: Dict[str, List[DeclaredService]] = {}
    for vm in vms:
        if vm.key is not None and packages[vm.name].built["is_built"]:
            by_key.setdefault(vm.key, []).append(vm)
    errors: List[Tuple[DeclaredService, str]] = []
    for key, members in by_key.items():
        messages = signature_errors([packages[vm.name].built["path"] for vm in members], key)
        paths = ((vm, packages[vm.name].built["path"]) for vm in members)
        errors += [(vm, messages[path]) for vm, path in paths if path in messages]
    return errors


def _ask(vm: DeclaredService) -> Union[EvaluatedPackage, HostError]:
    try:
        published = latest_package(vm.installable)
        nix.refuse_system(published.system)
    except HostError as error:
        return error
    return EvaluatedPackage(
        {"installable": vm.installable, "path": published.path, "derivation": None, "is_built": False, "diff": ""}
    )


def copy_published(
    vm: DeclaredService, package: EvaluatedPackage, is_prediction: bool, keeps: bool
) -> EvaluatedPackage:
    """Return a package after it was copied if the host lacks it; with ``is_prediction``, nothing is.

    A copy that fails is part of the result.
    """
    path = package.built["path"]
    if package.built["is_built"]:
        return package
    if is_prediction:
        return replace(package, builds=True)
    try:
        fetch_package(path, vm.key, nix.root_of(vm.name, path) if keeps else None)
        for message in signature_errors([path], vm.key).values() if vm.key is not None else ():
            raise HostError(message)
    except (HostError, OSError) as error:
        nix.release(vm.name, path)
        return replace(package, error=f"{vm.installable}: {error}")
    return replace(package, built={**package.built, "is_built": True}, builds=True)
