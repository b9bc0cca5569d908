# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let MicroVMs run external packages: by Nix, by `microvm render`, or made by hand."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import replace
from typing import Dict, Optional, cast

from ..declaration.accounts import SHARED, account
from ..declaration.names import CURRENT_LINK
from ..declaration.types import PackagedVm
from ..declaration.vms.host_options import HOST_OPTIONS
from ..declaration.vms.options import PACKAGE_OPTIONS
from ..host import accounts, nix, restrictions
from ..host.commands import HostError
from ..host.locks import locked
from ..host.places import Places
from ..resources.vms.actions import Plan
from ..resources.vms.handlers_job import Job
from ..resources.vms.observe import installed, observe_name
from ..resources.vms.plan_adoption import External, plan_adoption
from ..resources.vms.state import Installed, unit_settings
from ..runner.package import DECLARATION_FILE, File, Package
from ..runner.unit_filter import problem_of_settings
from ..schema.compaction import complete
from ..schema.options import defaults
from .lifecycle import carry_out

RUN_SCRIPT = "bin/microvm-run"


def adopt(name: str, directory: str, places: Places, flake: Optional[str] = None, check: bool = False) -> Plan:
    """Let ``current`` of a MicroVM lead to the package in a directory, which is not started; ``check`` only plans.

    ``flake`` is where the package is from. Raises HostError, also for a directory that is no package.
    """
    restrictions.check_external(restrictions.read())
    external = replace(_external(name, directory, places), flake=flake or "")
    owner = external.installed.account
    if not owner.is_own and not accounts.exists(owner.user):
        raise HostError(f"the user {owner.user} does not exist; run the role microvm.fleet.host first")
    with contextlib.nullcontext() if check else locked([name]):
        plan = plan_adoption(observe_name(places, name, owner), external, defaults(HOST_OPTIONS)["keep_generations"])
        if not check:
            os.makedirs(places.state_directory, exist_ok=True)
            carry_out(Job(plan, places))
    return plan


def _external(name: str, directory: str, places: Places) -> External:
    """Look at a package of any origin. Raises HostError for a directory that is none."""
    path = os.path.realpath(directory)
    if not os.access(os.path.join(path, RUN_SCRIPT), os.X_OK):
        raise HostError(f"{directory} is not a runner package because it lacks the executable {RUN_SCRIPT}")
    if path.startswith(nix.STORE):
        external = External(name, installed(places, path, name, is_external=True))
        _refuse_another(name, places.declaration(path))
        return external
    content = _read(name, path)
    declaration = _declaration(content)
    _refuse_another(name, declaration)
    owner, drop_ins = account(declaration) if declaration else SHARED, unit_settings(content)
    problem = restrictions.package_problem(declaration, restrictions.read(), is_external=True)
    problem = problem or problem_of_settings(drop_ins, declaration, path, name)
    return External(name, Installed(content.directory_name, owner, drop_ins, problem), content)


def _refuse_another(name: str, declaration: Optional[PackagedVm]) -> None:
    if declaration is not None and declaration["name"] != name:
        raise HostError(f"the package belongs to the MicroVM {declaration['name']!r}, not to {name!r}")


def _declaration(package: Package) -> Optional[PackagedVm]:
    """Return the declaration that a package records; packages without one are microvm.nix's, or made by hand."""
    file = package.files.get(DECLARATION_FILE)
    return cast(PackagedVm, complete(PACKAGE_OPTIONS, json.loads(file.content))) if file else None


def _read(name: str, directory: str) -> Package:
    contents: Dict[str, File] = {}
    for parent, directories, entries in os.walk(directory):
        links = [entry for entry in directories if os.path.islink(os.path.join(parent, entry))]
        for entry in (*entries, *links):
            path = os.path.join(parent, entry)
            contents[os.path.relpath(path, directory)] = _file(path)
    return Package(name, contents)


def _file(path: str) -> File:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return File(os.readlink(path).encode(), is_link=True)
    if not stat.S_ISREG(mode):
        raise HostError(f"{path} is neither a regular file nor a symbolic link; a package contains nothing else")
    with open(path, "rb") as file:
        return File(file.read(), executable=bool(mode & stat.S_IXUSR))


def is_installed(name: str, places: Places) -> bool:
    """Return whether the host has such a MicroVM."""
    return os.path.lexists(places.state(name, CURRENT_LINK))
