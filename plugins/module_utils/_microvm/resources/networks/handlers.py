# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out the steps of networks."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Tuple

from ...declaration.names import CONFIGURATION_DIRECTORY, TAP_RULES_DIRECTORY
from ...host import files, systemd
from ...host.bus import ask
from ...host.commands import HostError, run
from ..executor import Handler, Handlers
from ..steps import Step
from .configuration import FORWARDING_RECORDS, parsed_settings
from .observe import MARK
from .plan import Action, Plan
from .rules import unbound_tap

WAIT_SECONDS = 30
_PARAMETERS = "/proc/sys"


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


def _load_rules(_job: NetworksJob, unit: str) -> None:
    os.makedirs(TAP_RULES_DIRECTORY, exist_ok=True)
    ask(["systemctl", "reload-or-restart", unit])


def _unload_rules(_job: NetworksJob, unit: str) -> None:
    ask(["systemctl", "disable", "--now", "--quiet", unit])
    files.remove_if_empty(TAP_RULES_DIRECTORY)


def _admit(_job: NetworksJob, tap: str) -> None:
    path = f"{TAP_RULES_DIRECTORY}/{tap}.nft"
    if not os.path.exists(path):
        os.makedirs(TAP_RULES_DIRECTORY, exist_ok=True)
        files.replace_file(path, unbound_tap(tap).encode())


def _apply_settings(job: NetworksJob, path: str) -> None:
    """Set the parameters of the kernel, those of a new bridge as soon as it is there. Raises HostError."""
    deadline = time.monotonic() + WAIT_SECONDS
    for parameter, value in parsed_settings(job.plan.files[path]).items():
        interfaces = f"{_PARAMETERS}/{parameter.rsplit('/', 2)[0]}"
        while os.path.isdir(interfaces) and not os.path.exists(f"{_PARAMETERS}/{parameter}"):
            if time.monotonic() > deadline:
                raise HostError(
                    f"/proc/sys/{parameter} does not exist after {WAIT_SECONDS} s: is the interface missing?"
                )
            time.sleep(0.1)
        if os.path.isdir(interfaces):
            _set_parameter(parameter, value)


def _set_parameter(parameter: str, value: str) -> None:
    with open(f"{_PARAMETERS}/{parameter}", "w", encoding="ascii") as file:
        file.write(value)


def _stop_forwarding(_job: NetworksJob, parameter: str) -> None:
    """Switch forwarding off, unless the interface is gone."""
    if os.path.exists(f"{_PARAMETERS}/{parameter}"):
        _set_parameter(parameter, "0")


def _forget(_job: NetworksJob, path: str) -> None:
    files.remove(path)
    files.remove_if_empty(FORWARDING_RECORDS)


def _command(*words: str) -> Handler[NetworksJob]:
    """Return the handler that runs a command to which the target is added."""
    return lambda _job, target: run([*words, target])


def _systemctl(*words: str) -> Handler[NetworksJob]:
    """Return the handler that runs `systemctl` with the target added; all of these calls may be repeated."""
    return lambda _job, target: ask(["systemctl", *words, target])


HANDLERS: Handlers[NetworksJob, Action] = Handlers(
    Action,
    {
        Action.UNLOAD_RULES: _unload_rules,
        Action.ADMIT: _admit,
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
        Action.ISOLATE: lambda _job, port: run(["bridge", "link", "set", "dev", port, "isolated", "on"]),
        Action.JOIN: lambda _job, port: run(["bridge", "link", "set", "dev", port, "isolated", "off"]),
        Action.RECORD_FORWARDING: lambda _job, path: _touch(path),
        Action.STOP_FORWARDING: _stop_forwarding,
        Action.FORGET_FORWARDING: _forget,
        Action.APPLY_SETTINGS: _apply_settings,
        Action.LOAD_RULES: _load_rules,
        Action.WATCH: _systemctl("restart"),
    },
)
