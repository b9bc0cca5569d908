# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules' ``main()``: Ansible's side of reconcile and of what is known."""

from __future__ import annotations

from typing import Any, Dict, List

from ..declaration.restrictions.parse import parse_restrictions
from ..declaration.vms.options import VM_OPTIONS
from ..host.places import Places
from ..host.settings import host_images, state_directory
from ..operations.condition import worst
from ..operations.flakes import earlier_packages
from ..operations.info import InformationResult, inform
from ..operations.reconcile import Request, parse, reconcile
from ..operations.report import VmsResult
from ..operations.summary import summarize
from ..resources.images.observe import known_images
from ..schema.excerpts import first_line
from ..schema.options import Options
from ..schema.validation import validate
from .fleet_module import FleetModule, Parameters
from .options import COMMON_OPTIONS, INFO_MODULE_OPTIONS, VM_MODULE_OPTIONS, VMS_MODULE_OPTIONS


class SummarizedResult(VmsResult):
    """Outcome of microvm_vms."""

    summary: List[str]


def run_vm() -> None:
    """``main()`` of microvm_vm."""
    _run(VM_MODULE_OPTIONS)


def run_vms() -> None:
    """``main()`` of microvm_vms."""
    _run(VMS_MODULE_OPTIONS)


def run_info() -> None:
    """``main()`` of microvm_info."""
    module = FleetModule(INFO_MODULE_OPTIONS, lambda parameters: None)
    outcome = module.attempt(_inform)
    for vm in outcome["vms"]:
        if vm["error"] is not None:
            # Whoever asks for all MicroVMs learns of the others too.
            module.warn(f"{vm['name']}: {vm['error']}")
    module.exit_json(**outcome)


def _inform(parameters: Parameters, _check_mode: bool) -> InformationResult:
    vms = inform(Places(state_directory("state_dir", parameters["state_dir"])), parameters["names"])
    return {"changed": False, "condition": worst(vm["condition"] for vm in vms), "vms": vms}


def _run(options: Options) -> None:
    """Reconcile and report the result."""
    module = FleetModule(options, lambda parameters: parse(request(parameters, False)), _check_defaults)
    outcome = module.attempt(_reconcile)
    for warning in outcome["warnings"]:
        module.warn(warning)
    # Ansible adds them to the result itself.
    values = {key: value for key, value in outcome.items() if key != "warnings"}
    if "purge" in module.params:
        values["summary"] = summarize(outcome["vms"], outcome["undeclared"], module.params["purge"], module.check_mode)
    # The rest, such as a guest's journal, is in the entry of each.
    failures = [f"{vm['name']}: {first_line(vm['msg'])}" for vm in outcome["vms"] if vm["failed"]]
    if failures:
        module.fail_json(msg="\n".join(failures), **values)
    module.exit_json(**values)


def _check_defaults(parameters: Parameters) -> None:
    """Refuse defaults that are wrong by themselves. Raises DeclarationError with the name of the roles' variable."""
    if parameters.get("defaults"):
        validate(_DEFAULTS, parameters["defaults"], "microvm_defaults")


_DEFAULTS: Options = tuple(option for option in VM_OPTIONS if option.name != "name")
"""Options that MicroVMs may have in common."""


def _reconcile(parameters: Parameters, check_mode: bool) -> VmsResult:
    return reconcile(request(parameters, check_mode))


def request(parameters: Parameters, check_mode: bool) -> Request:
    """The parameters of either module as a request."""
    is_predicted = check_mode or bool(parameters.get("preflight"))
    given = parameters.get("restrictions")
    common: Dict[str, Any] = {
        "images": known_images(parameters.get("images") or (), host_images()),
        "bridges": parameters["bridges"] or (),
        "pci_devices": parameters["pci_devices"] or (),
        "device_vms": parameters["device_vms"],
        "huge_pages": parameters["huge_pages"] or (),
        "networks": parameters.get("networks") or (),
        "former_networks": parameters.get("former_networks") or (),
        "state_dir": state_directory("state_dir", parameters["state_dir"], is_predicted),
        "check_mode": check_mode,
        "check_builds": parameters["check_builds"],
        "nix": parameters["nix"],
        "built": earlier_packages(parameters["built"] or {}),
        "full_diff": parameters["diff_detail"] == "full",
        "restrictions": None if given is None else parse_restrictions(given, "restrictions"),
    }
    if "vms" in parameters:
        own = {key: parameters[key] for key in ("vms", "state", "parallel", "preflight", "purge")}
        defaults = validate(_DEFAULTS, parameters.get("defaults") or {}, "microvm_defaults")
        return Request(**own, **common, defaults=defaults)
    shared = {option.name for option in COMMON_OPTIONS}
    vm = {key: value for key, value in parameters.items() if key not in shared}
    return Request(vms=[vm], path="", **common)
