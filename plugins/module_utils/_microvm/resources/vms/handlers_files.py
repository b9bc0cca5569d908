# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out what puts a MicroVM on a host, and what takes it away: directories, links, settings, volumes."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from typing import FrozenSet, Iterator, Tuple

from ...declaration.accounts import ROOT, SHARED, Account
from ...declaration.identity import account_name
from ...declaration.modes import SETTINGS_DIRECTORY_MODE, SETTINGS_MODE
from ...declaration.names import ARCHIVE_DIRECTORY, WORK_ENTRIES, instance_of
from ...host import accounts, files, safe_paths, state_directories
from ...host.accounts import group_by_number, group_number, numbers
from ...host.commands import HostError, run
from .handlers_job import Job

DIRECTORY_MODE = 0o755


def link(job: Job, entry: str, package: str) -> None:
    """Let a link of the state directory lead to a package."""
    files.replace_link(job.places.state(job.name, entry), job.places.store.path(package))


def write_settings(path: str, content: str) -> None:
    """Write a file, in a directory that need not be there yet."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.replace_file(path, content.encode())


def write_environment(job: Job, name: str) -> None:
    """Write the settings of the units' scripts, which only the MicroVM's account may read besides root."""
    path = job.places.environment(name)
    os.makedirs(os.path.dirname(path), SETTINGS_DIRECTORY_MODE, exist_ok=True)
    group = group_by_number(group_number(job.plan.account.group))
    files.replace_file(path, job.plan.environment.encode(), SETTINGS_MODE, Account(ROOT.user, group))


def write_boot_directories(job: Job, name: str) -> None:
    """Write what creates directories again when the host starts."""
    write_settings(job.places.boot_directories(name), job.plan.boot_directories)


def write_unit_settings(job: Job, unit: str) -> None:
    """Write the drop-in of one of the units. systemd has to read it later."""
    template = _template(unit)
    write_settings(job.places.drop_in(template, job.name), job.plan.drop_ins[template])


def remove_unit_settings(job: Job, unit: str) -> None:
    """Remove the drop-in of one of the units; those of operators stay. systemd has to read that later."""
    drop_in = job.places.drop_in(_template(unit), instance_of(unit))
    # A killed run may have left the half-made file too.
    for file in (files.aside_of(drop_in), drop_in):
        files.remove(file)
    files.remove_if_empty(os.path.dirname(drop_in))


def _template(unit: str) -> str:
    return unit.replace(f"@{instance_of(unit)}.", "@.")


def create_state(job: Job, name: str) -> None:
    """Create the state directory. Raises KeyError for an account that does not exist."""
    state_directories.create(job.places.state(name), job.plan.account)


def create_external_directory(job: Job, path: str) -> None:
    """Create a directory outside of the state directory, for the MicroVM's user, as a whole or not at all.

    One that is there stays, also where another MicroVM of the run has just created it. Raises HostError for a path
    through a link that others than root could have placed.
    """
    declared = job.plan.source_ownerships.get(path)
    owner = job.plan.account if declared is None else Account(declared.user, declared.group)
    mode = DIRECTORY_MODE if declared is None else int(declared.mode, 8)
    safe_paths.create_directory(path, numbers(owner), mode, DIRECTORY_MODE)


def own_state(job: Job, _user: str) -> None:
    """Give the state directory to another account.

    The entries of the working directory first: whoever finds the state directory with the right group takes all in it
    for right. Nobody runs meanwhile.
    """
    account, former = job.plan.account, _numbers_of_former_users(job.name)
    with safe_paths.opened_directory(job.places.real_work(job.name)) as work:
        for entry in os.scandir(work):
            if _is_left(entry):
                os.chown(entry.name, *numbers(account), dir_fd=work, follow_symlinks=False)
        for volume in job.plan.volumes:
            _own_volume(job, volume, former)
        os.fchown(work, *numbers(account))
    shutil.chown(job.places.state(job.name), "root", account.group)


def _numbers_of_former_users(name: str) -> FrozenSet[int]:
    users = (SHARED.user, account_name(name))
    return frozenset(number for number in map(accounts.number_of_user, users) if number is not None)


def _own_volume(job: Job, volume: str, former: FrozenSet[int]) -> None:
    """Give an image to the job's account, unless somebody gave it another owner, by whom the MicroVM can use it."""
    with safe_paths.opened_parent(job.places.real_work(job.name, volume)) as (directory, name):
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISREG(status.st_mode) and status.st_uid in former:
            os.chown(name, *numbers(job.plan.account), dir_fd=directory, follow_symlinks=False)


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is what a hypervisor leaves."""
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode) or entry.name in WORK_ENTRIES


def remove_empty_directory(job: Job, directory: str) -> None:
    """Remove a directory that was made for the MicroVM; what somebody has put there stays, and what another one has."""
    usable, damaged = job.places.records.read_all()
    records_of_others = (record for name, record in usable.items() if name != job.name)
    # A damaged record may name any directory.
    if damaged.keys() - {job.name} or any(directory in record.directories for record in records_of_others):
        return
    files.remove_if_empty(directory)


def delete_volume(job: Job, volume: str) -> None:
    """Delete an image. Raises HostError for one that is no file of its own."""
    with _opened_image(job, volume) as (directory, name):
        os.unlink(name, dir_fd=directory)


def archive_volume(job: Job, volume: str) -> None:
    """Move an image, root's from now on, to where no earlier one is."""
    archive = os.path.join(ARCHIVE_DIRECTORY, job.name)
    os.makedirs(archive, mode=0o700, exist_ok=True)
    with _opened_image(job, volume) as (directory, name):
        target = unused_path(archive, name)
        try:
            os.rename(name, target, src_dir_fd=directory)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _move_to_another_file_system(directory, name, target)
    os.chown(target, 0, 0, follow_symlinks=False)
    files.sync_directory(archive)


@contextlib.contextmanager
def _opened_image(job: Job, volume: str) -> Iterator[Tuple[int, str]]:
    """Give the opened directory of a volume that may be moved or deleted, and the volume's name in it.

    Raises HostError for what is no regular file: its user could have put a link to another's file in its place.
    """
    path = job.places.real_work(job.name, volume)
    with safe_paths.opened_parent(path) as (directory, name):
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise HostError(f"{path} is not a regular file of this MicroVM and was left in place; remove it manually")
        yield directory, name


def unused_path(archive: str, volume: str) -> str:
    """Return the path of the next image of a volume in an archive."""
    paths = (os.path.join(archive, f"{volume}.{number}") for number in itertools.count(1))
    return next(path for path in paths if not os.path.lexists(path))


def _move_to_another_file_system(directory: int, name: str, target: str) -> None:
    """Copy an image as a whole, with its holes, before the old one goes."""
    aside = files.aside_of(target)
    image = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        run(["cp", "--sparse=always", "--", f"/proc/{os.getpid()}/fd/{image}", aside], timeout=None)
    except HostError:
        files.remove(aside)
        raise
    finally:
        os.close(image)
    with open(aside, "rb+") as copy:
        os.fsync(copy.fileno())
    os.rename(aside, target)
    files.sync_directory(os.path.dirname(target))
    os.unlink(name, dir_fd=directory)
