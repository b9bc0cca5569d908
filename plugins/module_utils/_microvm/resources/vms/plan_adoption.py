# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan that a MicroVM runs an external package: one that Nix built, that `microvm render` wrote, or that was made by
hand. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterator, Optional, Tuple

from ...host.commands import HostError
from ...host.records import Record, UpdateSource
from ...runner.package import Package
from ..steps import Step
from . import settings
from .actions import (
    Action,
    Plan,
    closure_steps,
    host_key_steps,
    keep_steps,
    link_steps,
    ordered,
    unit_steps,
    unused_closures,
    unused_packages,
)
from .state import Installed, Observed


@dataclass(frozen=True)
class External:
    """An external package, and the MicroVM that is to run it."""

    name: str
    installed: Installed
    """The package by its name in our store, or by the path of one that stays where it is."""
    content: Optional[Package] = None
    """The files that are copied into our store."""
    flake: str = ""
    """The flake that it was built from; empty for any other origin."""
    attribute: Optional[str] = None
    """The attribute of that flake, where it is not the one that microvm.nix has for the MicroVM."""

    @property
    def package(self) -> str:
        """Name or path of the package."""
        return self.installed.package


def plan_adoption(observed: Observed, external: External, keep_generations: int) -> Plan:
    """Plan that ``current`` leads to the package; it is not started. Raises HostError for what cannot be."""
    _refuse(observed, external)
    record, used = _record(observed, external, keep_generations)
    drop_ins = settings.drop_ins(
        external.installed.drop_ins, record.unit_settings, record.dependencies, external.installed.needs
    )
    steps = [
        *_provide(observed, external, record),
        *keep_steps(observed, used),
        *link_steps(observed, external.package),
        *unit_steps(observed, drop_ins),
        *unused_packages(observed, used),
        *unused_closures(observed, external.package, external.installed.store_paths, used),
    ]
    return Plan(
        name=observed.name,
        steps=ordered(steps),
        package=external.package,
        previous=observed.current,
        restart_pending=observed.unit.running and observed.waits_with(external.package),
        record=record,
        drop_ins=drop_ins,
        content=external.content,
        account=external.installed.account,
    )


def _refuse(observed: Observed, external: External) -> None:
    place, record, account = f"{observed.state_directory}/{observed.name}", observed.record, external.installed.account
    if external.installed.problem:
        raise HostError(external.installed.problem)
    if observed.foreign is not None:
        raise HostError(
            f"{place} was not installed by this collection (current -> {observed.foreign}); choose another name"
        )
    if record is not None and record.state_directory != observed.state_directory:
        directory = record.state_directory
        raise HostError(
            f"{observed.name} is installed in {directory}; pass --state-dir {directory}, or remove it there first"
        )
    if record is not None and record.is_bad(external.package) and observed.current != external.package:
        generation = record.generation(external.package)
        raise HostError(
            f"{observed.name}: this package is marked bad; to install it anyway, mark it good first: "
            f"microvm generations {observed.name} --good {generation.number if generation else ''}"
        )
    if observed.exists and observed.group != account.group:
        raise HostError(
            f"{place} belongs to the group {observed.group}, but the package runs as {account.user}; remove the "
            "MicroVM first, or use a package with the same isolation"
        )


def _provide(observed: Observed, external: External, record: Record) -> Iterator[Step[Action]]:
    if record != observed.record:
        yield Step(Action.RECORD, observed.name)
    if not observed.has_account:
        yield Step(Action.CREATE_ACCOUNT, external.installed.account.user)
    is_whole = external.package in observed.packages and external.package not in observed.damaged_packages
    if external.content is not None and not is_whole:
        yield Step(Action.INSTALL_PACKAGE, external.package)
    yield from host_key_steps(observed, external.installed.gives_host_key)
    yield from closure_steps(observed, external.installed.store_paths)
    if not observed.exists:
        yield Step(Action.CREATE_STATE, observed.name)
    # Before the links: who sees these knows where the package is from.
    if external.flake and external.flake != observed.flake:
        yield Step(Action.RECORD_FLAKE, external.flake)
    elif observed.flake and not external.flake:
        yield Step(Action.FORGET_FLAKE, observed.name)


def _updates(recorded: Optional[UpdateSource], external: External) -> Optional[UpdateSource]:
    """Return what later updates build. Arguments are declared, whatever flake was passed."""
    if recorded is None and external.attribute is None:
        return None
    updates = replace(recorded or UpdateSource(""), flake=external.flake)
    return replace(updates, attribute=external.attribute) if external.flake else updates


def _record(observed: Observed, external: External, keep_generations: int) -> Tuple[Record, Tuple[str, ...]]:
    """Return the record as it will be, and the packages that stay."""
    record = observed.record or Record(observed.name, observed.state_directory)
    # An account that was there before is somebody else's to remove.
    record = replace(record, user=record.user if observed.has_account else external.installed.account.user)
    record = replace(record, updates=_updates(record.updates, external))
    if observed.current != external.package or record.generation(external.package) is None:
        record = replace(record.with_generation(external.package, external=True), switched=observed.switched)
    used = (external.package, observed.current, observed.booted, observed.old)
    remaining = record.kept(keep_generations, [package for package in used if package])
    return record.only(remaining), tuple(remaining)
