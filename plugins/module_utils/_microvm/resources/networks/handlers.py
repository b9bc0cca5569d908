# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out the steps of networks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Tuple

from ...declaration.names import CONFIGURATION_DIRECTORY
from ...host import files, systemd
from ...host.bus import ask
from ...host.commands import run
from ..executor import Handler, Handlers
from ..steps import Step
from .observe import MARK
from .plan import Action, Plan


@dataclass(frozen=True)
class NetworksJob:
    """The plan of a host's networks, for the executor."""

    plan: Plan
    name: str = "networks"

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """Steps of the plan."""
        return self.plan.steps


def _write(job: NetworksJob, path: str) -> None:
    _mark()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.replace_file(path, job.plan.files[path].encode())


def _remove(_job: NetworksJob, path: str) -> None:
    _mark()
    files.remove(path)
    if os.path.dirname(path) == CONFIGURATION_DIRECTORY:
        files.remove_if_empty(CONFIGURATION_DIRECTORY)


def _mark() -> None:
    """Let the next run know, should this one be killed, that not everything that is written has been read."""
    _touch(MARK)


def _touch(path: str) -> None:
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.replace_file(path, b"")


def _command(*words: str) -> Handler[NetworksJob]:
    """Return the handler that runs a command to which the target is added."""
    return lambda _job, target: run([*words, target])


def _systemctl(*words: str) -> Handler[NetworksJob]:
    """Return the handler that runs `systemctl` with the target added; all of these calls may be repeated."""
    return lambda _job, target: ask(["systemctl", *words, target])


HANDLERS: Handlers[NetworksJob, Action] = Handlers(
    Action,
    {
        Action.UNLOAD_RULES: _systemctl("disable", "--now", "--quiet"),
        Action.DELETE_BRIDGE: _command("ip", "link", "delete", "dev"),
        Action.WRITE: _write,
        Action.REMOVE: _remove,
        Action.RELOAD_SYSTEMD: lambda _job, _target: systemd.daemon_reload(),
        # Without what its [Install] section also enables: on a host that had its network from elsewhere,
        # systemd-networkd-wait-online would hold up every start.
        Action.ENABLE: _systemctl("add-wants", "--quiet", "multi-user.target"),
        Action.START_NETWORKD: lambda _job, target: systemd.start(target),
        Action.RELOAD_NETWORKD: lambda _job, _target: run(["networkctl", "reload"]),
        Action.RECONFIGURE: _command("networkctl", "reconfigure"),
        Action.FORWARD: _command("sysctl", "--quiet", "-p"),
        Action.RECORD_FORWARDING: lambda _job, path: _touch(path),
        Action.STOP_FORWARDING: lambda _job, parameter: run(["sysctl", "--quiet", f"{parameter}=0"]),
        Action.FORGET_FORWARDING: lambda _job, path: files.remove(path),
        Action.LOAD_RULES: _systemctl("reload-or-restart"),
    },
)
