# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's side of all modules of the collection."""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, NoReturn, TypeVar

from ansible.module_utils.basic import AnsibleModule

from ..host.commands import HostError
from ..schema.errors import DeclarationError
from ..schema.options import Options, argument_spec
from ..schema.validation import validate

Parameters = Mapping[str, Any]
"""Options as Ansible has checked them."""

Result = TypeVar("Result")


class FleetModule(AnsibleModule):
    """Module whose errors name the element of a list that is wrong, which those of Ansible do not.

    ``parse`` raises a DeclarationError for parameters that Ansible refuses and the option table alone cannot explain.
    """

    def __init__(self, options: Options, parse: Callable[[Parameters], object], **rules: object) -> None:
        # On a host whose root keeps everything to itself, hypervisors could not read their packages.
        os.umask(0o022)
        self._options, self._parse = options, parse
        self._is_built = False
        try:
            super().__init__(argument_spec=argument_spec(options), supports_check_mode=True, **rules)
        except TypeError as error:
            # Ansible looks for secrets in what it has not checked yet.
            self.fail_json(msg=str(error))
        self._is_built = True

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """See AnsibleModule.fail_json."""
        if not self._is_built:
            msg = self._with_path(msg)
        super().fail_json(msg=msg, **kwargs)

    def _with_path(self, message: str) -> str:
        try:
            validate(self._options, self.params, "")
            self._parse(self.params)
        except (DeclarationError, HostError, AttributeError, KeyError, TypeError, ValueError) as error:
            return str(error) if isinstance(error, DeclarationError) else message
        return message

    def attempt(self, work: Callable[[Parameters, bool], Result]) -> Result:
        """Return the result of ``work``, whose errors end the module.

        It is given the parameters, which it parses itself, and whether this is check mode.
        """
        try:
            validate(self._options, self.params, "")
            return work(self.params, self.check_mode)
        except (DeclarationError, HostError, OSError) as error:
            self.fail_json(msg=str(error))
