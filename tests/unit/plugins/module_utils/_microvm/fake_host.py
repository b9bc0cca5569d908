# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fake of ``host/``: real files below a temporary directory, and systemd, accounts and owners as they would be.

Nothing here needs root. Steps are carried out by the real handlers; a unit that is started has its link ``booted``, as
microvm-set-booted@ makes it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import ROOT, SHARED, Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms import host_key
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import (
    accounts,
    files,
    guest_keys,
    holds,
    known_hosts,
    locks,
    nix,
    places,
    readiness,
    state_directories,
    systemd,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Records
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.store import PackageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import (
    adopt,
    collect_garbage,
    move,
    rollback,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import lifecycle as lifecycle_operation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import reconcile as reconcile_operation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.moves import handlers as move_handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.moves import observe as move_observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms import (
    handlers,
    handlers_files,
    handlers_rename,
    observe_former,
)


@dataclass
class FakeHost:
    """State of the host beside its files."""

    root: Path
    units: dict[str, systemd.Unit] = field(default_factory=dict)
    users: set[str] = field(default_factory=lambda: {SHARED.user})
    groups: dict[int, str] = field(default_factory=dict)
    """Groups by inode, since nobody but root can give a file away."""
    read_settings: dict[str, str] = field(default_factory=dict)
    """Drop-ins as systemd has read them, by unit."""
    failing_packages: set[str] = field(default_factory=set)
    """Packages whose guests do not come up."""
    calls: list[str] = field(default_factory=list)
    """Calls of systemd and of the accounts, in this order."""

    @property
    def places(self) -> Places:
        """Places of this host."""
        store, records = PackageStore(str(self.root / "packages")), Records(str(self.root / "records"))
        return Places(str(self.root / "vms"), store, records)

    def _drop_ins(self, unit: str) -> str:
        directory = self.root / "units" / f"{unit}.d"
        return "".join(path.read_text() for path in sorted(directory.glob("*.conf"))) if directory.exists() else ""

    def show(self, names: Sequence[str]) -> dict[str, systemd.Unit]:
        """Stand for ``systemctl show``."""
        self.calls.append(f"show {len(names)}")
        known = {name: self.units.get(name, systemd.Unit()) for name in names}
        return {
            name: replace(unit, stale=self._drop_ins(name) != self.read_settings.get(name, ""))
            for name, unit in known.items()
        }

    def daemon_reload(self) -> None:
        """Read all drop-ins."""
        self.calls.append("daemon-reload")
        units = self.root / "units"
        names = [path.name[: -len(".d")] for path in units.iterdir()] if units.exists() else []
        self.read_settings = {name: self._drop_ins(name) for name in names}

    def enable(self, names: Iterable[str], wanted: bool) -> None:
        """Let units start with the host, or not."""
        for name in names:
            self.calls.append(f"{'enable' if wanted else 'disable'} {name}")
            state = "enabled" if wanted else "disabled"
            self.units[name] = replace(self.units.get(name, systemd.Unit()), unit_file_state=state)

    def start(self, name: str, _wait: bool = True) -> None:
        """Start the package that ``current`` leads to."""
        self.calls.append(f"start {name}")
        vm = name.removeprefix("microvm@").removesuffix(".service")
        state = self.places.state(vm)
        package = os.readlink(f"{state}/current")
        if os.path.basename(package) in self.failing_packages:
            self.units[name] = replace(self.units.get(name, systemd.Unit()), active_state="failed")
            raise HostError(f"{name} does not come up")
        files.replace_link(f"{state}/booted", package)
        unit = replace(self.units.get(name, systemd.Unit()), load_state="loaded")
        invocation = f"{len(self.calls):032x}"
        self.units[name] = replace(unit, active_state="active", sub_state="running", invocation=invocation)

    def stop(self, names: Sequence[str], _wait: bool = True) -> None:
        """Stop units; the links of what is ours go with its handler."""
        self.calls.append(f"stop {names[0]}")
        for name in names:
            if name in self.units:
                self.units[name] = replace(self.units[name], active_state="inactive", sub_state="dead")

    def create_users(self, homes: Mapping[str, str]) -> None:
        """Make users."""
        self.calls.append(f"create {' '.join(sorted(homes))}")
        self.users.update(homes)

    def rename_account(self, former: str, name: str, _home: str) -> None:
        """Give a user, and the group with all that it has, another name."""
        self.calls.append(f"rename {former} to {name}")
        self.users.discard(former)
        self.users.add(name)
        self.groups = {inode: name if group == former else group for inode, group in self.groups.items()}

    def group(self, path: str) -> str | None:
        """Name of a file's group, as it was given."""
        return self.groups.get(os.stat(path).st_ino) if os.path.exists(path) else None

    def give(
        self, file: str | int, _user: int, _group: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        """Remember whose a file is from now on."""
        status = os.stat(file, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        self.groups[status.st_ino] = self.owner.group

    owner: Account = SHARED

    def numbers(self, account: Account) -> tuple[int, int]:
        """Look up an account, which is that of the next directory."""
        if account.user not in (*self.users, ROOT.user):
            raise KeyError(account.user)
        self.owner = account
        return 0, 0

    def give_name(self, path: str, _user: str, group: str) -> None:
        """Remember whose a directory is from now on."""
        self.groups[os.stat(path).st_ino] = group


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host without MicroVMs, prepared by role ``host``."""
    return install(FakeHost(tmp_path), monkeypatch)


def install(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """Let the code see a fake host."""
    (fake.root / "vms").mkdir()
    replacements: list[tuple[Any, str, Any]] = [
        (systemd, "show", fake.show),
        (systemd, "failed_units", lambda _pattern: {}),
        (systemd, "daemon_reload", fake.daemon_reload),
        (systemd, "enable", fake.enable),
        (systemd, "start", fake.start),
        (systemd, "restart", fake.start),
        (systemd, "stop", fake.stop),
        (systemd, "explanation", lambda _name, problem: problem),
        (readiness, "SETTLE_SECONDS", 0.0),
        (readiness, "_is_abandoned", lambda: False),
        (accounts, "exists", lambda user: user in fake.users),
        (accounts, "group_exists", lambda group: group in fake.users),
        (accounts, "group_number", lambda group: os.getegid() if group in fake.users else 0),
        (accounts, "rename_user", fake.rename_account),
        (accounts, "create_users", fake.create_users),
        (accounts, "remove_user", fake.users.discard),
        (handlers_files, "numbers", fake.numbers),
        (state_directories, "numbers", fake.numbers),
        (shutil, "chown", fake.give_name),
        (os, "fchown", fake.give),
        (os, "chown", fake.give),
        (files, "group_name", fake.group),
        (reconcile_operation, "Places", lambda _directory: fake.places),
        (places, "UNIT_DIRECTORY", str(fake.root / "units")),
        (places, "SETTINGS_DIRECTORY", str(fake.root / "settings")),
        (places, "TMPFILES_DIRECTORY", str(fake.root / "tmpfiles")),
        (handlers_files, "ARCHIVE_DIRECTORY", str(fake.root / "archive")),
        (handlers_rename, "ARCHIVE_DIRECTORY", str(fake.root / "archive")),
        (observe_former, "ARCHIVE_DIRECTORY", str(fake.root / "archive")),
        (nix, "store_program", lambda: None),
        (move_handlers, "numbers", fake.numbers),
        (move_observe, "_units_know_holds", lambda: True),
        (holds, "MOVE_DIRECTORY", str(fake.root / "moves")),
        (known_hosts, "KNOWN_HOSTS", str(fake.root / "known_hosts")),
        (guest_keys, "HOST_KEY_DIRECTORY", str(fake.root / "host-keys")),
        (host_key, "HOST_KEY_DIRECTORY", str(fake.root / "host-keys")),
    ]
    for target, name, replacement in replacements:
        monkeypatch.setattr(target, name, replacement)
    _redirect_locks(fake, monkeypatch)
    _skip_preflight(monkeypatch)
    return fake


def _redirect_locks(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(names: Sequence[str], directory: str = "", patience: float = 1.0) -> Any:
        return locks.locked(names, str(fake.root / "locks"), patience)

    for module in (reconcile_operation, lifecycle_operation, rollback, adopt, move):
        monkeypatch.setattr(module, "locked", locked)
    if hasattr(collect_garbage, "LOCK_DIRECTORY"):
        monkeypatch.setattr(collect_garbage, "LOCK_DIRECTORY", str(fake.root / "locks"))


def _skip_preflight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs, kernels and memory are not looked for here; other tests do that."""
    for check in ("check_host", "check_ability"):
        monkeypatch.setattr(reconcile_operation, check, lambda *_arguments: None)
    monkeypatch.setattr(reconcile_operation, "installed_version", lambda _program: None)
    monkeypatch.setattr(handlers, "set_balloon", lambda _name, _size, _places: "")
