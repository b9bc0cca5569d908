# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of roles: argument specs with the option tables in them, and defaults, which are those of the specs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from _microvm.declaration.names import IMAGE_STORE
from _microvm.schema.options import Options, documentation

from .yaml_text import to_yaml

PATHS = {
    "microvm_image_store": IMAGE_STORE,
}
"""Defaults of variables that are paths; no other file of a role says them."""


LEFT_ALONE = ("microvm_vfio",)
"""Lists without a default: without them, the role leaves alone what the host has, and an empty one ends it."""


def role_files(role: Path, header: str, variables: Options) -> dict[Path, str]:
    """Return the argument spec and the defaults of a role, of whose variables the given ones are tables."""
    path = role / "meta" / "argument_specs.yml"
    specification = yaml.safe_load(path.read_text())
    options = specification["argument_specs"]["main"]["options"]
    options |= _nested(documentation(variables))
    for variable in PATHS.keys() & options.keys():
        options[variable]["default"] = PATHS[variable]
    # A mapping that nobody wrote is not an empty one.
    defaults = {name: option.get("default", []) for name, option in options.items() if _has_default(name, option)}
    return {
        path: f"{header}---\n{to_yaml(specification)}",
        role / "defaults" / "main.yml": f"{header}---\n{to_yaml(defaults)}",
    }


def _has_default(name: str, option: dict[str, Any]) -> bool:
    return "default" in option or (option["type"] == "list" and name not in LEFT_ALONE)


def _nested(specification: Any) -> Any:
    """Return a specification as roles have it, with ``options`` where modules' documentation says ``suboptions``."""
    if isinstance(specification, dict):
        return {"options" if key == "suboptions" else key: _nested(value) for key, value in specification.items()}
    return [_nested(value) for value in specification] if isinstance(specification, list) else specification
