# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that flakes build on the controller or on a named host, and that are copied to the MicroVMs' host."""

from __future__ import annotations

import os
import tempfile
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.source_options import ON_CONTROLLER
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import flakes, nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.flakes import Evaluation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.flakes import (
    DeclaredFlake,
    evaluate_groups,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .nix_hosts import CONTROLLER, WAYS_OUT, NixHost, copy


def evaluations(vms: Sequence[DeclaredFlake], show: nix.Show) -> Dict[str, Evaluation]:
    """Evaluate flakes on the controller, each once. Returns the results by MicroVM.

    Raises DeclarationError with the reasons of all that fail.
    """
    if nix.find_program("nix") is None:
        raise DeclarationError(
            vms[0].build_option,
            f"{vms[0].declaration['build_on']} lets the controller evaluate the flake, and Nix is not installed on the "
            f"controller; install it there, {WAYS_OUT}",
        )
    results: Dict[str, Evaluation] = {}
    errors: List[DeclarationError] = []
    for vm, result in evaluate_groups(vms, show):
        if isinstance(result, HostError):
            errors.append(DeclarationError(vm.option, f"{vm.installable} cannot be evaluated: {result}"))
        else:
            results[vm.name] = result
    if errors:
        others = "".join(f"\n{error}" for error in errors[1:])
        raise DeclarationError(errors[0].path, errors[0].message + others)
    return results


class Builds:
    """Builds for one host."""

    def __init__(self, target: NixHost, host: Callable[[str], NixHost], show: nix.Show) -> None:
        """``host`` returns a host of the inventory by its name."""
        self._target, self._host, self._show = target, host, show
        self._builders: Dict[str, NixHost] = {ON_CONTROLLER: CONTROLLER, target.name: target}

    def missing(self, evaluated: Mapping[str, Evaluation]) -> List[str]:
        """Return the MicroVMs whose packages the target does not have yet.

        Raises HostError, also for packages of another system than the target's.
        """
        paths = sorted({evaluation.path for evaluation in evaluated.values()})
        look = self._target.missing(paths)
        for name, evaluation in evaluated.items():
            try:
                nix.refuse_system(evaluation.system, look.machine, self._target.name)
            except HostError as error:
                raise HostError(f"{name}: {error}") from None
        lacking = paths if look.daemon is None else look.lines
        return [name for name, evaluation in evaluated.items() if evaluation.path in lacking]

    def verify(self, vms: Sequence[DeclaredFlake], lacking: Sequence[DeclaredFlake], is_nix_expected: bool) -> None:
        """Refuse hosts that cannot be reached as Nix does, and, for what the target lacks, hosts without Nix.

        ``is_nix_expected`` is for a target that need not have it yet. Raises HostError.
        """
        needed = {self._target.name: self._target} if lacking and not is_nix_expected else {}
        for vm in vms:
            builder = self._builder(str(vm.declaration["build_on"]))
            if vm in lacking and builder is not self._target:
                needed[builder.name] = builder
        for host in needed.values():
            if host.missing([]).daemon is None:
                raise HostError(host.without_nix)

    def _builder(self, place: str) -> NixHost:
        if place not in self._builders:
            self._builders[place] = self._host(place)
        return self._builders[place]

    def build(self, vms: Sequence[DeclaredFlake], evaluated: Mapping[str, Evaluation], copies: bool = True) -> None:
        """Build packages where they are to be built, and copy them to the target if ``copies``. Raises HostError."""
        groups: Dict[Tuple[str, Tuple[str, ...]], List[Evaluation]] = {}
        for vm in vms:
            key = (str(vm.declaration["build_on"]), tuple(flakes.build_arguments(vm.declaration["nix_arguments"])))
            groups.setdefault(key, []).append(evaluated[vm.name])
        for (place, arguments), group in groups.items():
            # Links keep results until they have arrived.
            with tempfile.TemporaryDirectory(prefix="microvm-nix-") as directory:
                derivations = list(dict.fromkeys(evaluation.derivation for evaluation in group))
                builder = self._realise(place, derivations, arguments, directory)
                if copies and builder.name != self._target.name:
                    paths = list(dict.fromkeys(evaluation.path for evaluation in group))
                    copy(paths, builder, self._target, self._show)

    def _realise(self, place: str, derivations: Sequence[str], arguments: Sequence[str], directory: str) -> NixHost:
        """Build derivations where they are to be built. Returns that host."""
        builder = self._builder(place)
        if builder.is_local:
            for index, derivation in enumerate(derivations):
                nix.realise(derivation, os.path.join(directory, str(index)), arguments, self._show)
            return builder
        copy(derivations, CONTROLLER, builder, self._show, derivations=True)
        builder.realise(derivations, arguments, self._show)
        return builder
