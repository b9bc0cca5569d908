# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""create, update, apply."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Dict, List, Mapping, Optional, Sequence

from ...declaration.names import GARBAGE_ROOTS
from ...host import nix
from ...host.commands import HostError
from ...host.image_store import ImageStore
from ...host.places import Places
from ...operations import lifecycle
from ...operations.adopt import adopt, is_installed
from ...operations.reconcile import Request, reconcile
from ...operations.report import package_diff
from ...resources.images.observe import installed_images
from ...resources.vms.observe import read_flake
from ..host import each, places, require_root
from ..output import say
from ..source import VARIABLE, Source, SourceError, read
from .results import show, tell

Raw = Mapping[str, object]


def create(asked: Namespace) -> int:
    """``microvm create``."""
    require_root(asked)
    where = places(asked)
    if is_installed(asked.name, where):
        raise HostError(f"{asked.name} is already installed; see: microvm update --help")
    if asked.file is not None:
        source = read(asked.file)
        request = _request(asked, source, _chosen(source, [asked.name], asked.file), "present")
        return tell(reconcile(request), asked.check, asked.diff)
    _adopt(asked.name, asked.flake, asked, where)
    if not asked.check:
        say(f"{asked.name}: start it with: microvm start {asked.name}")
    return 0


def _adopt(name: str, flake: Optional[str], asked: Namespace, where: Places) -> None:
    """Install an external package, or with ``--check`` only show what that would mean."""
    plan = adopt(name, _package(name, flake, asked), where, flake, asked.check)
    show(plan, "installed", asked.check, package_diff(plan, where) if asked.diff else None)


def _package(name: str, flake: Optional[str], asked: Namespace) -> str:
    if flake is None:
        return str(asked.package)
    return nix.build_unrooted(flake, name) if asked.check else nix.build(flake, name, os.path.join(GARBAGE_ROOTS, name))


def update(asked: Namespace) -> int:
    """``microvm update``."""
    require_root(asked)
    where = places(asked)
    if asked.file is not None:
        source = read(asked.file)
        chosen = _chosen(source, asked.names, asked.file)
        # Who asks for a restart now need not wait for a window.
        wanted = {"state": "started", "restart_policy": "if_changed"} if asked.restart else {"state": "present"}
        chosen = [{**declaration, **wanted} for declaration in chosen]
        return tell(reconcile(_request(asked, source, chosen, "present")), asked.check, asked.diff)
    if asked.package is not None and len(asked.names) > 1:
        raise HostError("a package belongs to one MicroVM; update one MicroVM at a time")
    return each(asked.names, lambda name: _update(name, asked, where))


def _update(name: str, asked: Namespace, where: Places) -> None:
    lifecycle.require(name, where)
    flake = asked.flake or (None if asked.package else read_flake(name, where))
    if flake is None and asked.package is None:
        raise HostError(
            "it was not built from a flake; pass its declaration by --file or its package by --package, or run the "
            "playbook that declares it"
        )
    _adopt(name, flake, asked, where)
    running = lifecycle.is_running(name)
    if asked.check or (running and lifecycle.is_current(name, where)):
        return
    if asked.restart:
        lifecycle.restart(name, where)
        say(f"{name}: is up")
    elif running:
        say(f"{name}: a restart is pending: microvm restart {name}")


def apply(asked: Namespace) -> int:
    """``microvm apply``."""
    if not asked.check:
        require_root(asked)
    source = read(asked.file)
    chosen = _chosen(source, asked.names, asked.file) if asked.names else _all(source, asked.file)
    outcome = reconcile(_request(asked, source, chosen, "started"))
    status = tell(outcome, asked.check, asked.diff)
    if outcome["undeclared"] and not asked.names:
        say(f"installed on the host but not declared in {asked.file}: {', '.join(outcome['undeclared'])}")
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


def _request(asked: Namespace, source: Source, vms: Sequence[Raw], state: str) -> Request:
    return Request(
        vms=vms,
        images=installed_images(source.images, ImageStore()),
        state=state,
        state_dir=places(asked).state_directory,
        parallel=getattr(asked, "parallel", 1),
        check_mode=getattr(asked, "check", False),
        path=VARIABLE,
    )
