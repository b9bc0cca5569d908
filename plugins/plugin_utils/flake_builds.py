# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that flakes build on the controller or on a named host, and that are copied to the MicroVMs' host."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import flakes, nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.flakes import Evaluation

from .nix_hosts import CONTROLLER, WAYS_OUT, NixHost, copy

ON_TARGET = "target"
"""Value of ``build_on`` for what the MicroVM's host evaluates and builds itself."""
ON_CONTROLLER = "controller"


@dataclass(frozen=True)
class FlakePackage:
    """Package of a MicroVM that a flake has, and that its host does not build itself."""

    name: str
    flake: str
    attribute: str
    arguments: Tuple[str, ...]
    require_lock: bool
    build_on: str
    """``controller``, or the name of the host that builds it."""


def evaluations(packages: Iterable[FlakePackage], show: nix.Show) -> Dict[str, Evaluation]:
    """Evaluate packages on the controller, those of one flake at once. Returns the results by MicroVM.

    Raises HostError with the reasons of all that fail.
    """
    if nix.find_program("nix") is None:
        raise HostError(
            "`build_on` lets the controller evaluate flakes, and Nix is not installed on the controller; install it "
            f"there, {WAYS_OUT}"
        )
    groups: Dict[Tuple[str, Tuple[str, ...], bool], Dict[str, str]] = {}
    for package in packages:
        key = (package.flake, package.arguments, package.require_lock)
        groups.setdefault(key, {})[package.name] = package.attribute
    results: Dict[str, Evaluation] = {}
    errors: List[str] = []
    for (flake, arguments, require_lock), attributes in groups.items():
        for name, result in flakes.evaluate(flake, attributes, arguments, require_lock, show).items():
            if isinstance(result, HostError):
                errors.append(f"{name}: {result}")
            else:
                results[name] = result
    if errors:
        raise HostError("\n".join(errors))
    return results


class Builds:
    """Builds for one host."""

    def __init__(self, target: NixHost, host: Callable[[str], NixHost], show: nix.Show) -> None:
        """``host`` returns a host of the inventory by its name."""
        self._target, self._host, self._show = target, host, show

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

    def build(self, packages: Sequence[FlakePackage], evaluated: Mapping[str, Evaluation], copies: bool = True) -> None:
        """Build packages where they are to be built, and copy them to the target if ``copies``. Raises HostError."""
        groups: Dict[Tuple[str, Tuple[str, ...]], List[Evaluation]] = {}
        for package in packages:
            key = (package.build_on, tuple(flakes.build_arguments(package.arguments)))
            groups.setdefault(key, []).append(evaluated[package.name])
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
        builder = CONTROLLER
        if place != ON_CONTROLLER:
            builder = self._target if place == self._target.name else self._host(place)
        if builder.is_local:
            for index, derivation in enumerate(derivations):
                nix.realise(derivation, os.path.join(directory, str(index)), arguments, self._show)
            return builder
        copy(derivations, CONTROLLER, builder, self._show, derivations=True)
        builder.realise(derivations, arguments, self._show)
        return builder
