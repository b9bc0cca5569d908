# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that take something off the host, after everything runs, or has stopped, as it shall."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import Callable, Dict

from ...declaration.names import ARCHIVE_DIRECTORY
from ...host import accounts, files
from ...host.commands import HostError
from .install import remove_drop_in
from .plan import Action, Plan
from .state import Places


def clear(plan: Plan, places: Places) -> None:
    """Carry out the steps of a plan that come last."""
    work: Dict[Action, Callable[[str], None]] = {
        Action.REMOVE_DROP_IN: lambda unit: remove_drop_in(unit, plan.name, places),
        Action.ARCHIVE_VOLUME: lambda volume: _archive(_image(plan.name, volume, places), plan.name),
        Action.DELETE_VOLUME: lambda volume: os.unlink(_image(plan.name, volume, places)),
        Action.REMOVE_ENTRY: lambda entry: files.remove(places.state(entry)),
        Action.REMOVE_STATE: lambda name: os.rmdir(places.state(name)),
        Action.REMOVE_DIRECTORY: lambda path: _remove_empty(path, plan.name, places),
        Action.REMOVE_ENVIRONMENT: lambda name: files.remove(places.environment(name)),
        Action.REMOVE_PACKAGE: places.store.remove,
        Action.REMOVE_ACCOUNT: accounts.remove,
        Action.KEEP_RECORD: lambda _name: places.records.write(plan.record) if plan.record else None,
        Action.FORGET: places.records.remove,
    }
    for step in plan.steps:
        # The drop-ins of a MicroVM that stays have gone before systemd was told.
        if step.action in work and not (step.action is Action.REMOVE_DROP_IN and plan.package):
            work[step.action](step.target)


def _image(name: str, volume: str, places: Places) -> str:
    """Path of a volume that may be moved or deleted. Its user could have put a link in its place, to another's file: it
    no longer runs, so what is seen now stays so. Raises HostError."""
    path = places.state(name, volume)
    inside, directory = os.path.realpath(places.state(name)), os.path.realpath(os.path.dirname(path))
    is_inside = os.path.isabs(volume) or os.path.commonpath([inside, directory]) == inside
    if not is_inside or not stat.S_ISREG(os.lstat(path).st_mode):
        raise HostError(f"{path} is no file of its own (a link?), so it is left as it is; remove it by hand")
    return path


def _remove_empty(directory: str, name: str, places: Places) -> None:
    """One that was made for the MicroVM; what somebody has put there stays, and what another one has too."""
    others = (places.records.read(other) for other in places.records.names() if other != name)
    if any(record is not None and directory in record.directories for record in others):
        return
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
    os.chown(target, 0, 0, follow_symlinks=False)
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
