# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registries of hypervisors, from their folders: a module imports by name only, since Ansible sends no other files.

The option tables are composed from the first of them, so these files are written before the tables are read.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from _microvm.hypervisors.profile import Profile

from .headers import LICENCE

HEAD = LICENCE + "# Written by `make generate` from the folders of hypervisors.\n\n"

PROFILES = (
    HEAD
    + '''\
"""Profiles of all hypervisors, by name."""

from __future__ import annotations

from typing import Dict

{imports}
PROFILES: Dict[str, Profile] = {{
    profile.name: profile
    for profile in (
{names}    )
}}
'''
)

COMMANDS = (
    HEAD
    + '''\
"""Command lines of all hypervisors, by name."""

from __future__ import annotations

from typing import Dict

{imports}
HYPERVISORS: Dict[str, Hypervisor] = {{
    hypervisor.profile.name: hypervisor
    for hypervisor in (
{names}    )
}}
'''
)


def folders(code: Path) -> list[str]:
    """Return the names of the folders that have a hypervisor, in the order of their profiles."""
    names = [path.parent.name for path in (code / "hypervisors").glob("*/profile.py")]
    return sorted(names, key=lambda name: (profile(name).order, name))


def profile(folder: str) -> Profile:
    """Return the profile of the hypervisor in a folder."""
    loaded: Profile = importlib.import_module(f"_microvm.hypervisors.{folder}.profile").PROFILE
    if loaded.name.replace("-", "_") != folder or loaded.group.name != folder:
        raise ValueError(
            f"the hypervisor {loaded.name!r} with the options {loaded.group.name!r} is in folder {folder!r}"
        )
    return loaded


def registries(root: Path) -> dict[Path, str]:
    """Return the generated files, and what should stand in each."""
    code = root / "plugins" / "module_utils" / "_microvm"
    names = folders(code)
    return {
        code / "hypervisors" / "profiles.py": PROFILES.format(
            imports=_imports(names, "profile", "PROFILE", "Profile"), names=_listed(names)
        ),
        code / "hypervisors" / "commands.py": COMMANDS.format(
            imports=_imports(names, "command", "HYPERVISOR", "Hypervisor"), names=_listed(names)
        ),
    }


def _imports(names: Sequence[str], module: str, constant: str, class_name: str) -> str:
    """Return the imports of every folder's constant and of its class, sorted as ruff sorts them."""
    lines = {f"{name}.{module}": f"{constant} as {name.upper()}" for name in names} | {class_name.lower(): class_name}
    return "".join(f"from .{path} import {lines[path]}\n" for path in sorted(lines))


def _listed(names: Sequence[str]) -> str:
    return "".join(f"        {name.upper()},\n" for name in names)


def write(root: Path) -> None:
    """Write the files that are out of date."""
    for path, text in registries(root).items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(root)}")
