# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nix of a host: its settings beside those of somebody else, its daemon, and the timer that collects garbage."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import User
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.state import (
    Wanted,
    prepared,
    unprepared,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .host import Host, setup

KEY = f"cache.example.com-1:{'A' * 43}="
FOREIGN = "# Somebody else's\n\tsandbox = false\n"
LINE = "!include microvm-fleet.conf\n"
PREPARED = prepared(setup())
NIX = prepared(setup(nix=True))
COLLECTING = prepared(setup(nix=True, nix_collect_garbage="30d"))
TIMER_FILES = [f"{names.UNIT_DIRECTORY}/{unit}" for unit in (names.NIX_GARBAGE_SERVICE, names.NIX_GARBAGE_TIMER)]
RELOAD = "systemctl daemon-reload for the units of MicroVMs"


def with_nix(directory: Path, monkeypatch: pytest.MonkeyPatch, configuration: str | None = FOREIGN) -> Host:
    """Return a prepared host with a Nix of the distribution, whose daemon has run for a while."""
    host = Host(directory)
    host.install(monkeypatch)
    host.carry_out(PREPARED)
    host.has_nix = True
    started = str(int((time.monotonic() - 60) * 1e6))
    running = Unit("loaded", "active", unit_file_state="enabled", active_since_monotonic=started)
    host.others = {names.NIX_DAEMON: running, names.NIX_SOCKET: running}
    if configuration is not None:
        host.write(names.NIX_CONFIGURATION, configuration)
        os.utime(host.path(names.NIX_CONFIGURATION), (1, 1))
    return host


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with Nix."""
    return with_nix(tmp_path, monkeypatch)


def actions(host: Host, wanted: Wanted) -> list[str]:
    """Return the steps of a plan, as they read."""
    return [str(step) for step in host.plan(wanted).steps]


def settings(host: Host, **options: Any) -> list[str]:
    """Return the lines of our settings after a run, but for the header."""
    host.carry_out(prepared(setup(nix=True, **options)))
    return host.content(names.NIX_SETTINGS).splitlines()[1:]


def test_settings_are_added_to_those_of_the_host_and_removed_again(host: Host) -> None:
    assert actions(host, NIX) == [
        f"write {names.NIX_SETTINGS}",
        f"write {names.NIX_CONFIGURATION}",
        f"systemctl restart {names.NIX_DAEMON}",
    ]
    host.carry_out(NIX)
    assert host.content(names.NIX_CONFIGURATION) == FOREIGN + LINE
    assert actions(host, NIX) == []
    assert actions(host, PREPARED) == [
        f"write {names.NIX_CONFIGURATION}",
        f"systemctl restart {names.NIX_DAEMON}",
        f"remove settings {names.NIX_SETTINGS}",
    ]
    host.carry_out(PREPARED)
    assert host.content(names.NIX_CONFIGURATION) == FOREIGN
    assert actions(host, PREPARED) == []


def test_a_line_goes_also_where_somebody_has_removed_the_settings(host: Host) -> None:
    host.carry_out(NIX)
    os.unlink(host.path(names.NIX_SETTINGS))
    host.carry_out(PREPARED)
    assert host.content(names.NIX_CONFIGURATION) == FOREIGN


def test_settings_are_lines_of_which_the_operators_own_come_first(host: Host) -> None:
    lines = settings(
        host,
        nix_trusted_keys=[KEY],
        nix_trusted_users=["deploy", "@operators"],
        nix_substituters=["https://cache.example.com", "file:///srv/cache?priority=10"],
        nix_settings={"substituters": ["https://a", "https://b"], "max-jobs": 2, "auto-optimise-store": True},
    )
    assert lines == [
        "auto-optimise-store = true",
        "max-jobs = 2",
        "substituters = https://a https://b",
        "extra-experimental-features = nix-command flakes",
        f"extra-trusted-public-keys = {KEY}",
        "extra-trusted-users = deploy @operators",
        "extra-substituters = https://cache.example.com file:///srv/cache?priority=10",
    ]
    assert settings(host) == ["extra-experimental-features = nix-command flakes"]


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({"nix_trusted_keys": [f"cache:{'A' * 86}=="]}, "nix_trusted_keys[0]", "is not a public key of Nix"),
        ({"nix_trusted_users": ["*"]}, "nix_trusted_users[0]", "everybody"),
        ({"nix_substituters": ["cache.example.com"]}, "nix_substituters[0]", "is not the URL"),
        ({"nix_substituters": ["http://a?trusted=true"]}, "nix_substituters[0]", "nix_trusted_keys"),
        ({"nix_settings": {"include": "/tmp/a"}}, "nix_settings.include", "is not the name of a setting"),
        ({"nix_settings": {"max-jobs": "1\nsandbox = false"}}, "nix_settings.max-jobs", "control character"),
        ({"nix_settings": {"max-jobs": {"a": 1}}}, "nix_settings.max-jobs", "is not a value of a setting"),
        ({"nix_settings": {"access-tokens": "github.com=a"}}, "nix_settings.access-tokens", "is a secret"),
        ({"nix_substituters": ["http://a?priority=1&trust%65d=yes"]}, "nix_substituters[0]", "nix_trusted_keys"),
        ({"nix_substituters": ["https://deploy:secret@a/b"]}, "nix_substituters[0]", "netrc-file"),
        ({"nix_substituters": ["https://token@a?b"]}, "nix_substituters[0]", "netrc-file"),
        ({"nix_substituters": ["ssh-ng://deploy:secret@a"]}, "nix_substituters[0]", "netrc-file"),
        ({"nix_substituters": ["https://a/b?private_token=secret"]}, "nix_substituters[0]", "netrc-file"),
        ({"nix_substituters": ["s3://a?region=b&Token=secret"]}, "nix_substituters[0]", "netrc-file"),
        ({"nix_settings": {"substituters": "https://a https://b?token=secret"}}, "nix_settings.substituters", "token"),
        ({"nix_settings": {"flake-registry": "https://a:secret@b"}}, "nix_settings.flake-registry", "netrc-file"),
        ({"nix_settings": {"builders": ["ssh://a:secret@b"]}}, "nix_settings.builders", "netrc-file"),
        ({"nix_settings": {"require-sigs": False}}, "nix_settings.require-sigs", "nix_trusted_keys"),
        ({"nix_settings": {"require-sigs": "false"}}, "nix_settings.require-sigs", "nix_trusted_keys"),
        ({"nix_settings": {"require-sigs": 0}}, "nix_settings.require-sigs", "nix_trusted_keys"),
        (
            {"nix_settings": {"substituters": "https://a https://x?trusted=1"}},
            "nix_settings.substituters",
            "signatures",
        ),
        ({"nix_settings": {"extra-substituters": ["https://a:b@c"]}}, "nix_settings.extra-substituters", "netrc-file"),
        ({"nix_settings": {"binary-caches": ["https://a:b@c"]}}, "nix_settings.binary-caches", "netrc-file"),
        (
            {"nix_settings": {"trusted-substituters": ["https://a?trusted=true"]}},
            "nix_settings.trusted-substituters",
            "without signatures",
        ),
        ({"nix_settings": {"trusted-users": "root *"}}, "nix_settings.trusted-users", "everybody"),
        ({"nix_settings": {"extra-trusted-users": ["*"]}}, "nix_settings.extra-trusted-users", "everybody"),
        ({"nix_collect_garbage": "30"}, "nix_collect_garbage", "is not an age in days"),
        ({"nix": False, "nix_trusted_keys": [KEY]}, "nix_trusted_keys", "set nix to true"),
        ({"nix": False, "nix_collect_garbage": "30d"}, "nix_collect_garbage", "set nix to true"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        setup(**{"nix": True, **options})
    assert refusal.value.path == path
    assert words in refusal.value.message and "secret@" not in refusal.value.message
    assert "=secret" not in refusal.value.message


def test_settings_that_options_add_to_are_taken_where_these_would_take_them(host: Host) -> None:
    own = {
        "builders": "ssh://a@b x86_64-linux",
        "trusted-users": ["root", "@wheel"],
        "substituters": "",
        "require-sigs": True,
        "allowed-users": "*",
    }
    lines = settings(
        host, nix_settings=own, nix_substituters=["https://a/b@c", "ssh://a@b:22", "s3://cache?profile=a@b"]
    )
    assert lines[:5] == [
        "allowed-users = *",
        "builders = ssh://a@b x86_64-linux",
        "require-sigs = true",
        "substituters =",
        "trusted-users = root @wheel",
    ]
    assert lines[-1] == "extra-substituters = https://a/b@c ssh://a@b:22 s3://cache?profile=a@b"


def test_a_configuration_without_a_final_newline_keeps_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = with_nix(tmp_path, monkeypatch, "sandbox = false")
    host.carry_out(NIX)
    assert host.content(names.NIX_CONFIGURATION) == f"sandbox = false\n{LINE}"


def test_a_host_without_a_configuration_has_none_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = with_nix(tmp_path, monkeypatch, None)
    host.carry_out(NIX)
    assert host.content(names.NIX_CONFIGURATION) == LINE
    host.carry_out(PREPARED)
    assert not host.path(names.NIX_CONFIGURATION).exists()


def test_an_installer_that_owns_the_configuration_has_a_file_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = with_nix(tmp_path, monkeypatch, "!include nix.custom.conf\n")
    host.carry_out(NIX)
    assert host.content(names.NIX_CONFIGURATION) == "!include nix.custom.conf\n"
    assert host.content(names.NIX_CUSTOM_CONFIGURATION) == LINE
    assert actions(host, NIX) == []
    host.carry_out(unprepared(setup()))
    assert not host.path(names.NIX_CUSTOM_CONFIGURATION).exists()


@pytest.mark.parametrize("is_text", [True, False], ids=["link", "bytes"])
def test_a_configuration_that_is_not_ours_to_change_is_refused(host: Host, is_text: bool) -> None:
    path = host.path(names.NIX_CONFIGURATION)
    if is_text:
        path.rename(path.with_name("elsewhere"))
        path.symlink_to("elsewhere")
    else:
        path.write_bytes(b"\xff\n")
    with pytest.raises(
        DeclarationError, match=r"cannot be changed: it is .*; add the line '!include microvm-fleet\.conf'"
    ):
        host.plan(NIX)
    if is_text:
        path.write_text(FOREIGN + LINE)
        assert f"write {names.NIX_CONFIGURATION}" not in actions(host, NIX)


def test_a_host_without_nix_is_told_so_and_gets_no_configuration_before_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = with_nix(tmp_path, monkeypatch, None)
    host.has_nix, host.others = False, {}
    planned = host.plan(NIX)
    assert [str(step) for step in planned.steps] == [f"write {names.NIX_SETTINGS}"]
    assert [problem for problem in planned.missing if "Nix" in problem] == [
        "Nix is not installed yet; its settings take effect once it is (microvm_nix of role host installs it)"
    ]
    for other in (PREPARED, replace(NIX, is_nix_expected=True)):
        assert not any("Nix" in problem for problem in host.plan(other).missing)


def test_settings_that_nix_does_not_know_are_a_warning_and_those_that_it_cannot_read_are_refused(host: Host) -> None:
    unknown = "unknown setting 'lint-url-literals'"
    host.settings_of_nix = lambda text: [unknown] if "lint-url-literals" in text else []
    wanted = prepared(setup(nix=True, nix_settings={"lint-url-literals": "warn"}))
    assert [problem for problem in host.plan(wanted).missing if "Nix" in problem] == [
        f"Nix of this host does not use all of nix_settings: {unknown}; correct the name, or leave out what this "
        "version of Nix does not have"
    ]
    # What has not changed anything yet says so once, at the end.
    for other in (NIX, replace(wanted, is_nix_expected=True)):
        assert not [problem for problem in host.plan(other).missing if "nix_settings" in problem]

    def refuse(_text: str) -> list[str]:
        raise HostError("configuration setting 'max-jobs' should be 'auto' or an integer")

    host.settings_of_nix = refuse
    for checked in (False, True):
        with pytest.raises(DeclarationError, match=r"nix_settings: Nix of this host cannot read them: .*'max-jobs'"):
            host.plan(replace(prepared(setup(nix=True)), is_nix_expected=checked))
    # Nix is not asked where it is to have nothing of ours.
    assert not [problem for problem in host.plan(PREPARED).missing if "Nix" in problem]


def test_a_daemon_that_a_killed_run_has_not_restarted_is_restarted_by_the_next(host: Host) -> None:
    host.carry_out(NIX, 2)
    assert actions(host, NIX) == [f"systemctl restart {names.NIX_DAEMON}"]
    host.carry_out(NIX)
    assert actions(host, NIX) == []


def test_the_daemon_runs_unless_somebody_has_masked_it(host: Host) -> None:
    host.carry_out(NIX)
    host.others = {
        names.NIX_DAEMON: Unit("loaded"),
        names.NIX_SOCKET: Unit("loaded", unit_file_state="disabled"),
    }
    assert actions(host, NIX) == [f"systemctl enable {names.NIX_SOCKET}", f"systemctl start {names.NIX_SOCKET}"]
    host.carry_out(NIX)
    assert actions(host, NIX) == []
    host.others = {name: Unit("masked", unit_file_state="masked") for name in host.others}
    assert actions(host, NIX) == []


def test_the_timer_that_collects_garbage_comes_and_goes_with_its_option(host: Host) -> None:
    host.carry_out(NIX)
    assert actions(host, COLLECTING) == [
        *(f"write {path}" for path in TIMER_FILES),
        f"systemctl enable {names.NIX_GARBAGE_TIMER}",
        RELOAD,
        f"systemctl start {names.NIX_GARBAGE_TIMER}",
    ]
    host.carry_out(COLLECTING)
    assert "\nExecStart=/usr/bin/env nix-collect-garbage --delete-older-than 30d\n" in host.content(TIMER_FILES[0])
    assert actions(host, COLLECTING) == []
    assert actions(host, prepared(setup(nix=True, nix_collect_garbage="7d"))) == [f"write {TIMER_FILES[0]}", RELOAD]
    assert actions(host, NIX) == [
        f"systemctl disable {names.NIX_GARBAGE_TIMER}",
        f"systemctl stop {names.NIX_GARBAGE_TIMER}",
        *(f"remove {path}" for path in reversed(TIMER_FILES)),
        RELOAD,
    ]
    host.carry_out(unprepared(setup()))
    assert not any(host.path(path).exists() for path in (*TIMER_FILES, names.NIX_SETTINGS))
    assert host.content(names.NIX_CONFIGURATION) == FOREIGN


@pytest.mark.parametrize(("before", "after"), [(PREPARED, COLLECTING), (COLLECTING, PREPARED)], ids=["in", "out"])
def test_a_run_that_is_killed_at_any_step_is_completed_by_the_next(
    before: Wanted, after: Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fresh(name: str) -> Host:
        host = with_nix(tmp_path / name, monkeypatch)
        host.carry_out(before)
        return host

    def since(host: Host) -> int:
        return int(host.others[names.NIX_DAEMON].active_since_monotonic)

    complete = fresh("complete")
    started = since(complete)
    total = len(complete.carry_out(after).steps)
    assert since(complete) > started
    for steps in range(total):
        host = fresh(str(steps))
        started = since(host)
        host.carry_out(after, steps)
        host.carry_out(after)
        assert actions(host, after) == [], f"killed after {steps} of {total} steps"
        assert host.listing() == complete.listing()
        assert since(host) > started, f"the daemon has not read its settings, killed after {steps} of {total} steps"
        states = [
            {name: replace(unit, active_since_monotonic="0") for name, unit in each.others.items()}
            for each in (host, complete)
        ]
        assert states[0] == states[1]


def test_trusted_users_reach_the_daemon_where_a_group_decides_it(host: Host) -> None:
    host.users |= {"deploy": User("deploy", "/home/deploy", other_groups=("adm",)), "root": User("root", "/root")}
    trusting = prepared(setup(nix=True, nix_trusted_users=["deploy", "@adm", "nobody-here", "root"]))
    host.carry_out(trusting)
    assert actions(host, trusting) == []
    assert [problem for problem in host.plan(trusting).missing if "nix_trusted_users" in problem] == [
        "nix_trusted_users names the user nobody-here, whom this host does not have; correct the name, or create the "
        "user and run again"
    ]
    assert "nobody-here" not in str(host.plan(replace(trusting, is_nix_expected=True)).missing)
    host.groups.add("nix-users")
    assert actions(host, trusting) == ["let the daemon of Nix serve user deploy"]
    host.carry_out(trusting)
    assert host.users["deploy"].other_groups == ("adm", "nix-users")
    assert actions(host, trusting) == []


def test_a_nix_that_nobody_declares_is_left_alone(host: Host) -> None:
    host.write(names.NIX_CONFIGURATION, FOREIGN)
    assert actions(host, PREPARED) == []
    host.carry_out(unprepared(setup()))
    assert host.content(names.NIX_CONFIGURATION) == FOREIGN
