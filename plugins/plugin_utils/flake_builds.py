# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that flakes build on the controller or on a named host, and that are copied to the MicroVMs' host."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from ansible import constants
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.source_options import ON_CONTROLLER
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import flakes, nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.flakes import Evaluation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.flakes import (
    DeclaredFlake,
    evaluate_groups,
    joined_errors,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .nix_closures import closure_difference
from .nix_hosts import CONTROLLER, WAYS_OUT, NixHost, copy

_constants: Any = constants

RUN_DIRECTORY: str = _constants.DEFAULT_LOCAL_TMP
"""Directory that all forks of a run of Ansible have in common, and that it removes at its end, also if interrupted."""


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
    with _locked(str(vm.declaration["flake"]) for vm in vms):
        evaluated = evaluate_groups(vms, show)
    for vm, result in evaluated:
        if isinstance(result, HostError):
            errors.append(DeclarationError(vm.option, f"{vm.installable} cannot be evaluated: {result}"))
        else:
            results[vm.name] = result
    if errors:
        raise joined_errors(errors)
    return results


@contextlib.contextmanager
def _locked(references: Iterable[str]) -> Iterator[None]:
    """Let no other fork of Ansible evaluate the same flakes at the same time, which takes as much memory again.

    Nix has most of the results in its cache for whoever comes next.
    """
    with contextlib.ExitStack() as stack:
        # In the same order everywhere, so that nobody waits for somebody who waits for him.
        for reference in sorted(set(references)):
            name = hashlib.sha256(reference.encode()).hexdigest()
            file = stack.enter_context(
                open(os.path.join(RUN_DIRECTORY, f"microvm-flake-{name}"), "w", encoding="utf-8")
            )
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


_ATTEMPTS = 4
"""Number of attempts to bring what somebody removes before a link keeps it."""


class Builds:
    """Builds for one host."""

    def __init__(self, target: NixHost, host: Callable[[str], NixHost], show: nix.Show) -> None:
        """``host`` returns a host of the inventory by its name."""
        self._target, self._host, self._show = target, host, show
        self._builders: Dict[str, NixHost] = {ON_CONTROLLER: CONTROLLER, target.name: target}

    def missing(self, vms: Sequence[DeclaredFlake], evaluated: Mapping[str, Evaluation]) -> List[DeclaredFlake]:
        """Return the MicroVMs whose packages the target does not have yet.

        Raises HostError, and DeclarationError for all packages of another system than the target's.
        """
        paths = sorted({evaluated[vm.name].path for vm in vms})
        look = self._target.missing(paths)
        errors: List[DeclarationError] = []
        for vm in vms:
            try:
                nix.refuse_system(evaluated[vm.name].system, look.machine, self._target.name)
            except HostError as error:
                errors.append(DeclarationError(vm.option, f"{vm.installable}: {error}"))
        if errors:
            raise joined_errors(errors)
        lacking = set(paths if look.daemon is None else look.lines)
        return [vm for vm in vms if evaluated[vm.name].path in lacking]

    def verify(self, vms: Sequence[DeclaredFlake], lacking: Sequence[DeclaredFlake], is_nix_expected: bool) -> None:
        """Refuse hosts that cannot be reached as Nix does, and, for what the target lacks, hosts without Nix.

        ``is_nix_expected`` is for a target that need not have it yet. Raises HostError, and DeclarationError for a host
        that cannot build.
        """
        first: Dict[str, DeclaredFlake] = {}
        for vm in vms:
            place = str(vm.declaration["build_on"])
            if self._builder(place) is not self._target and vm in lacking:
                first.setdefault(place, vm)
        if lacking and not is_nix_expected and self._target.missing([]).daemon is None:
            # It is to have the packages, wherever they are built.
            raise HostError(self._target.without_nix)
        for place, vm in first.items():
            builder = self._builder(place)
            if builder.missing([]).daemon is None:
                raise DeclarationError(vm.build_option, f"{builder.without_nix}, or name another host")

    def _builder(self, place: str) -> NixHost:
        if place not in self._builders:
            self._builders[place] = self._host(place)
        return self._builders[place]

    def build(self, vms: Sequence[DeclaredFlake], evaluated: Mapping[str, Evaluation], copies: bool = True) -> None:
        """Build packages where they are to be built, and copy them to the target if ``copies``. Raises HostError."""
        groups: Dict[Tuple[str, Tuple[str, ...]], List[Tuple[str, Evaluation]]] = {}
        for vm in vms:
            key = (str(vm.declaration["build_on"]), tuple(flakes.build_arguments(vm.declaration["nix_arguments"])))
            groups.setdefault(key, []).append((vm.name, evaluated[vm.name]))
        for (place, arguments), group in groups.items():
            # Links keep results until they have arrived.
            with tempfile.TemporaryDirectory(prefix="microvm-nix-", dir=RUN_DIRECTORY) as directory:
                self._bring(place, arguments, group, directory, copies)

    def _bring(
        self,
        place: str,
        arguments: Sequence[str],
        group: Sequence[Tuple[str, Evaluation]],
        directory: str,
        copies: bool,
    ) -> None:
        """Build packages of MicroVMs in one place, and let links of the target keep what has come there."""
        derivations = list(dict.fromkeys(evaluation.derivation for _name, evaluation in group))
        paths = list(dict.fromkeys(evaluation.path for _name, evaluation in group))
        for remaining in reversed(range(_ATTEMPTS)):
            builder = self._realise(place, derivations, arguments, directory)
            if not copies:
                return
            if builder.name != self._target.name:
                copy(paths, builder, self._target, self._show)
            if self._target.is_local:
                return
            # Other packages may take hours before the module comes to this one.
            try:
                self._target.keep([(name, evaluation.path) for name, evaluation in group])
                return
            except HostError:
                # A collector of garbage was faster.
                if not remaining or not self._target.missing(paths).lines:
                    raise

    def difference(self, vm: DeclaredFlake, old: str, new: str) -> str:
        """Return how the closure of a package that the target has differs from that of one which was built elsewhere.

        Empty where one of the two is not there, and nobody can compare them.
        """
        try:
            before = self._target.closure(old)
            return closure_difference(before, self._builder(str(vm.declaration["build_on"])).closure(new))
        except HostError:
            return ""

    def _realise(self, place: str, derivations: Sequence[str], arguments: Sequence[str], directory: str) -> NixHost:
        """Build derivations where they are to be built. Returns that host."""
        builder = self._builder(place)
        if builder.is_local:
            nix.realise_all(derivations, os.path.join(directory, "result"), arguments, self._show)
            return builder
        copy(derivations, CONTROLLER, builder, self._show, derivations=True)
        builder.realise(derivations, arguments, self._show)
        return builder
