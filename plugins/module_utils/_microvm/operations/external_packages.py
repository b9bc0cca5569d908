# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at packages that were made elsewhere: by Nix, by `microvm render`, or by hand."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, Optional, cast

from ..declaration.accounts import SHARED, account
from ..declaration.types import PackagedVm
from ..declaration.vms.external import NO_FACTS, PackageFacts, undeclared_package
from ..declaration.vms.options import PACKAGE_OPTIONS
from ..host import nix, restrictions, safe_paths
from ..host.commands import HostError
from ..host.json_files import parse_json_record
from ..host.places import Places
from ..host.store import PackageStore, package_entries
from ..resources.vms.needs import MACVTAP_LIST, package_needs
from ..resources.vms.observe import installed
from ..resources.vms.state import Installed, unit_settings
from ..runner.package import (
    COMMAND_LINE_FILE,
    CONTEXT_IDENTIFIER_FILE,
    DECLARATION_FILE,
    RUN_SCRIPT,
    SHARE,
    File,
    Package,
)
from ..runner.unit_filter import problem_of_settings
from ..runner.units import UNIT_FILES, UNIT_TEMPLATES
from ..schema.errors import DeclarationError

_READ = (DECLARATION_FILE, COMMAND_LINE_FILE)
"""Files that are read as text, if a package has them, beside its drop-ins."""


@dataclass(frozen=True)
class ExternalPackage:
    """A package that was made elsewhere."""

    content: Package
    """Its files; with a place, if the package stays where it is."""
    installed: Installed
    declaration: Optional[PackagedVm]
    """The declaration that it records; packages without one are microvm.nix's, or made by hand."""
    facts: PackageFacts

    @property
    def packaged_vm(self) -> PackagedVm:
        """Return what it decides, as far as it says so. Raises HostError for lists that no package can have."""
        if self.declaration is not None:
            return self.declaration
        try:
            return undeclared_package(self.content.name, self.facts)
        except DeclarationError as error:
            raise HostError(f"the lists in {SHARE} of the package are wrong: {error}") from None


def refuse_others(directory: str) -> None:
    """Refuse a package that others than root can change: every run would execute, as root, what they have written.

    Whoever names a package to the command has looked at it, and it is copied then and there; a declaration is carried
    out again and again. Raises HostError, and OSError.
    """
    if os.path.normpath(directory).startswith(nix.STORE):
        return
    path = os.path.realpath(directory)
    # What is no package is refused as such.
    is_walked = not path.startswith(nix.STORE) and PackageStore().is_runnable(path)
    safe_paths.refuse_changeable(
        directory, f"the package in {directory} is executed as root", "or name a directory of root's", is_walked
    )


def external_package(name: str, directory: str, places: Places) -> ExternalPackage:
    """Look at a package of any origin for the MicroVM ``name``. Raises HostError for a directory that is none."""
    path = os.path.realpath(directory)
    if not PackageStore().is_runnable(path):
        raise HostError(f"{directory} is not a runner package because it lacks the executable {RUN_SCRIPT}")
    if path.startswith(nix.STORE):
        content = Package(name, package_files(path), place=path)
        read, declaration = partial(places.store.read, path), places.declaration(path)
        _refuse_another(name, declaration)
        return ExternalPackage(
            content, installed(places, path, name, is_external=True), declaration, _facts(read, declaration)
        )
    content = _read(name, path)
    declaration = _declaration(content)
    _refuse_another(name, declaration)
    owner, drop_ins = account(declaration) if declaration else SHARED, unit_settings(content)
    problem = restrictions.package_problem(declaration, restrictions.read(), is_external=True)
    problem = problem or problem_of_settings(drop_ins, declaration, path, name)
    needs = package_needs(declaration, content.files, partial(_content, content))
    gives_host_key = bool(declaration and declaration["guest"]["host_key"])
    store_paths = tuple(declaration["store_paths"]) if declaration else ()
    looked_at = Installed(
        content.directory_name, owner, drop_ins, problem, needs, gives_host_key, store_paths, declaration is not None
    )
    return ExternalPackage(content, looked_at, declaration, _facts(partial(_content, content), declaration))


def present_package(name: str, current: str, places: Places) -> Optional[ExternalPackage]:
    """Look at the package that the MicroVM ``name`` has, which stays under its name whatever its files are by now.

    ``None`` for one that is gone, or so damaged that it has to be installed anew. Raises OSError.
    """
    if not places.store.has(current):
        return None
    try:
        content = Package(name, package_files(places.store.path(current)), place=current)
        declaration = places.declaration(current)
        places.store.read(current, COMMAND_LINE_FILE)
        facts = _facts(partial(places.store.read, current), declaration)
        return ExternalPackage(content, installed(places, current, name, is_external=True), declaration, facts)
    except HostError:
        return None


def _facts(read: Callable[[str], str], declaration: Optional[PackagedVm]) -> PackageFacts:
    """Return the lists of a package whose declaration does not say the same."""
    if declaration is not None:
        return NO_FACTS
    return PackageFacts(
        read(f"{SHARE}/tap-interfaces"), read(MACVTAP_LIST), read(f"{SHARE}/pci-devices"), read(CONTEXT_IDENTIFIER_FILE)
    )


def _content(package: Package, path: str) -> str:
    """Return the content of a file that a package may have."""
    file = package.files.get(path)
    return "" if file is None or file.is_link else file.content.decode(errors="replace")


def _refuse_another(name: str, declaration: Optional[PackagedVm]) -> None:
    if declaration is not None and declaration["name"] != name:
        raise HostError(f"the package belongs to the MicroVM {declaration['name']!r}, not to {name!r}")


def _declaration(package: Package) -> Optional[PackagedVm]:
    """Return the declaration that a package records."""
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
    package = Package(name, package_files(directory))
    for path in (*_READ, *(f"{UNIT_FILES}/{template}.conf" for template in UNIT_TEMPLATES)):
        _refuse_links(package, os.path.dirname(path))
        if path in package.files:
            _text(package, path)
    return package


def package_files(directory: str) -> Dict[str, File]:
    """Return all files of a package. Raises HostError for what no package has, and OSError."""
    return {
        entry: _file(os.path.join(directory, entry), status.st_mode)
        for entry, status in package_entries(directory)
        if not stat.S_ISDIR(status.st_mode)
    }


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
