# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""create, update, apply."""

from __future__ import annotations

import contextlib
import os
import re
from argparse import Namespace
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Sequence

from ...host import flakes, nix, restrictions, settings
from ...host.commands import HostError
from ...host.places import Places
from ...host.records import UpdateSource
from ...operations import lifecycle
from ...operations.adopt import adopt, is_installed
from ...operations.reconcile import Request, reconcile
from ...operations.report import package_diff
from ...operations.switching import may_be_switched
from ...operations.update_sources import update_source, without_flake
from ...resources.images.observe import installed_images
from ...resources.vms.actions import Plan
from ..host import each, places, require_root
from ..output import say
from ..source import VARIABLE, Source, SourceError, read
from .results import print_outcome, print_plan

Raw = Mapping[str, object]


def create_vm(arguments: Namespace) -> int:
    """``microvm create``."""
    require_root(arguments)
    refuse_attribute(arguments, [arguments.name])
    where = places(arguments)
    if is_installed(arguments.name, where):
        raise HostError(f"{arguments.name} is already installed; see: microvm update --help")
    if arguments.file is not None:
        source = read(arguments.file)
        request = _request(arguments, source, _chosen(source, [arguments.name], arguments.file), "present")
        return print_outcome(reconcile(request), arguments.check, arguments.diff)
    built = chosen_source(arguments.name, arguments, where) if arguments.package is None else None
    install_external(arguments.name, built, arguments, where)
    if not arguments.check:
        say(f"{arguments.name}: start it with: microvm start {arguments.name}")
    return 0


def install_external(name: str, source: Optional[UpdateSource], arguments: Namespace, where: Places) -> None:
    """Install an external package, or with ``--check`` only show what that would mean."""
    # Before a build of it executes anything.
    restrictions.check_external(restrictions.read())
    package = str(arguments.package) if source is None else flakes.build_source(source, name, not arguments.check)
    flake, attribute = (None, None) if source is None else (source.flake, source.attribute)
    plan = adopt(name, package, where, flake, arguments.check, attribute)
    print_plan(plan, "installed", arguments.check, package_diff(plan, where) if arguments.diff else None)
    print_closures(plan)


def chosen_source(name: str, arguments: Namespace, where: Places) -> Optional[UpdateSource]:
    """Return what is built for a MicroVM: of flake and attribute that are passed, or else recorded.

    ``None`` without any flake.
    """
    flake = absolute_flake(arguments.flake) if arguments.flake is not None else None
    return update_source(name, where, flake, arguments.attribute)


def refuse_attribute(arguments: Namespace, names: Sequence[str]) -> None:
    """Refuse an attribute that nothing builds, or that several MicroVMs would have. Raises HostError."""
    if arguments.attribute is None:
        return
    if getattr(arguments, "file", None) is not None or getattr(arguments, "package", None) is not None:
        raise HostError("--attribute is one of a flake; pass it without --file and --package")
    if len(set(names)) > 1:
        raise HostError("an attribute is the package of one MicroVM; pass --attribute for one MicroVM at a time")


def absolute_flake(flake: str) -> str:
    """Return a reference to a flake that means the same in any directory, since it is used again later."""
    scheme = "path:" if flake.startswith("path:") else ""
    place, mark, rest = re.split(r"([?#]|$)", flake[len(scheme) :], maxsplit=1)
    is_relative = place in (".", "..") or place.startswith(("./", "../")) or (scheme and not place.startswith("/"))
    return f"{scheme}{os.path.abspath(place)}{mark}{rest}" if is_relative else flake


def print_closures(plan: Plan) -> None:
    """Say which packages of Nix differ from those before; both are there."""
    paths = [package for package in (plan.previous, plan.package) if package and package.startswith(nix.STORE)]
    if len(set(paths)) == 2:
        # A difference that cannot be shown is no failure of the update.
        with contextlib.suppress(HostError):
            say(nix.diff_closures(*paths).rstrip() or f"{plan.name}: no version differs")


def update(arguments: Namespace) -> int:
    """``microvm update``."""
    require_root(arguments)
    refuse_attribute(arguments, arguments.names)
    where = places(arguments)
    if arguments.file is not None:
        source = read(arguments.file)
        chosen = _chosen(source, arguments.names, arguments.file)
        # An explicit restart does not wait for restart_window.
        wanted = {"state": "started", "restart_policy": "if_changed"} if arguments.restart else {"state": "present"}
        chosen = [{**declaration, **wanted} for declaration in chosen]
        request = replace(_request(arguments, source, chosen, "present"), keeps_state=True)
        return print_outcome(reconcile(request), arguments.check, arguments.diff)
    if arguments.package is not None and len(arguments.names) > 1:
        raise HostError("a package belongs to one MicroVM; update one MicroVM at a time")
    return each(arguments.names, lambda name: _update(name, arguments, where))


def _update(name: str, arguments: Namespace, where: Places) -> None:
    lifecycle.require(name, where)
    built = chosen_source(name, arguments, where) if arguments.package is None else None
    if built is None and arguments.package is None:
        raise HostError(
            f"{without_flake(name, where)}; pass a flake by --flake, its declaration by --file or its package by "
            "--package, or run the playbook that declares it"
        )
    install_external(name, built, arguments, where)
    running = lifecycle.is_running(name)
    if arguments.check or (running and lifecycle.is_current(name, where)):
        return
    if arguments.restart:
        lifecycle.restart_vm(name, where)
        say(f"{name}: is up")
    elif running:
        without = f"; without one: microvm switch {name}" if may_be_switched(name, where) else ""
        say(f"{name}: a restart is pending: microvm restart {name}{without}")


def apply(arguments: Namespace) -> int:
    """``microvm apply``."""
    if not arguments.check:
        require_root(arguments)
    source = read(arguments.file)
    chosen = _chosen(source, arguments.names, arguments.file) if arguments.names else _all(source, arguments.file)
    outcome = reconcile(_request(arguments, source, chosen, "started"))
    status = print_outcome(outcome, arguments.check, arguments.diff)
    if outcome["undeclared"] and not arguments.names:
        say(f"installed on the host but not declared in {arguments.file}: {', '.join(outcome['undeclared'])}")
    return status


def _chosen(source: Source, names: Sequence[str], file: str) -> List[Raw]:
    """The declarations of the MicroVMs that are named. Raises SourceError for one that the file does not have."""
    declared: Dict[str, Raw] = {str(vm.get("name")): vm for _place, vm in source.vms if isinstance(vm, Mapping)}
    missing = [name for name in names if name not in declared]
    if missing:
        raise SourceError(f"{file} does not declare {', '.join(missing)}; it has: {', '.join(declared) or 'none'}")
    return [declared[name] for name in dict.fromkeys(names)]


def _all(source: Source, file: str) -> List[Raw]:
    for place, vm in source.vms:
        if not isinstance(vm, Mapping):
            raise SourceError(f"{file}: {place}: must be a mapping of the options of a MicroVM")
    return [vm for _place, vm in source.vms if isinstance(vm, Mapping)]


def _request(arguments: Namespace, source: Source, vms: Sequence[Raw], state: str) -> Request:
    return Request(
        vms=vms,
        images=installed_images(source.images, settings.host_images()),
        state=state,
        state_dir=places(arguments).state_directory,
        parallel=getattr(arguments, "parallel", 1),
        check_mode=getattr(arguments, "check", False),
        alone=True,
        path=VARIABLE,
    )
