# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handlers of networks: what they write, and the mark that a killed run leaves."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import NETWORK_WATCH_UNIT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import execute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import handlers, observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    DOCKER,
    configuration,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import Action, Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.rules import unbound_tap
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.steps import Step

BOUND = 'add element bridge microvm_fleet macs { "mv-a" . 02:00:00:00:00:0a }\n'
BRIDGE_FILE = "/etc/systemd/network/50-microvm-microvm0.netdev"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Commands that handlers run; the mark lies in ``tmp_path``."""
    log: list[str] = []
    for name in ("run", "ask"):
        monkeypatch.setattr(handlers, name, lambda argv: log.append(" ".join(argv)))
    monkeypatch.setattr(handlers, "MARK", str(tmp_path / "state" / "mark"))
    monkeypatch.setattr(handlers, "CONFIGURATION_DIRECTORY", str(tmp_path / "configuration"))
    monkeypatch.setattr(handlers, "FINGERPRINT_RECORD", str(tmp_path / "fingerprint"))
    return log


@pytest.fixture
def taps(commands: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Directory of the rules of taps; the tap mv-a is there."""
    directory = tmp_path / "taps"
    directory.mkdir()
    (tmp_path / "interfaces" / "mv-a").mkdir(parents=True)
    for module in (handlers, observe):
        monkeypatch.setattr(module, "TAP_RULES_DIRECTORY", str(directory))
    monkeypatch.setattr(handlers, "GUEST_NAMES_DIRECTORY", str(directory / "names"))
    monkeypatch.setattr(handlers, "_INTERFACES", str(tmp_path / "interfaces"))
    return directory


def carry_out(
    *steps: Step[Action], files: dict[str, str] | None = None, names: dict[str, str] | None = None
) -> str | None:
    """Execute steps; returns the error."""
    job = handlers.NetworksJob(Plan(steps, files or {}, {}, names=names or {}))
    return execute([job], handlers.HANDLERS)[job.name].error


def test_a_file_is_written_after_the_mark(commands: list[str], tmp_path: Path) -> None:
    path = tmp_path / "configuration" / "rules"
    assert carry_out(Step(Action.WRITE, str(path)), files={str(path): "table\n"}) is None
    assert path.read_text() == "table\n"
    assert (tmp_path / "state" / "mark").exists()
    assert commands == []


def test_who_is_not_root_reads_files_whatever_the_umask_is(commands: list[str], tmp_path: Path) -> None:
    path = tmp_path / "run" / "00-microvm-lan0.network"
    umask = os.umask(0o077)
    try:
        assert carry_out(Step(Action.WRITE_VOLATILE, str(path)), files={str(path): "[Match]\n"}) is None
    finally:
        os.umask(umask)
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o755, 0o644)
    assert commands == []


def test_a_change_is_taken_back_unless_the_mark_is_removed_first(
    commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, returned = tmp_path / "run" / "unconfirmed", tmp_path / "run" / "returned"
    monkeypatch.setattr(handlers, "UNCONFIRMED", str(mark))
    monkeypatch.setattr(handlers, "RETURNED", str(returned))
    running = Unit("loaded", "active", "waiting", "transient")
    monkeypatch.setattr(systemd, "show", lambda units: dict.fromkeys(units, running))
    returned.parent.mkdir()
    returned.touch()
    assert carry_out(Step(Action.ARM, "return.timer")) is None
    assert mark.exists() and not returned.exists()
    assert commands[0] == "systemctl stop return.timer"
    assert commands[1].startswith("systemd-run ") and commands[1].endswith("/lan-return now")
    assert "--on-active=60" in commands[1].split()
    del commands[:]
    assert carry_out(Step(Action.CONFIRM, "return.timer")) is None
    assert commands == ["systemctl stop return.timer"] and not mark.exists()
    del commands[:]
    assert "was taken back" in (carry_out(Step(Action.CONFIRM, "return.timer")) or "")
    assert commands == []
    mark.touch()
    for _attempt in range(2):
        assert carry_out(Step(Action.DISARM, "return.timer")) is None
        assert not mark.exists()
    assert carry_out(Step(Action.FORGET_RETURN, str(returned))) is None
    assert not returned.exists()


def test_a_tap_on_a_bridge_onto_a_lan_is_kept_from_the_host(commands: list[str], taps: Path, tmp_path: Path) -> None:
    (tmp_path / "interfaces" / "mv-a" / "master").symlink_to("../lan0")
    files = {"/run/systemd/network/00-microvm-lan0.network": ""}
    assert carry_out(Step(Action.ADMIT, "mv-a"), files=files) is None
    assert (taps / "lan0:mv-a.nft6").read_text() == 'add element bridge microvm_fleet lan_taps { "mv-a" }\n'
    # A bridge that learned from frames which rules do not see would give a neighbour's MAC address away.
    learning = "ip link set dev lan0 type bridge no_linklocal_learn 1"
    assert commands == [learning, f"nft -f {taps}/lan0:mv-a.nft6", f"nft -f {taps}/mv-a.nft"]


def test_a_bridge_learns_nothing_of_frames_that_rules_do_not_see(commands: list[str]) -> None:
    assert carry_out(Step(Action.IGNORE_LINK_LOCAL, "lan0")) is None
    assert commands == ["ip link set dev lan0 type bridge no_linklocal_learn 1"]


def test_a_directory_goes_with_its_last_file(commands: list[str], tmp_path: Path) -> None:
    directory = tmp_path / "configuration"
    directory.mkdir()
    for name in ("rules", "record"):
        (directory / name).write_text("")
    assert carry_out(Step(Action.REMOVE, str(directory / "rules"))) is None
    assert directory.is_dir()
    assert carry_out(Step(Action.REMOVE, str(directory / "record"))) is None
    assert not directory.exists()
    assert commands == []


def test_a_step_without_files_leaves_no_mark(commands: list[str], tmp_path: Path) -> None:
    assert carry_out(Step(Action.DELETE_BRIDGE, "microvm0"), Step(Action.RECONFIGURE, "other")) is None
    assert commands == ["ip link delete dev microvm0", "networkctl reconfigure other"]
    assert not (tmp_path / "state").exists()


def test_other_firewalls_are_told_by_their_own_commands(commands: list[str]) -> None:
    command = "ufw route allow in on microvm0 out on eth0 comment microvm.fleet"
    assert carry_out(Step(Action.WITHDRAW, "ufw delete allow in on microvm0"), Step(Action.PERMIT, command)) is None
    assert commands == ["ufw delete allow in on microvm0", command]


def test_rules_leave_dockers_chain_when_no_unit_inserts_them_any_more(commands: list[str]) -> None:
    steps = (Step(Action.LEAVE_DOCKER, "docker.unit"), Step(Action.FOLLOW_DOCKER, "docker.unit"))
    assert carry_out(*steps, Step(Action.INSERT, "DOCKER-USER")) is None
    assert commands == [
        "systemctl disable --now --quiet docker.unit",
        "systemctl reset-failed -- docker.unit*",
        f"bash {DOCKER} remove",
        "systemctl enable --quiet docker.unit",
        f"bash {DOCKER} insert",
    ]


def test_records_of_zones_go_with_their_directory(
    commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = tmp_path / "zones"
    monkeypatch.setattr(handlers, "ZONE_RECORDS", str(records))
    assert carry_out(Step(Action.RECORD_ZONE, f"{records}/microvm0")) is None
    assert [path.name for path in records.iterdir()] == ["microvm0"]
    assert carry_out(Step(Action.FORGET_ZONE, f"{records}/microvm0")) is None
    assert not records.exists()
    assert commands == []


def test_a_tap_that_is_admitted_is_filtered_at_once(commands: list[str], taps: Path) -> None:
    assert carry_out(Step(Action.ADMIT, "mv-a"), Step(Action.ADMIT, "gone")) is None
    assert (taps / "mv-a.nft").read_text() == unbound_tap("mv-a")
    assert commands == [f"nft -f {taps}/mv-a.nft"]


def test_rules_that_are_loaded_after_it_have_the_tap(
    commands: list[str], taps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "observe_rules", lambda: ("digest", "fingerprint"))
    assert carry_out(Step(Action.ADMIT, "mv-a"), Step(Action.LOAD_RULES, "unit")) is None
    assert (taps / "mv-a.nft").exists()
    assert commands == ["systemctl reload-or-restart unit"]


def test_a_unit_that_has_bound_the_tap_meanwhile_is_left_alone(commands: list[str], taps: Path) -> None:
    (taps / "mv-a.nft").write_text(BOUND)
    assert carry_out(Step(Action.ADMIT, "mv-a")) is None
    assert (taps / "mv-a.nft").read_text() == BOUND
    assert commands == []


def test_rules_of_a_tap_are_loaded_again(commands: list[str], taps: Path) -> None:
    (taps / "mv-a.nft").write_text(BOUND)
    steps = (Step(Action.BIND_AGAIN, "mv-a"), Step(Action.BIND_AGAIN, "gone"), Step(Action.PIN, "mv-a"))
    assert carry_out(*steps) is None
    assert commands == [f"nft -f {taps}/mv-a.nft", "bridge fdb replace 02:00:00:00:00:0a dev mv-a master static"]


def test_a_tap_that_is_gone_is_forgotten(commands: list[str], taps: Path) -> None:
    for tap in ("mv-a", "gone"):
        (taps / f"{tap}.nft").write_text(BOUND.replace("mv-a", tap))
    assert carry_out(Step(Action.FORGET_TAP, "mv-a"), Step(Action.FORGET_TAP, "gone")) is None
    assert [path.name for path in taps.glob("*.nft")] == ["mv-a.nft"], "the tap that was made again is forgotten"
    assert commands == ['nft delete element bridge microvm_fleet macs { "gone" . 02:00:00:00:00:0a }']


def test_what_the_kernel_has_after_rules_are_loaded_is_recorded_until_they_go(
    commands: list[str], taps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (taps / "mv-a.nft").write_text(BOUND)
    monkeypatch.setattr(handlers, "observe_rules", lambda: ("digest", "fingerprint"))
    assert carry_out(Step(Action.LOAD_RULES, "unit")) is None
    assert (tmp_path / "fingerprint").read_text() == "fingerprint"
    assert carry_out(Step(Action.UNLOAD_RULES, "unit")) is None
    assert not (tmp_path / "fingerprint").exists() and not taps.exists()
    assert commands == [
        "systemctl reload-or-restart unit",
        "systemctl disable --now --quiet unit",
        f"systemctl reset-failed -- unit* {NETWORK_WATCH_UNIT}*",
    ]


def test_tables_are_known_by_what_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = {"rule": "\t\tcounter drop\n"}
    monkeypatch.setattr(observe, "run", lambda argv: f'table {argv[-2]} {{\n\tcomment "1a"\n{printed["rule"]}')
    digest, fingerprint = observe.observe_rules()
    assert (digest, fingerprint) == observe.observe_rules()
    printed["rule"] = ""
    assert observe.observe_rules()[0] == digest == "1a"
    assert observe.observe_rules()[1] != fingerprint


def test_parameters_of_interfaces_that_are_missing_wait_for_our_bridges_only(
    commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "PARAMETERS", str(tmp_path))
    monkeypatch.setattr(handlers, "WAIT_SECONDS", 0)
    for interface in ("eth0", "microvm0"):
        (tmp_path / "net/ipv4/conf" / interface).mkdir(parents=True)
        (tmp_path / "net/ipv4/conf" / interface / "forwarding").write_text("0")
    # This kernel has no IPv6.
    paths = ("net/ipv4/conf/eth0/forwarding", "net/ipv4/conf/wan0/forwarding", "net/ipv6/conf/microvm0/disable_ipv6")
    settings = "".join(f"{path} = 1\n" for path in (*paths, "net/ipv4/conf/microvm0/forwarding"))
    files = {"settings": settings, BRIDGE_FILE: ""}
    assert carry_out(Step(Action.APPLY_SETTINGS, "settings"), files=files) is None
    for interface in ("eth0", "microvm0"):
        assert (tmp_path / "net/ipv4/conf" / interface / "forwarding").read_text() == "1"
    assert not (tmp_path / "net/ipv4/conf/wan0").exists()
    (tmp_path / "net/ipv4/conf/microvm0/forwarding").unlink()
    # A parameter that a later kernel has is not waited for.
    assert carry_out(Step(Action.APPLY_SETTINGS, "settings"), files=files) is None
    (tmp_path / "net/ipv4/conf/microvm0").rmdir()
    error = carry_out(Step(Action.APPLY_SETTINGS, "settings"), files=files)
    assert error is not None and "conf/microvm0 does not exist after 0 s" in error


def test_taps_are_admitted_while_nobody_loads_rules(
    commands: list[str], taps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_while_locked(argv: list[str]) -> None:
        with pytest.raises(BlockingIOError):
            lock_directory(taps)
        commands.append(argv[0])

    def lock_directory(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)

    monkeypatch.setattr(handlers, "run", run_while_locked)
    assert carry_out(Step(Action.ADMIT, "mv-a")) is None
    assert commands == ["nft"]
    lock_directory(taps)


def test_names_are_of_guests_whose_taps_are_there(taps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"microvm0/mv-a": "10.66.1.7 web\n", "microvm0/mv-gone": "10.66.1.8 db\n"}
    seen: list[str] = []

    def rename(aside: str, path: str) -> None:
        seen.append(os.path.basename(aside))
        os.rename(aside, path)

    monkeypatch.setattr(os, "replace", rename)
    assert carry_out(*[Step(Action.NAME_GUEST, path) for path in names], names=names) is None
    directory = taps / "names" / "microvm0"
    assert [(path.name, path.read_text()) for path in directory.iterdir()] == [("mv-a", "10.66.1.7 web\n")]
    assert seen == [".mv-a.partial"], "the server reads files whose names do not begin with a dot"
    assert carry_out(Step(Action.FORGET_GUEST, "microvm0/mv-a"), Step(Action.FORGET_GUEST, "microvm0/mv-a")) is None
    assert list(directory.iterdir()) == []


@pytest.fixture
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of the leases of DHCP servers."""
    directory = tmp_path / "leases"
    directory.mkdir()
    for module in (handlers, observe):
        monkeypatch.setattr(module, "LEASES", str(directory))
    return directory


def test_leases_of_a_network_that_goes_are_forgotten_and_no_others(leases: Path) -> None:
    for name in ("microvm0", "eth0"):
        (leases / name).write_text("{}")
    assert carry_out(Step(Action.FORGET_LEASES, "microvm0"), Step(Action.FORGET_LEASES, "gone0")) is None
    assert [path.name for path in leases.iterdir()] == ["eth0"]


def test_a_server_forgets_former_leases_and_keeps_those_that_guests_use(leases: Path) -> None:
    static = {"mac": "02:00:00:00:00:0A", "address": "10.66.1.20"}
    network = {"name": "microvm0", "address": "10.66.1.1/24", "dhcp_server": {}, "leases": [static]}
    files = dict(configuration(parse_networks([network])))
    former = {"ClientId": [1, 2, 0, 0, 0, 0, 10], "Address": [10, 66, 1, 21], "ExpirationUSec": 2**64 - 1}
    pooled = {"ClientId": [255, 1], "Address": [10, 66, 1, 100], "ExpirationUSec": 2**64 - 1, "Hostname": "ü"}
    path = leases / "microvm0"
    forget = Step(Action.FORGET_LEASES, "microvm0")
    path.write_text(json.dumps({"BootID": "0", "Leases": [former, pooled], "More": 1}))
    assert carry_out(forget, files=files) is None
    assert json.loads(path.read_text()) == {"BootID": "0", "Leases": [pooled], "More": 1}
    assert path.stat().st_mode & 0o777 == 0o644
    # What is not understood may be of guests that run.
    for text in ("[]", json.dumps({"Leases": [former, {}]})):
        path.write_text(text)
        assert carry_out(forget, files=files) is None
        assert path.read_text() == text
    path.write_text(json.dumps({"Leases": [former]}))
    for _attempt in range(2):
        assert carry_out(forget, files=files) is None
        assert [*leases.iterdir()] == []


def test_a_server_of_names_goes_with_what_it_has_read(
    taps: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = tmp_path / "configuration" / "names"
    monkeypatch.setattr(handlers, "NAMES_SETTINGS_DIRECTORY", str(settings))
    settings.mkdir(parents=True)
    (settings / "a-b.conf").write_text("")
    (taps / "names" / "a-b").mkdir(parents=True)
    (taps / "names" / "a-b" / "mv-a").write_text("10.66.1.7 web\n")
    unit = "microvm-fleet-names-a-b.service"
    assert carry_out(Step(Action.STOP_NAMES, unit), Step(Action.REMOVE, str(settings / "a-b.conf"))) is None
    assert commands == [f"systemctl disable --now --quiet {unit}", f"systemctl reset-failed -- {unit}*"]
    assert not (taps / "names").exists()
    assert not (tmp_path / "configuration").exists()
