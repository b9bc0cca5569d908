# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON Schema of a file with declarations, for editors and pipelines."""

from __future__ import annotations

import json
import re
from typing import Any

from _microvm.schema.options import Option, Options

from .pages import plain

TYPES: dict[str, dict[str, Any]] = {
    # Templated values arrive as text, and YAML reads what looks like a number as one.
    "str": {"type": ["string", "number"]},
    "path": {"type": "string"},
    "raw": {"type": ["string", "integer"]},
    "int": {"type": ["integer", "string"]},
    "bool": {"type": ["boolean", "string"]},
}


def schema(table: Options) -> str:
    """A declaration, a list of them, or a mapping with ``microvm_vms``, as `microvm validate` takes them."""
    several = {"type": "array", "items": {"$ref": "#/$defs/vm"}}
    variables = {"type": "object", "required": ["microvm_vms"], "properties": {"microvm_vms": several}}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Written by `make generate`.",
        "title": "MicroVMs",
        "anyOf": [{"$ref": "#/$defs/vm"}, several, variables],
        "$defs": {"vm": _mapping(table)},
    }
    return json.dumps(whole, indent=2) + "\n"


def _mapping(options: Options) -> dict[str, Any]:
    properties = {option.name: _property(option) for option in options}
    required = [option.name for option in options if option.required]
    shape: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**shape, "required": required} if required else shape


def _property(option: Option) -> dict[str, Any]:
    description = re.sub("`", "", " ".join(plain(paragraph) for paragraph in option.paragraphs))
    shape: dict[str, Any] = {"description": description, **_shape(option)}
    if option.default is not None:
        shape["default"] = option.default
    if option.required:
        return shape
    # What is not wanted may be written as null.
    kind = shape["type"]
    shape["type"] = [*kind, "null"] if isinstance(kind, list) else [kind, "null"]
    if "enum" in shape:
        shape["enum"] = [*shape["enum"], None]
    return shape


def _shape(option: Option) -> dict[str, Any]:
    if option.type == "list":
        items = _mapping(option.suboptions) if option.suboptions else TYPES[option.elements or "str"]
        return {"type": ["array", "string"] if option.single else "array", "items": items}
    if option.type == "dict":
        if option.suboptions:
            return _mapping(option.suboptions)
        values: dict[str, Any] = {"additionalProperties": {"type": "string"}} if option.values else {}
        return {"type": "object", **values}
    choices: dict[str, Any] = {"enum": list(option.choices)} if option.choices else {}
    return {**TYPES[option.type], **choices}
