# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the places in variables whose templates cannot be resolved: what Ansible reports has no place."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unresolved
author:
  - microvm.fleet contributors (@microvm)
short_description: Places in variables whose templates cannot be resolved
version_added: 0.1.0
description:
  - Ansible reports an undefined variable in a nested value without its place. This lookup returns the path of every
    such value, such as C(microvm_vms[1].interfaces[0].bridge), with the name of the element, and the reason.
  - Playbook C(microvm.fleet.site) verifies the variables of the roles with it before anything else.
options:
  _terms:
    description:
      - Names of variables. Variables that are not set are ignored.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Require that all variables are defined
  ansible.builtin.assert:
    that: query('microvm.fleet.unresolved', 'microvm_vms', 'microvm_defaults') | length == 0
"""

RETURN = r"""
_raw:
  description:
    - Path and reason of each value that cannot be resolved.
  type: list
  elements: str
"""

from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.naming import element_names, with_names


class LookupModule(LookupBase):
    """Return the paths of values that cannot be resolved."""

    @property
    def templar(self) -> Any:
        """What templates values; Ansible sets it before it calls a lookup."""
        return self._templar

    def run(self, terms: Sequence[str], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> List[str]:
        """See LookupBase.run."""
        values = {term: variables[term] for term in terms if variables is not None and term in variables}
        names = element_names(values)
        problems = ((path, self._problem(text)) for path, text in templates(values))
        return [f"{with_names(path, names)}: {problem}" for path, problem in problems if problem is not None]

    def _problem(self, text: str) -> Optional[str]:
        """Return why a template cannot be resolved; ``None`` if it can."""
        try:
            self.templar.template(text)
        except AnsibleError as error:
            return " ".join(str(error).split())
        return None


def templates(values: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    """Yield the strings in nested values that are templates, with their paths."""
    for key, value in values.items():
        yield from _templates(value, str(key))


def _templates(value: object, path: str) -> Iterator[Tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, element in value.items():
            yield from _templates(element, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, element in enumerate(value):
            yield from _templates(element, f"{path}[{index}]")
    elif isinstance(value, str) and ("{{" in value or "{%" in value):
        yield path, value
