# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out what puts a MicroVM on a host, and what takes it away: directories, links, settings, volumes."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import Tuple

from ...declaration.accounts import SHARED, Account
from ...declaration.identity import account_name
from ...declaration.names import ARCHIVE_DIRECTORY, OWN_ENTRIES
from ...host import files
from ...host.accounts import numbers
from ...host.commands import HostError
from ...host.places import Places
from .handlers_job import Job

STATE_DIRECTORY_MODES = {True: 0o1770, False: 0o1775}
"""Modes by whether the account is the MicroVM's own. The hypervisor, by its group, may make files but not replace the
links, which are root's, by the sticky bit."""

DIRECTORY_MODE = 0o755


def link(job: Job, entry: str, package: str) -> None:
    """Let a link of the state directory lead to a package."""
    files.replace_link(job.places.state(job.name, entry), job.places.store.path(package))


def write_settings(path: str, content: str) -> None:
    """Write a file, in a directory that need not be there yet."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.replace_file(path, content.encode())


def write_unit_settings(job: Job, unit: str) -> None:
    """Write the drop-in of one of the units. systemd has to read it later."""
    template = _template(unit, job.name)
    write_settings(job.places.drop_in(template, job.name), job.plan.drop_ins[template])


def remove_unit_settings(job: Job, unit: str) -> None:
    """Remove the drop-in of one of the units; those of operators stay. systemd has to read that later."""
    drop_in = job.places.drop_in(_template(unit, job.name), job.name)
    # A killed run may have left the half-made file too.
    for file in (files.aside_of(drop_in), drop_in):
        files.remove(file)
    files.remove_if_empty(os.path.dirname(drop_in))


def _template(unit: str, name: str) -> str:
    return unit.replace(f"@{name}", "@")


def create_state(job: Job, name: str) -> None:
    """Make the state directory. Raises KeyError for an account that there is not."""
    account = job.plan.account
    create_directory(job.places.state(name), (0, numbers(account)[1]), STATE_DIRECTORY_MODES[account.is_own])


def create_external_directory(job: Job, path: str) -> None:
    """Make a directory outside of the state directory, for the MicroVM's user."""
    create_directory(path, numbers(job.plan.account), DIRECTORY_MODE)


def create_directory(path: str, owner: Tuple[int, int], mode: int) -> None:
    """Make a directory with its owner and mode at once; one that is there stays.

    A directory that is there counts as right, also where another MicroVM of the run has just made it. Nobody can put a
    link in its place meanwhile.
    """
    if os.path.isdir(path):
        return
    aside = files.aside_of(path)
    if os.path.isdir(aside):
        # A killed run leaves an empty directory; anything else was made by others and is kept.
        os.rmdir(aside)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mkdir(aside, 0o700)
    directory = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(directory, *owner)
        os.fchmod(directory, mode)
    finally:
        os.close(directory)
    os.rename(aside, path)
    files.sync_directory(os.path.dirname(path))


def own_state(job: Job, _user: str) -> None:
    """Give the state directory to another account.

    Its entries first: whoever finds the directory with the right group takes all in it for right. In a directory with
    the sticky bit, the new user could not even remove what the one before has left. Nobody runs meanwhile.
    """
    path, account = job.places.state(job.name), job.plan.account
    former = {user.user for user in (SHARED, Account(account_name(job.name), ""))}
    volumes = [os.path.join(path, image) for image in job.plan.volumes]
    for entry in [*(entry.path for entry in os.scandir(path) if _is_left(entry)), *volumes]:
        if os.path.isfile(entry) and not os.path.islink(entry) and files.owner(entry) not in former:
            # Somebody gave it another owner, by whom the MicroVM can use it.
            continue
        if os.path.lexists(entry) and not os.path.islink(entry):
            os.chown(entry, *numbers(account), follow_symlinks=False)
    os.chmod(path, STATE_DIRECTORY_MODES[account.is_own])
    shutil.chown(path, "root", account.group)


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is what a hypervisor leaves."""
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode) or entry.name in OWN_ENTRIES


def remove_empty_directory(job: Job, directory: str) -> None:
    """Remove a directory that was made for the MicroVM; what somebody has put there stays, and what another one has."""
    records = job.places.records
    records_of_others = (records.read(other) for other in records.names() if other != job.name)
    if any(record is not None and directory in record.directories for record in records_of_others):
        return
    files.remove_if_empty(directory)


def delete_volume(job: Job, volume: str) -> None:
    """Delete an image. Raises HostError for one that is no file of its own."""
    os.unlink(_image(job.name, volume, job.places))


def archive_volume(job: Job, volume: str) -> None:
    """Move an image, root's from now on, to where no earlier one is."""
    image = _image(job.name, volume, job.places)
    directory = os.path.join(ARCHIVE_DIRECTORY, job.name)
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
        _move_to_another_file_system(image, target)
    os.chown(target, 0, 0, follow_symlinks=False)
    files.sync_directory(directory)


def _image(name: str, volume: str, places: Places) -> str:
    """Return the path of a volume that may be moved or deleted. Raises HostError.

    Its user could have put a link in its place, to another's file: it no longer runs, so what is seen now stays so.
    """
    path = places.state(name, volume)
    inside, directory = os.path.realpath(places.state(name)), os.path.realpath(os.path.dirname(path))
    is_inside = os.path.isabs(volume) or os.path.commonpath([inside, directory]) == inside
    if not is_inside or not stat.S_ISREG(os.lstat(path).st_mode):
        raise HostError(f"{path} is not a regular file of this MicroVM and was left in place; remove it manually")
    return path


def _numbered(directory: str, image: str, number: int) -> str:
    return os.path.join(directory, f"{os.path.basename(image)}.{number}")


def _move_to_another_file_system(image: str, target: str) -> None:
    """Copy an image as a whole before the old one goes."""
    aside = files.aside_of(target)
    shutil.copyfile(image, aside)
    with open(aside, "rb+") as file:
        os.fsync(file.fileno())
    os.rename(aside, target)
    os.unlink(image)
