# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules' ``main()``: Ansible's side of reconcile."""

from __future__ import annotations

from typing import Any, Mapping, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ..declaration.errors import DeclarationError
from ..declaration.options import Options, argument_spec
from ..host.commands import HostError
from .options import COMMON_OPTIONS, VM_MODULE_OPTIONS, VMS_MODULE_OPTIONS
from .reconcile import Request, parse, reconcile


class FleetModule(AnsibleModule):
    """A module about MicroVMs. Ansible's own complaints do not say which element of a list they are about; ours do."""

    def __init__(self, options: Options) -> None:
        self._is_built = False
        super().__init__(argument_spec=argument_spec(options), supports_check_mode=True)
        self._is_built = True

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """See AnsibleModule.fail_json."""
        if not self._is_built:
            msg = self._in_our_words(msg)
        super().fail_json(msg=msg, **kwargs)

    def request(self) -> Request:
        """The parameters as a request."""
        return request(self.params, self.check_mode)

    def _in_our_words(self, message: str) -> str:
        try:
            parse(self.request())
        except (DeclarationError, AttributeError, KeyError, TypeError, ValueError) as error:
            return str(error) if isinstance(error, DeclarationError) else message
        return message

    def run(self) -> None:
        """Reconcile and say what came of it."""
        try:
            outcome = reconcile(self.request())
        except (DeclarationError, HostError) as error:
            self.fail_json(msg=str(error))
        failures = [f"{one['name']}: {one['msg']}" for one in outcome["vms"] if one["failed"]]
        if failures:
            self.fail_json(msg="\n\n".join(failures), **outcome)
        self.exit_json(**outcome)


def request(parameters: Mapping[str, Any], check_mode: bool) -> Request:
    """The parameters of either module as a request."""
    images = parameters.get("images") or ()
    common = {"images": images, "state_dir": parameters["state_dir"], "check_mode": check_mode}
    if "vms" in parameters:
        own = {key: parameters[key] for key in ("vms", "state", "parallel", "preflight")}
        own["networks"] = parameters["networks"] or ()
        return Request(**own, **common)
    others = {option.name for option in COMMON_OPTIONS}
    vm = {key: value for key, value in parameters.items() if key not in others}
    return Request(vms=[vm], path="", **common)


def run_vm() -> None:
    """``main()`` of microvm_vm."""
    FleetModule(VM_MODULE_OPTIONS).run()


def run_vms() -> None:
    """``main()`` of microvm_vms."""
    FleetModule(VMS_MODULE_OPTIONS).run()
