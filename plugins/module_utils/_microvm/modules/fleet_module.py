# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's side of all modules of the collection."""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, NoReturn, Optional, TypeVar

from ansible.module_utils.basic import AnsibleModule

from ..host.commands import HostError
from ..schema.errors import DeclarationError
from ..schema.naming import element_names
from ..schema.options import Options, argument_spec
from ..schema.validation import refuse_joined, validate

Parameters = Mapping[str, Any]
"""Options as Ansible has checked them."""

Result = TypeVar("Result")


class FleetModule(AnsibleModule):
    """Module whose errors name the element of a list that is wrong, which those of Ansible do not.

    ``parse`` raises a DeclarationError for parameters that Ansible refuses and the option table alone cannot explain;
    ``inspect`` does so for what is to be reported before anything else.
    """

    def __init__(
        self,
        options: Options,
        parse: Callable[[Parameters], object],
        inspect: Callable[[Parameters], None] = lambda parameters: None,
        **rules: object,
    ) -> None:
        # On a host whose root keeps everything to itself, hypervisors could not read their packages.
        os.umask(0o022)
        self._options, self._parse, self._inspect = options, parse, inspect
        self._is_built = False
        try:
            super().__init__(argument_spec=argument_spec(options), supports_check_mode=True, **rules)
        except TypeError as error:
            # Ansible looks for secrets in what it has not checked yet.
            self.fail_json(msg=str(error))
        self._is_built = True

    def _load_params(self) -> None:
        """Look at the parameters as they were written, before Ansible splits strings into lists."""
        super()._load_params()
        self._joined: Optional[DeclarationError] = None
        try:
            refuse_joined(self._options, self.params, "")
        except DeclarationError as error:
            self._joined = error

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        """See AnsibleModule.fail_json."""
        if not self._is_built:
            msg = self._with_path(msg)
        super().fail_json(msg=msg, **kwargs)

    def _with_path(self, message: str) -> str:
        try:
            self._validate()
            self._parse(self.params)
        except (DeclarationError, HostError, AttributeError, KeyError, TypeError, ValueError) as error:
            return self._shown(error) if isinstance(error, DeclarationError) else message
        return message

    def _validate(self) -> None:
        if self._joined is not None:
            raise self._joined
        self._inspect(self.params)
        validate(self._options, self.params, "")

    def _shown(self, error: DeclarationError) -> str:
        return str(error.named(element_names(self.params)))

    def attempt(self, work: Callable[[Parameters, bool], Result]) -> Result:
        """Return the result of ``work``, whose errors end the module.

        It is given the parameters, which it parses itself, and whether this is check mode.
        """
        try:
            self._validate()
            return work(self.params, self.check_mode)
        except DeclarationError as error:
            self.fail_json(msg=self._shown(error))
        except (HostError, OSError) as error:
            self.fail_json(msg=str(error))
