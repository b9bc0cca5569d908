# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out a rename: what a MicroVM has under its former name gets the new one."""

from __future__ import annotations

import os

from ...declaration.identity import account_name
from ...declaration.names import ARCHIVE_DIRECTORY
from ...host import accounts, files, guest_keys, known_hosts
from .handlers_files import unused_path
from .handlers_job import Job


def rename_account(job: Job, former: str) -> None:
    """Rename the MicroVM's own user and group, which keep their numbers, and therefore all that is theirs."""
    accounts.rename_user(account_name(former), account_name(job.name), job.places.state(job.name))


def rename_state(job: Job, former: str) -> None:
    """Rename the state directory."""
    os.rename(job.places.state(former), job.places.state(job.name))
    files.sync_directory(job.places.state_directory)


def rename_archive(job: Job, former: str) -> None:
    """Rename the archive. Where there is one of the new name, the images are moved there one by one."""
    source, target = (os.path.join(ARCHIVE_DIRECTORY, name) for name in (former, job.name))
    if not os.path.lexists(target):
        os.rename(source, target)
    else:
        for entry in sorted(os.listdir(source)):
            os.rename(os.path.join(source, entry), unused_path(target, entry.rpartition(".")[0] or entry))
        files.sync_directory(target)
        os.rmdir(source)
    files.sync_directory(ARCHIVE_DIRECTORY)


def rename_host_key(job: Job, former: str) -> None:
    """Let the guest keep its SSH host key, and ``microvm ssh`` know it under its new name."""
    guest_keys.rename_made_key(former, job.name)
    known_hosts.rename_key(former, job.name)
