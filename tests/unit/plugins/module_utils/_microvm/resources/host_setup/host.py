# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host in a directory: real files, and a fake for what only root and systemd do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import ROOT, Account, User
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.host_setup.parse import (
    parse_host_setup,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostSetup
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import accounts, files, nix, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import execute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup import handlers, observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.files import (
    KERNEL_MODULES,
    KSM,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.handlers import (
    HANDLERS,
    HostJob,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.plan import Plan, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.state import Wanted

TARGET_FILE = f"{names.UNIT_DIRECTORY}/{names.TARGET}"


def setup(**options: Any) -> HostSetup:
    """Settings of a host."""
    return parse_host_setup(options)


@dataclass
class Host:
    """The fake host; ``read`` is what systemd has read of units."""

    root: Path
    groups: set[str] = field(default_factory=lambda: {"root"})
    users: dict[str, User] = field(default_factory=dict)
    owners: dict[str, Account] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)
    enabled: bool = False
    active: bool = False
    slices: list[str] = field(default_factory=list)
    loadable: set[str] = field(default_factory=lambda: {module.name for module in KERNEL_MODULES})
    refused: set[str] = field(default_factory=set)
    """Kernel modules that cannot be loaded, though they are there."""
    files_of_user: bool = False
    has_nix: bool = False
    settings_of_nix: Callable[[str], list[str]] = lambda _text: []
    """Warnings of Nix, by the settings that it reads."""
    others: dict[str, Unit] = field(default_factory=dict)
    """Units beside the target: those of Nix."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the fake in place of the host's accounts and systemd."""
        replaced: list[tuple[Any, dict[str, Any]]] = [
            (
                accounts,
                {
                    "look_up": self.users.get,
                    "group_exists": lambda group: group in self.groups,
                    "create_group": self.groups.add,
                    "create_user": self._set_user,
                    "change_user": self._set_user,
                    "remove_user": self.users.pop,
                    "join_group": self._join,
                },
            ),
            (
                files,
                {
                    "owner_and_group": lambda path: self.owners.get(self._inside(path), ROOT),
                    "change_owner": self._change_account,
                    "numbers": lambda _account: (os.getuid(), os.getgid()),
                },
            ),
            (
                systemd,
                {
                    "show": self._show,
                    "is_stale": lambda _pattern: self._is_stale(),
                    "active_units": lambda _pattern: list(self.slices),
                    "enable": self._enable,
                    "daemon_reload": lambda: self.__setattr__("read", self.units()),
                    "forget_failures": lambda _pattern: None,
                    "start": self._start,
                    "stop": self._stop,
                    "restart": self._restart,
                },
            ),
            (
                nix,
                {
                    "store_program": lambda: "/usr/bin/nix-store" if self.has_nix else None,
                    "configuration_warnings": self._read_settings,
                },
            ),
            (observe, {"run": self._run}),
            (handlers, {"run": self._run}),
        ]
        # What a crash of the machine leaves is not looked at here, and waiting for the disk takes long.
        monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
        for module, attributes in replaced:
            for name, value in attributes.items():
                monkeypatch.setattr(module, name, value)
        self.write(KSM, "0\n")

    def write(self, path: str, content: str) -> None:
        """Write a file of the host."""
        inside = self.path(path)
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text(content)

    def path(self, path: str) -> Path:
        """Return the place of a file of the host."""
        return self.root / path.lstrip("/")

    def content(self, path: str) -> str:
        """Return the content of a file of the host."""
        return self.path(path).read_text()

    def units(self) -> dict[str, str]:
        """Return the units that are files."""
        directory = self.path(names.UNIT_DIRECTORY)
        return {path.name: path.read_text() for path in directory.iterdir()} if directory.is_dir() else {}

    def plan(self, wanted: Wanted) -> Plan:
        """Observe and plan."""
        return plan(observe.observe(wanted, str(self.root)), wanted)

    def carry_out(self, wanted: Wanted, steps: int | None = None) -> HostJob:
        """Carry out the first ``steps`` of the plan, or all."""
        planned = self.plan(wanted)
        job = HostJob(replace(planned, steps=planned.steps[:steps]), str(self.root))
        outcome = execute([job], HANDLERS)[job.name]
        assert outcome.error is None
        assert outcome.done == list(job.steps)
        return job

    def listing(self) -> list[str]:
        """Return all files of the host, but for the kernel's."""
        paths = (str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())
        return sorted(f"/{path}" for path in paths if not path.startswith(("sys/", "dev/")))

    def _inside(self, path: str) -> str:
        return "/" + str(Path(path).relative_to(self.root))

    def _set_user(self, name: str, user: User) -> None:
        assert user.group in self.groups, "the group of a user must exist"
        self.users[name] = user

    def _change_account(self, path: str, account: Account) -> None:
        assert account.group in self.groups, "the group of a directory must exist"
        self.owners[self._inside(path)] = account

    def _target(self) -> Unit:
        state = "enabled" if self.enabled and self.path(TARGET_FILE).exists() else ""
        return Unit(active_state="active" if self.active else "inactive", unit_file_state=state)

    def _show(self, units: Sequence[str]) -> dict[str, Unit]:
        # systemd knows a unit that it was not told to read only by its file.
        known = {unit: self.others.get(unit, Unit()) for unit in units if unit != names.TARGET}
        return {**known, **({names.TARGET: self._target()} if names.TARGET in units else {})}

    def _join(self, user: str, group: str) -> None:
        self.users[user] = replace(self.users[user], other_groups=(*self.users[user].other_groups, group))

    def _restart(self, unit: str) -> None:
        self.others[unit] = replace(
            self.others[unit], active_state="active", active_since_monotonic=str(int(time.monotonic() * 1e6))
        )

    def _is_stale(self) -> bool:
        """Return whether a unit that was read has changed since; systemd does not look for others."""
        units = self.units()
        return any(units.get(name) != content for name, content in self.read.items())

    def _enable(self, units: Iterable[str], wanted: bool) -> None:
        [unit] = units
        assert unit == names.NIX_SOCKET or self.path(f"{names.UNIT_DIRECTORY}/{unit}").exists()
        if unit == names.TARGET:
            self.enabled = wanted
        else:
            state = "enabled" if wanted else "disabled"
            self.others[unit] = replace(self.others.get(unit, Unit()), unit_file_state=state)

    def _read_settings(self, text: str) -> list[str]:
        return self.settings_of_nix(text)

    def _start(self, unit: str) -> None:
        assert unit == names.NIX_SOCKET or unit in self.read, "a unit that systemd has not read is started"
        if unit == names.TARGET:
            self.active = True
        else:
            self.others[unit] = replace(self.others.get(unit, Unit()), active_state="active")

    def _stop(self, units: Sequence[str]) -> None:
        self.others = {
            name: replace(unit, active_state="inactive") if name in units else unit
            for name, unit in self.others.items()
        }
        self.active = self.active and names.TARGET not in units
        self.slices = [unit for unit in self.slices if unit not in units]

    def _run(self, argv: Sequence[str], **_limits: Any) -> str:
        if argv[0] == "find":
            return f"{argv[1]}/web/root.img\n" if self.files_of_user else ""
        if argv[:2] == ["modprobe", "--show-depends"]:
            if argv[2] not in self.loadable:
                raise HostError(f"modprobe: FATAL: Module {argv[2]} not found.")
            return f"insmod /lib/modules/{argv[2]}.ko \n"
        if argv[0] == "ssh-keygen":
            for suffix in ("", ".pub"):
                Path(f"{argv[-1]}{suffix}").write_text("key")
            return ""
        assert argv[0] == "modprobe"
        if argv[1] in self.refused:
            raise HostError("Operation not permitted")
        module = next(module for module in KERNEL_MODULES if module.name == argv[1])
        self.write(module.device, "")
        self.write(module.registration, "")
        return ""
