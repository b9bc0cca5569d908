# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates in variables of hosts, resolved on the controller without what is not asked for."""

from __future__ import annotations

import re
import uuid
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Type

from ansible import errors
from ansible import template as templates
from ansible.errors import AnsibleError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.naming import element_names, with_names

MARKS = ("{{", "{%", "{#")
"""Beginnings of what Jinja replaces."""

OMISSIONS: Tuple[Type[Exception], ...] = tuple(
    getattr(errors, name) for name in ("AnsibleValueOmittedError",) if hasattr(errors, name)
)
"""Exception for a template that results in ``omit``; none before Ansible 2.19, where that is a string."""

OMITTED = f"omit-{uuid.uuid4().hex}"
"""The string."""


templated: Callable[[str], str] = getattr(templates, "trust_as_template", str)
"""Marks a template as one; before Ansible 2.19, all strings are."""
_is_template: Callable[[object], bool] = getattr(templates, "is_trusted_as_template", lambda _value: False)
"""Returns whether a string is marked so. Before, results were evaluated again, so that parts have no meaning."""

_NAME = r"\{\{ *([A-Za-z_][A-Za-z0-9_]*) *\}\}"
_SIMPLE = re.compile(rf"(?:[^{{}}\n]|{_NAME})+")


def parts_of(template: str) -> List[str]:
    """Return text and names of variables in turns; none for a template that is more than that, or is a name alone."""
    is_simple = _is_template(template) and not template.startswith("#") and _SIMPLE.fullmatch(template)
    parts = re.split(_NAME, template) if is_simple else []
    return parts if any(parts[::2]) else []


class OmissionError(Exception):
    """A template results in ``omit``."""


def without_omissions(value: Any) -> Any:
    """Return a result without the elements of mappings and lists that are omitted."""
    if isinstance(value, Mapping):
        return {key: without_omissions(element) for key, element in value.items() if element != OMITTED}
    if isinstance(value, list):
        return [without_omissions(element) for element in value if element != OMITTED]
    return value


class Resolver:
    """Resolves the templates in variables of a host. What has none is not looked at by Jinja, which is slow."""

    def __init__(self, templar: Any, limits: str) -> None:
        """``limits`` says in errors which variables are known."""
        self._templar = templar
        self._limits = limits
        self._results: Dict[str, Any] = {}

    def resolved(self, variables: Mapping[str, Any]) -> Dict[str, Any]:
        """Return variables without templates. Raises DeclarationError with the path of what cannot be resolved."""
        names = element_names(variables)
        try:
            return dict(self._elements((name, value, name) for name, value in variables.items()))
        except DeclarationError as error:
            raise DeclarationError(with_names(error.path, names), error.message) from None

    def _elements(self, elements: Iterable[Tuple[Any, Any, str]]) -> Iterator[Tuple[Any, Any]]:
        """Yield resolved elements with their keys, without those that are omitted."""
        for key, value, path in elements:
            try:
                resolved = self._resolved(value, path)
            except OmissionError:
                continue
            yield key, resolved

    def _resolved(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return dict(self._elements((key, element, f"{path}.{key}") for key, element in value.items()))
        if isinstance(value, (list, tuple)):
            elements = ((index, element, f"{path}[{index}]") for index, element in enumerate(value))
            return [element for _index, element in self._elements(elements)]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if not isinstance(value, str):
            return self._templated(value, path)
        if not any(mark in value for mark in MARKS):
            return value
        if value not in self._results:
            self._results[value] = self._filled_in(value, path)
        return self._results[value]

    def _filled_in(self, template: str, path: str) -> Any:
        """Return the result of a template, without another compilation where names of variables are filled in alone."""
        parts = parts_of(template)
        texts = [part if index % 2 == 0 else self._text_of(part, path) for index, part in enumerate(parts)]
        if parts and None not in texts:
            return "".join(str(text) for text in texts)
        return self._templated(template, path)

    def _text_of(self, name: str, path: str) -> Optional[str]:
        """Return the value of a variable; ``None`` if it is no string, or if there is none."""
        try:
            value = self._resolved(templated(f"{{{{ {name} }}}}"), path)
        except (DeclarationError, OmissionError):
            return None
        return value if isinstance(value, str) else None

    def _templated(self, value: Any, path: str) -> Any:
        try:
            result = without_omissions(self._templar.template(value))
        except AnsibleError as error:
            if isinstance(error, OMISSIONS):
                raise OmissionError from None
            raise DeclarationError(path, f"{' '.join(str(error).split())}; {self._limits}") from None
        if result == OMITTED:
            raise OmissionError
        return result
