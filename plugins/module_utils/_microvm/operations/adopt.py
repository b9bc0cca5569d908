# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let MicroVMs run external packages: by Nix, by `microvm render`, or made by hand."""

from __future__ import annotations

import contextlib
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
from ..host.json_files import parse_json_record
from ..host.locks import locked
from ..host.places import Places
from ..host.store import PackageStore, package_entries
from ..resources.vms.actions import Plan
from ..resources.vms.handlers_job import Job
from ..resources.vms.needs import package_needs
from ..resources.vms.observe import installed, observe_name
from ..resources.vms.plan_adoption import External, plan_adoption
from ..resources.vms.state import Installed, unit_settings
from ..runner.package import COMMAND_LINE_FILE, DECLARATION_FILE, RUN_SCRIPT, File, Package
from ..runner.unit_filter import problem_of_settings
from ..runner.units import UNIT_FILES, UNIT_TEMPLATES
from ..schema.options import defaults
from .lifecycle import carry_out

_READ = (DECLARATION_FILE, COMMAND_LINE_FILE)
"""Files that are read as text, if a package has them, beside its drop-ins."""


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
    if not PackageStore().is_runnable(path):
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
    needs = package_needs(declaration, content.files, lambda file: _content(content, file))
    return External(name, Installed(content.directory_name, owner, drop_ins, problem, needs), content)


def _content(package: Package, path: str) -> str:
    """Return the content of a file that a package may have."""
    file = package.files.get(path)
    return "" if file is None or file.is_link else file.content.decode(errors="replace")


def _refuse_another(name: str, declaration: Optional[PackagedVm]) -> None:
    if declaration is not None and declaration["name"] != name:
        raise HostError(f"the package belongs to the MicroVM {declaration['name']!r}, not to {name!r}")


def _declaration(package: Package) -> Optional[PackagedVm]:
    """Return the declaration that a package records; packages without one are microvm.nix's, or made by hand."""
    file = package.files.get(DECLARATION_FILE)
    if file is None:
        return None
    return cast(PackagedVm, parse_json_record(DECLARATION_FILE, _text(package, DECLARATION_FILE), PACKAGE_OPTIONS))


def _text(package: Package, path: str) -> str:
    """Return the content of a text file that the host reads. Raises HostError for anything else in its place."""
    file = package.files[path]
    try:
        text = None if file.is_link else file.content.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise HostError(f"{path} of the package is not a regular file of UTF-8 text; build the package again")
    return text


def _read(name: str, directory: str) -> Package:
    contents: Dict[str, File] = {}
    for entry, status in package_entries(directory):
        if not stat.S_ISDIR(status.st_mode):
            contents[entry] = _file(os.path.join(directory, entry), status.st_mode)
    package = Package(name, contents)
    for path in (*_READ, *(f"{UNIT_FILES}/{template}.conf" for template in UNIT_TEMPLATES)):
        _refuse_links(package, os.path.dirname(path))
        if path in contents:
            _text(package, path)
    return package


def _refuse_links(package: Package, directory: str) -> None:
    """Refuse a link in place of a directory: what is read at the next look would be elsewhere. Raises HostError."""
    while directory:
        if directory in package.files:
            raise HostError(
                f"{directory} of the package is not a directory; build the package again without links there"
            )
        directory = os.path.dirname(directory)


def _file(path: str, mode: int) -> File:
    if stat.S_ISLNK(mode):
        return File(os.fsencode(os.readlink(path)), is_link=True)
    if not stat.S_ISREG(mode):
        raise HostError(f"{path} is neither a regular file nor a symbolic link; a package contains nothing else")
    with open(path, "rb") as file:
        return File(file.read(), executable=bool(mode & stat.S_IXUSR))


def is_installed(name: str, places: Places) -> bool:
    """Return whether the host has such a MicroVM."""
    return os.path.lexists(places.state(name, CURRENT_LINK))
