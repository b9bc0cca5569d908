# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out the steps of a move on one host."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

from ...declaration.names import BOOTED_LINK, unit_names
from ...host import files, guest_keys, holds, known_hosts, safe_paths, state_directories, systemd
from ...host.accounts import numbers
from ...host.commands import HostError
from ...host.places import Places
from ..executor import GroupHandler, Handler, Handlers
from ..steps import Step
from .observe import incoming_directory, incoming_key_file
from .plan import Action, Plan

_DIRECTORY_MODE = 0o700


@dataclass
class MoveJob:
    """A plan to carry out."""

    plan: Plan
    places: Places

    @property
    def name(self) -> str:
        """Name of the MicroVM."""
        return self.plan.name

    @property
    def steps(self) -> Sequence[Step[Action]]:
        """Steps of the plan."""
        return self.plan.steps


Pairs = Sequence[Tuple[MoveJob, str]]


def _stop(job: MoveJob, _unit: str) -> None:
    systemd.stop(unit_names(job.name))
    files.remove(job.places.state(job.name, BOOTED_LINK))


def _take_volume(job: MoveJob, image: str) -> None:
    """Move an image from the working directory to where volumes arrive, so that the next copy begins with it."""
    with safe_paths.opened_parent(job.places.real_work(job.name, image)) as (source, name):
        if not stat.S_ISREG(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
            raise HostError(f"{image} is not a regular file")
        path = os.path.join(incoming_directory(job.places, job.name), image)
        with safe_paths.opened_parent(path, _DIRECTORY_MODE, makes=True) as (target, _name):
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            os.chown(name, 0, 0, dir_fd=target, follow_symlinks=False)
            os.fsync(target)


def _put_volume(job: MoveJob, image: str) -> None:
    """Move an image that has arrived to the working directory, for the MicroVM's user."""
    owner = numbers(state_directories.account_of(job.places.state(job.name)))
    directory = os.path.dirname(image)
    while directory:
        _make_directory(job.places.real_work(job.name, directory), owner)
        directory = os.path.dirname(directory)
    with safe_paths.opened_parent(os.path.join(incoming_directory(job.places, job.name), image)) as (source, name):
        os.chown(name, *owner, dir_fd=source, follow_symlinks=False)
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=source), "rb") as file:
            os.fsync(file.fileno())
        with safe_paths.opened_parent(job.places.real_work(job.name, image)) as (target, _name):
            if _is_in(target, name):
                raise HostError(f"{job.places.real_work(job.name, image)} is there already; move it elsewhere")
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            os.fsync(target)


def _is_in(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _make_directory(path: str, owner: Tuple[int, int]) -> None:
    with safe_paths.opened_parent(os.path.join(path, "image"), _DIRECTORY_MODE, makes=True) as (directory, _image):
        os.fchown(directory, *owner)


_SINGLE: Dict[Action, Handler[MoveJob]] = {
    Action.HOLD: lambda job, name: holds.write_hold(name, job.plan.hold),
    Action.STOP: _stop,
    Action.CREATE_INCOMING: lambda job, name: os.mkdir(incoming_directory(job.places, name), _DIRECTORY_MODE),
    Action.TAKE_VOLUME: _take_volume,
    Action.PUT_HOST_KEY: lambda _job, name: guest_keys.receive_key(name, incoming_key_file(name)),
    Action.RECORD_HOST_KEY: lambda job, key: known_hosts.record(job.name, key),
    Action.PUT_VOLUME: _put_volume,
    Action.REMOVE_INCOMING: lambda job, name: files.remove(incoming_directory(job.places, name)),
    Action.ACCEPT: lambda _job, name: holds.to_receipt(name),
    Action.RELEASE: lambda _job, name: holds.to_receipt(name),
    Action.START: lambda _job, unit: systemd.start(unit),
    Action.FORGET_HOLD: lambda _job, name: holds.remove_hold(name),
    Action.FORGET_RECEIPT: lambda _job, name: holds.remove_receipt(name),
}

_TOGETHER: Dict[Action, GroupHandler[MoveJob]] = {
    Action.DISABLE: lambda pairs: systemd.enable([unit for _job, unit in pairs], False),
    Action.ENABLE: lambda pairs: systemd.enable([unit for _job, unit in pairs], True),
    Action.READ_UNITS: lambda _pairs: systemd.daemon_reload(),
}

HANDLERS: Handlers[MoveJob, Action] = Handlers(Action, _SINGLE, _TOGETHER)
