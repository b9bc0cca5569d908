# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out the steps of a host's setup."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from typing import List, Tuple

from ...declaration import names
from ...declaration.accounts import ROOT, SHARED, User
from ...declaration.huge_pages import page_size
from ...host import access, accounts, files, state_directories, systemd
from ...host.commands import HostError, run
from ...schema.quoting import plain, section, setting
from ..executor import Handlers
from ..steps import Step
from .files import KernelModule
from .nix_settings import USERS_GROUP
from .plan import Action, Plan
from .state import Directory


@dataclass(frozen=True)
class HostJob:
    """The plan of a host's setup, for the executor."""

    plan: Plan
    root: str = ""
    """Directory in which the host's files lie, instead of ``/``."""
    name: str = "host"
    unloaded: List[str] = field(default_factory=list)
    """Features that the host has not, since a kernel module could not be loaded or memory could not be set aside."""
    without_effect: List[Step[Action]] = field(default_factory=list)
    """Steps after which everything is as it was before."""

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """Steps of the plan."""
        return self.plan.steps


def _user(job: HostJob) -> User:
    if job.plan.wanted.user is None:
        raise LookupError("the plan wants no user")
    return job.plan.wanted.user


def _make_directory(job: HostJob, path: str) -> None:
    directory = _directory(job, path)
    os.makedirs(job.root + path, exist_ok=True)
    if directory.owner is not None:
        _change_directory(job, path)


def _change_directory(job: HostJob, path: str) -> None:
    directory = _directory(job, path)
    files.change_owner(job.root + path, directory.owner or ROOT)
    os.chmod(job.root + path, directory.mode)


def _directory(job: HostJob, path: str) -> Directory:
    return next(directory for directory in job.plan.wanted.directories if directory.path == path)


def _create_key(job: HostJob, path: str) -> None:
    """Create the key under another name; the private one, by which it is recognised, gets its own name last."""
    key, partial = job.root + path, f"{job.root}{path}{names.PARTIAL_SUFFIX}"
    for leftover in (partial, f"{partial}.pub"):
        files.remove(leftover)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"microvm.fleet@{platform.node()}", "-f", partial])
    os.replace(f"{partial}.pub", f"{key}.pub")
    os.replace(partial, key)


def _restrict_package(job: HostJob, package: str) -> None:
    access.restrict_package(access.places_below(job.plan.wanted.state_directory, job.root), package)


def _restrict_settings(job: HostJob, name: str) -> None:
    access.restrict_settings(access.places_below(job.plan.wanted.state_directory, job.root), name, job.root)


def _write(job: HostJob, path: str) -> None:
    file = job.plan.wanted.files[path]
    os.makedirs(os.path.dirname(job.root + path), exist_ok=True)
    files.replace_file(job.root + path, file.content.encode(), file.mode, owner=ROOT)


def _remove(job: HostJob, path: str) -> None:
    files.remove(job.root + path)


def _remove_directory(job: HostJob, path: str) -> None:
    os.rmdir(job.root + path)


def _migrate_state(job: HostJob, name: str) -> None:
    path = os.path.join(job.root + job.plan.wanted.state_directory, name)
    if os.path.lexists(path) and state_directories.account_of(path) == SHARED:
        # Until the host's next boot: a stop sees the processes of a MicroVM that runs only if it has their group.
        drop_in = f"{job.root}/run/systemd/system/{names.unit_name(name)}.d/10-microvm-fleet-group.conf"
        os.makedirs(os.path.dirname(drop_in), exist_ok=True)
        groups = (("Group", names.KVM_GROUP), ("SupplementaryGroups", names.GROUP))
        content = section("Service", [setting(key, plain(group)) for key, group in groups])
        files.replace_file(drop_in, content.encode(), owner=ROOT)
    state_directories.migrate(path)


def _load_module(job: HostJob, name: str) -> None:
    """Load a module. What hosts forbid in ways that nobody can see before is only reported."""
    try:
        run(["modprobe", name])
    except HostError as error:
        job.unloaded.append(
            f"kernel module {name} could not be loaded; {_module(job, name).purpose} will not work: {error}"
        )


def _module(job: HostJob, name: str) -> KernelModule:
    return next(module for module in job.plan.wanted.modules if module.name == name)


def _reserve_huge_pages(job: HostJob, path: str) -> None:
    """Set pages aside. Memory that is in use, or fragmented, is only reported: the host's next start may do better."""
    count, before = job.plan.wanted.huge_pages[path], _number(job, path)
    _write_number(job, path, count)
    number = _number(job, path)
    if number == before:
        job.without_effect.append(Step(Action.RESERVE_HUGE_PAGES, path))
    if number < count:
        job.unloaded.append(
            f"only {number} of {count} huge pages of {page_size(path)} KiB could be set aside, since the host's memory "
            "is in use or fragmented; restart the host, or have its kernel do it (hugepagesz= and hugepages= on its "
            "command line)"
        )


def _number(job: HostJob, path: str) -> int:
    return int(files.read_text(job.root + path) or "0")


def _write_number(job: HostJob, path: str, number: int) -> None:
    with open(job.root + path, "w", encoding="ascii") as file:
        file.write(f"{number}\n")


HANDLERS: Handlers[HostJob, Action] = Handlers(
    Action,
    {
        Action.DISABLE: lambda _job, target: systemd.enable([target], False),
        Action.STOP: lambda _job, target: systemd.stop([target]),
        Action.SWITCH_KSM_OFF: lambda job, target: _write_number(job, target, 2),
        Action.RELEASE_HUGE_PAGES: lambda job, target: _write_number(
            job, target, job.plan.former_huge_pages.get(target, 0)
        ),
        Action.CREATE_GROUP: lambda _job, target: accounts.create_group(target),
        Action.CREATE_USER: lambda job, target: accounts.create_user(target, _user(job)),
        Action.CHANGE_USER: lambda job, target: accounts.change_user(target, _user(job)),
        Action.CREATE_DIRECTORY: _make_directory,
        Action.CHANGE_DIRECTORY: _change_directory,
        Action.JOIN_NIX_USERS: lambda _job, target: accounts.join_group(target, USERS_GROUP),
        Action.CREATE_KEY: _create_key,
        Action.RESTRICT_PACKAGE: _restrict_package,
        Action.RESTRICT_SETTINGS: _restrict_settings,
        Action.WRITE: _write,
        Action.MIGRATE_STATE: _migrate_state,
        Action.REMOVE: _remove,
        Action.REMOVE_DIRECTORY: _remove_directory,
        Action.ENABLE: lambda _job, target: systemd.enable([target], True),
        Action.RELOAD_SYSTEMD: lambda _job, _target: systemd.daemon_reload(),
        Action.FORGET_FAILURES: lambda _job, target: systemd.forget_failures(target),
        Action.REMOVE_OBSOLETE: _remove,
        Action.LOAD_MODULE: _load_module,
        Action.SWITCH_KSM_ON: lambda job, target: _write_number(job, target, 1),
        Action.RESERVE_HUGE_PAGES: _reserve_huge_pages,
        Action.START: lambda _job, target: systemd.start(target),
        Action.RESTART: lambda _job, target: systemd.restart(target),
        Action.REMOVE_NIX_SETTINGS: _remove,
        Action.REMOVE_USER: lambda _job, target: accounts.remove_user(target),
    },
)
