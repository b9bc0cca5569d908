# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that take something off the host, after everything runs, or has stopped, as it shall."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Callable, Dict

from ..declaration.names import ARCHIVE_DIRECTORY
from ..host import accounts, files
from .plan import Action, Plan
from .state import Places


def clear(plan: Plan, places: Places) -> None:
    """Carry out the steps of a plan that come last."""
    work: Dict[Action, Callable[[str], None]] = {
        Action.ARCHIVE_VOLUME: lambda volume: _archive(places.state(plan.name, volume), plan.name),
        Action.DELETE_VOLUME: lambda volume: files.remove(places.state(plan.name, volume)),
        Action.REMOVE_ENTRY: lambda entry: files.remove(places.state(entry)),
        Action.REMOVE_STATE: lambda name: os.rmdir(places.state(name)),
        Action.REMOVE_DIRECTORY: _remove_empty,
        Action.REMOVE_ENVIRONMENT: lambda name: files.remove(places.environment(name)),
        Action.REMOVE_PACKAGE: places.store.remove,
        Action.REMOVE_ACCOUNT: accounts.remove,
        Action.FORGET: places.records.remove,
    }
    for step in plan.steps:
        if step.action in work:
            work[step.action](step.target)


def _remove_empty(directory: str) -> None:
    """One that was made for the MicroVM; what somebody has put there stays."""
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.EBUSY):
            raise


def _archive(image: str, name: str) -> None:
    """Move an image, root's from now on, to where no earlier one is."""
    directory = os.path.join(ARCHIVE_DIRECTORY, name)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    number = 1
    while os.path.lexists(_numbered(directory, image, number)):
        number += 1
    target = _numbered(directory, image, number)
    try:
        os.rename(image, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(image, target)
    os.chown(target, 0, 0)
    files.sync_directory(directory)


def _numbered(directory: str, image: str, number: int) -> str:
    return os.path.join(directory, f"{os.path.basename(image)}.{number}")


def _copy(image: str, target: str) -> None:
    """To another file system: the image is there as a whole before the old one goes."""
    aside = f"{target}.partial"
    shutil.copyfile(image, aside)
    with open(aside, "rb+") as file:
        os.fsync(file.fileno())
    os.rename(aside, target)
    os.unlink(image)
