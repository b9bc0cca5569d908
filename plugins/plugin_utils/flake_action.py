# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of modules that manage MicroVMs: packages that their host does not build itself."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible.errors import AnsibleError
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.external import source_option
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.flakes import Evaluation, paths_of_flake
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.safe_paths import place_open_to_all
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.flakes import (
    BuiltPackage,
    DeclaredFlake,
    earlier_package,
    earlier_packages,
    evaluated_package,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.naming import element_names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import Options, argument_spec
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.validation import validate

from .flake_builds import Builds, evaluations
from .nix_connections import connection_to, nix_host
from .nix_hosts import NixHost

Result = Dict[str, Any]

_display: Any = Display()

_STEPS = ("building ", "copying ", "downloading ", "warning:")
"""Beginnings of the lines in which Nix says what it does, apart from what the builds themselves write."""

_ROOTLESS = "you did not specify '--add-root'"
"""Words of a warning about what a host builds, which the module keeps as soon as it runs."""


class FlakeAction(NormalAction):
    """Evaluates, builds and copies what is to be built elsewhere, and then runs the module as Ansible does."""

    OPTIONS: Options = ()
    """Options of the module."""

    def declared(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the MicroVMs that arguments of the module declare, by their paths in the arguments."""
        raise NotImplementedError

    def run(self, tmp: Any = None, task_vars: Optional[Result] = None) -> Result:
        """See ActionBase.run."""
        variables, arguments = task_vars or {}, self._task.args
        controlling = os.getppid()
        try:
            parameters = self._checked(arguments)
            vms = [] if parameters is None else self._built_elsewhere(parameters, variables)
            if parameters is not None and vms:
                built = {**(parameters["built"] or {})}
                refusal = self._bring(vms, parameters, built, variables)
                if refusal is not None:
                    return refusal
                if os.getppid() != controlling:
                    # A fork outlives it, and a later run may have installed something newer meanwhile.
                    raise HostError("Ansible was killed while packages were built or copied, so none is installed")
                self._task.args = {**arguments, "built": built}
            base: Any = super()
            result: Result = base.run(tmp, task_vars)
            return result
        except HostError as error:
            return {"failed": True, "msg": str(error)}
        except DeclarationError as error:
            return {"failed": True, "msg": str(error.named(element_names(arguments)))}
        finally:
            # Another attempt begins anew.
            self._task.args = arguments

    def _checked(self, arguments: Mapping[str, Any]) -> Optional[Result]:
        """Return the options as the module has them; ``None`` if it has no work here, or will refuse them."""
        vms = self.declared(arguments).values()
        if not any(isinstance(vm, Mapping) and _is_of_flake(vm) and vm.get("build_on") for vm in vms):
            return None
        base: Any = self
        try:
            _valid, parameters = base.validate_argument_spec(argument_spec=argument_spec(self.OPTIONS))
            checked: Result = validate(self.OPTIONS, parameters, "")
            earlier_packages(checked["built"] or {})
        except (AnsibleError, DeclarationError):
            return None
        return checked

    def _built_elsewhere(self, parameters: Result, variables: Result) -> List[DeclaredFlake]:
        """Return the MicroVMs whose packages the host does not build itself, but for those that it is left with."""
        declared = (
            DeclaredFlake(place, vm, None) for place, vm in self.declared(parameters).items() if _is_of_flake(vm)
        )
        vms = [
            vm
            for vm in declared
            if not vm.is_evaluated_here and (vm.declaration["state"] or parameters["state"]) != "absent"
        ]
        once = [vm for vm in vms if vm.declaration["manage"] == "once"]
        names = [name for vm in once for name in (vm.name, vm.declaration["renamed_from"]) if name]
        installed = self._installed(names, parameters, variables) if names else {}
        return [vm for vm in vms if vm not in once or not _keeps_package(vm, installed)]

    def _bring(
        self, vms: Sequence[DeclaredFlake], parameters: Result, built: Dict[str, BuiltPackage], variables: Result
    ) -> Optional[Result]:
        """Evaluate flakes, and bring their packages to the host that lacks them. Returns a refusal of the module.

        ``built`` are earlier results of this run, to which those of now are added. Raises HostError.
        """
        is_verified = bool(built)
        evaluated = _earlier_evaluations(vms, built)
        remaining = [vm for vm in vms if vm.name not in evaluated]
        if remaining:
            _warn_of_open_places(remaining)
            evaluated.update(evaluations(remaining, self._show))
        target = nix_host(self._task.delegate_to or variables["inventory_hostname"], self._connection)
        builds = Builds(target, lambda name: self._host(name, variables), self._show)
        lacking = builds.missing(vms, evaluated)
        built.update({vm.name: evaluated_package(vm, evaluated[vm.name], vm not in lacking) for vm in vms})
        is_check, is_preflight = self._task.check_mode, parameters.get("preflight")
        builds.verify(vms, lacking, bool(parameters["nix"] and (is_check or is_preflight)))
        if not lacking or is_preflight or (is_check and not parameters["check_builds"]):
            return None
        refusal = None if is_verified else self._refusal(built, variables)
        if refusal is None:
            names = [vm.name for vm in lacking]
            installed = self._installed(names, parameters, variables)
            wanted = [vm for vm in lacking if not _is_refused(evaluated[vm.name].path, installed.get(vm.name))]
            builds.build(wanted, evaluated, copies=not is_check)
            if is_check:
                for vm in wanted:
                    old, new = installed.get(vm.name, {}).get("current", ""), built[vm.name]["path"]
                    if old.startswith(nix.STORE) and old != new:
                        built[vm.name]["diff"] = builds.difference(vm, old, new)
            else:
                paths = {vm.name: evaluated[vm.name].path for vm in wanted}
                _refuse_overtaken(paths, installed, self._installed(names, parameters, variables))
        return refusal

    def _installed(self, names: Sequence[str], parameters: Result, variables: Result) -> Dict[str, Result]:
        """Return what the host has of those MicroVMs that have a package."""
        arguments = {key: parameters[key] for key in ("state_dir",) if parameters[key] is not None}
        result: Result = self._execute_module(
            "microvm.fleet.microvm_info", {**arguments, "names": list(names)}, task_vars=variables
        )
        # A host that no role has prepared yet has none.
        return {vm["name"]: vm for vm in result.get("vms", ()) if vm["current"]}

    def _refusal(self, built: Mapping[str, BuiltPackage], variables: Result) -> Optional[Result]:
        """Return the result of the module if it would refuse the declarations or the host, before anything is built.

        Errors of some MicroVMs are results of these alone: the others go on.
        """
        task: Any = self._task
        is_check, task.check_mode = task.check_mode, True
        try:
            arguments = {**task.args, "built": built, "check_builds": False}
            result: Result = self._execute_module(module_args=arguments, task_vars=variables)
        finally:
            task.check_mode = is_check
        return result if result.get("failed") and "vms" not in result else None

    def _host(self, name: str, variables: Result) -> NixHost:
        return nix_host(name, connection_to(name, self._task, self._play_context, variables["hostvars"]))

    def _show(self, line: str) -> None:
        """Show what Nix does, which may take long; what builds write, to whoever asks for more."""
        if _ROOTLESS in line:
            return
        if line.startswith(_STEPS):
            _display.display(f"nix: {line}")
        else:
            _display.v(f"nix: {line}")


def _is_of_flake(vm: Mapping[Any, Any]) -> bool:
    """Return whether the package of a MicroVM is of a flake: one of a directory may have those options by defaults."""
    return source_option(vm) == "flake"


def _warn_of_open_places(vms: Sequence[DeclaredFlake]) -> None:
    """Warn about flakes that every user of the controller can change.

    They are evaluated as whoever runs Ansible, who lets others change them as a playbook: by owners and groups.
    """
    for reference in dict.fromkeys(reference for vm in vms for _option, reference in vm.references):
        for path in paths_of_flake(reference):
            with contextlib.suppress(OSError):
                place = place_open_to_all(path)
                if place is not None:
                    _display.warning(
                        f"every user of the controller can change {place}, and the MicroVMs' hosts execute what the "
                        f"flake {reference} builds; take the right away (chmod -R o-w)"
                    )


def _keeps_package(vm: DeclaredFlake, installed: Mapping[str, Result]) -> bool:
    """Return whether the host leaves a MicroVM the package that it has, or has under its former name.

    The module decides by the same rule: a package that is lost or damaged, or that is not ours, is left to nobody.
    """
    own, former = (installed.get(name or "") for name in (vm.name, vm.declaration["renamed_from"]))
    if own is not None:
        return _is_usable(own)
    if former is None or not _is_usable(former):
        return False
    return former["current"].startswith(nix.STORE) and former["declaration"] is None


def _is_usable(vm: Result) -> bool:
    """Return whether nothing is wrong with the package of a MicroVM that microvm_info knows, and it is ours."""
    return vm["error"] is None and not vm["foreign"]


def _is_refused(path: str, installed: Optional[Result]) -> bool:
    """Return whether the module will refuse a package, since it was marked bad on a host that has another one."""
    if installed is None or installed["current"] == path:
        return False
    return any(generation["bad"] for generation in installed["generations"] if generation["package"] == path)


def _refuse_overtaken(paths: Mapping[str, str], before: Mapping[str, Result], now: Mapping[str, Result]) -> None:
    """Refuse to install packages of MicroVMs that another run has given another one meanwhile. Raises HostError."""
    for name, path in paths.items():
        former, current = (installed[name]["current"] if name in installed else None for installed in (before, now))
        if current not in (former, path):
            raise HostError(
                f"{name}: another package, {current or 'none'}, was installed while this run built or copied one; run "
                "again"
            )


def _earlier_evaluations(vms: Sequence[DeclaredFlake], built: Mapping[str, BuiltPackage]) -> Dict[str, Evaluation]:
    """Return the earlier evaluations that hold, whose derivations the controller still has."""
    found = {vm.name: earlier_package(built, vm.name, vm.installable) for vm in vms}
    derivations = {name: package["derivation"] or "" for name, package in found.items() if package is not None}
    valid = nix.valid_paths(derivations.values())
    # Their systems were looked at then.
    return {
        name: Evaluation(derivation, built[name]["path"], "")
        for name, derivation in derivations.items()
        if derivation in valid
    }
