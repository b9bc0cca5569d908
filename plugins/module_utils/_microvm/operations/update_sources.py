# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What updates on the host build: the flake that its file names, as the last declaration says."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from ..declaration.names import FLAKE_FILE, runner_attribute
from ..declaration.vms.source_options import flake_attribute, flake_reference
from ..host.commands import HostError
from ..host.places import Places
from ..host.records import UpdateSource
from ..resources.vms.observe import ignored_flake, read_flake


def update_source(
    name: str, places: Places, flake: Optional[str] = None, attribute: Optional[str] = None
) -> Optional[UpdateSource]:
    """Return what an update of a MicroVM builds: ``attribute`` of ``flake``, or else the recorded ones.

    ``None`` without any flake. Raises HostError for a reference that no declaration may have, since processes show the
    arguments of Nix, and where the recorded flake is not the one that attribute and arguments were recorded with.
    """
    record = places.records.read(name)
    updates = record.updates if record is not None else None
    if attribute is not None:
        problem = flake_attribute(attribute)
        if problem is not None:
            raise HostError(f"--attribute: {problem}")
        usual = attribute == runner_attribute(name)
        source = update_source(name, places, flake)
        return None if source is None else replace(source, attribute=None if usual else attribute)
    if flake is not None:
        problem = flake_reference(flake)
        if problem is not None:
            raise HostError(f"--flake: {problem}")
        return replace(updates or UpdateSource(""), flake=flake)
    recorded = read_flake(name, places)
    if recorded is None:
        return None
    problem = flake_reference(recorded)
    if problem is None and updates is not None and updates.flake != recorded:
        problem = (
            "is not the one that the last run has recorded its attribute and its arguments of Nix with: a run was "
            "interrupted, or somebody has changed the file; run the playbook that declares the MicroVM"
        )
    if problem is not None:
        path = places.state(name, FLAKE_FILE)
        raise HostError(f"the flake in {path} {problem}. Or pass a flake: microvm update {name} --flake FLAKE")
    return updates or UpdateSource(recorded)


def without_flake(name: str, places: Places) -> str:
    """Return why there is no flake that an update of a MicroVM builds."""
    path, reason = places.state(name, FLAKE_FILE), ignored_flake(name, places)
    return f"no flake is recorded in {path}" if reason is None else f"{path} {reason}, so it is ignored"
