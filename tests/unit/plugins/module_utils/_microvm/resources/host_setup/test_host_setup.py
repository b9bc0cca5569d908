# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The setup of a host: steps for each state, and that every interrupted run is completed by the next one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import ROOT, Account, User
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup import handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.files import (
    KERNEL_MODULES,
    KSM,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.state import (
    OBSOLETE,
    Wanted,
    prepared,
    unprepared,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .host import TARGET_FILE, Host, setup

PREPARED = prepared(setup())
UNIT = f"{names.UNIT_DIRECTORY}/{names.unit_name('')}"
RELOAD = "systemctl daemon-reload for the units of MicroVMs"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host that has nothing yet."""
    fresh = Host(tmp_path)
    fresh.install(monkeypatch)
    return fresh


def actions(host: Host, wanted: Wanted) -> list[str]:
    """The steps of a plan, as they read."""
    return [str(step) for step in host.plan(wanted).steps]


def test_a_fresh_host_is_prepared(host: Host) -> None:
    steps = actions(host, PREPARED)
    assert steps[:4] == [
        "create group microvm",
        "create group kvm",
        "create user microvm",
        f"create directory {names.STATE_DIRECTORY}",
    ]
    assert f"write {UNIT}" in steps
    assert steps[-6:] == [
        f"systemctl enable {names.TARGET}",
        RELOAD,
        *(f"load kernel module {module.name}" for module in KERNEL_MODULES),
        f"systemctl start {names.TARGET}",
    ]
    host.carry_out(PREPARED)
    assert host.users == {"microvm": User("microvm", names.STATE_DIRECTORY, other_groups=("kvm",))}
    assert host.owners[names.STATE_DIRECTORY] == ROOT
    assert host.path(f"{names.SCRIPT_DIRECTORY}/microvm-start").stat().st_mode & 0o777 == 0o755
    assert host.read == host.units() and host.active and host.enabled


def test_a_prepared_host_has_nothing_to_do(host: Host) -> None:
    host.carry_out(PREPARED)
    assert actions(host, PREPARED) == []


WANTED: dict[str, Wanted] = {
    "not prepared": unprepared(setup(ksm=True)),
    "prepared": PREPARED,
    "merging pages": prepared(setup(ksm=True)),
    "elsewhere": prepared(setup(state_dir="/srv/microvms", boot_parallel=1)),
}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("not prepared", "merging pages"),
        ("prepared", "elsewhere"),
        ("merging pages", "prepared"),
        ("merging pages", "not prepared"),
        ("elsewhere", "not prepared"),
    ],
)
def test_a_run_that_is_killed_at_any_step_is_completed_by_the_next(
    before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fresh(name: str) -> Host:
        host = Host(tmp_path / name)
        host.install(monkeypatch)
        host.carry_out(WANTED[before])
        return host

    complete = fresh("complete")
    total = len(complete.carry_out(WANTED[after]).steps)
    for steps in range(total):
        host = fresh(str(steps))
        host.carry_out(WANTED[after], steps)
        host.carry_out(WANTED[after])
        assert actions(host, WANTED[after]) == [], f"killed after {steps} of {total} steps"
        assert host.listing() == complete.listing()
        assert (host.enabled, host.active, host.users) == (complete.enabled, complete.active, complete.users)
        assert host.read == host.units(), f"systemd has not read its units, killed after {steps} of {total} steps"
        assert host.content(KSM) == complete.content(KSM)


def _lose_unit(host: Host) -> None:
    host.path(UNIT).unlink()


def _edit_unit(host: Host) -> None:
    host.write(UNIT, "[Unit]\n")


def _open_script(host: Host) -> None:
    host.path(f"{names.SCRIPT_DIRECTORY}/microvm-stop").chmod(0o777)


def _give_script_away(host: Host) -> None:
    host.owners[f"{names.SCRIPT_DIRECTORY}/microvm-stop"] = Account("microvm", "kvm")


def _open_directory(host: Host) -> None:
    host.path(names.STATE_DIRECTORY).chmod(0o775)


def _move_user(host: Host) -> None:
    host.users["microvm"] = User("kvm", "/home/microvm", "/bin/sh")


def _stop_target(host: Host) -> None:
    host.active = False


def _disable_target(host: Host) -> None:
    host.enabled = False


def _leave_files_unread(host: Host) -> None:
    host.read = {**host.read, names.TARGET: ""}


def _restore_old_files(host: Host) -> None:
    for path in OBSOLETE:
        host.write(path, "")


def _unload_module(host: Host) -> None:
    # The node stays: udev made it before the module was loaded for the first time.
    host.path(KERNEL_MODULES[0].registration).unlink()


def _lose_device(host: Host) -> None:
    host.path(KERNEL_MODULES[0].device).unlink()


@pytest.mark.parametrize(
    ("damage", "steps"),
    [
        (_lose_unit, [f"write {UNIT}", RELOAD]),
        (_edit_unit, [f"write {UNIT}", RELOAD]),
        (_open_script, [f"write {names.SCRIPT_DIRECTORY}/microvm-stop"]),
        (_give_script_away, [f"write {names.SCRIPT_DIRECTORY}/microvm-stop"]),
        (_open_directory, [f"change owner and mode of directory {names.STATE_DIRECTORY}"]),
        (_move_user, ["change groups, home and shell of user microvm"]),
        (_stop_target, [RELOAD, f"systemctl start {names.TARGET}"]),
        (_disable_target, [f"systemctl enable {names.TARGET}", RELOAD]),
        (_leave_files_unread, [RELOAD]),
        (
            _restore_old_files,
            ["systemctl reset-failed microvm-turn@*.service", *(f"remove obsolete {path}" for path in OBSOLETE)],
        ),
        (_unload_module, ["load kernel module tun"]),
        (_lose_device, ["load kernel module tun"]),
    ],
)
def test_what_somebody_has_changed_is_mended(host: Host, damage: Callable[[Host], None], steps: list[str]) -> None:
    host.carry_out(PREPARED)
    damage(host)
    assert actions(host, PREPARED) == steps
    host.owners.clear()
    host.owners[names.STATE_DIRECTORY] = Account("root", "kvm")
    host.carry_out(PREPARED)
    assert actions(host, PREPARED) == []


def test_merging_of_pages_is_switched_with_its_settings(host: Host) -> None:
    merging = prepared(setup(ksm=True))
    host.carry_out(merging)
    assert host.content(KSM) == "1\n"
    assert host.content(names.KSM_SETTINGS).endswith(f"w {KSM} - - - - 1\n")
    assert actions(host, PREPARED) == [f"unmerge pages by {KSM}", f"remove {names.KSM_SETTINGS}"]
    host.carry_out(PREPARED)
    assert host.content(KSM) == "2\n"


def test_merging_of_pages_that_somebody_else_has_switched_on_stays(host: Host) -> None:
    host.write(KSM, "1\n")
    host.carry_out(PREPARED)
    assert host.content(KSM) == "1\n"
    assert actions(host, prepared(setup(ksm=True))) == [f"write {names.KSM_SETTINGS}"]


POOL = "/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages"
SMALL, LARGE = POOL.format(2048), POOL.format(1048576)


def pages(**counts: int) -> Wanted:
    """Return the setup with huge pages: `two` of 2M, `one` of 1G."""
    sizes = {"two": "2M", "one": "1G"}
    return prepared(setup(huge_pages=[{"size": sizes[key], "count": count} for key, count in counts.items()]))


def test_huge_pages_are_set_aside_and_given_back(host: Host) -> None:
    for path in (SMALL, LARGE):
        host.write(path, "0\n")
    host.carry_out(PREPARED)
    both = pages(two=300, one=1)
    assert actions(host, both) == [
        f"write {names.HUGE_PAGES_SETTINGS}",
        f"set huge pages aside by {SMALL}",
        f"set huge pages aside by {LARGE}",
    ]
    assert host.carry_out(both).unloaded == []
    assert (host.content(SMALL), host.content(LARGE)) == ("300\n", "1\n")
    settings = host.content(names.HUGE_PAGES_SETTINGS)
    assert settings.endswith(f"w {SMALL} - - - - 300\nw {LARGE} - - - - 1\n")
    assert actions(host, both) == []
    assert actions(host, pages(two=300)) == [f"give huge pages back by {LARGE}", f"write {names.HUGE_PAGES_SETTINGS}"]
    host.carry_out(pages(two=300))
    assert actions(host, PREPARED) == [f"give huge pages back by {SMALL}", f"remove {names.HUGE_PAGES_SETTINGS}"]
    host.carry_out(PREPARED)
    assert (host.content(SMALL), host.content(LARGE)) == ("0\n", "0\n")


def test_huge_pages_that_somebody_else_has_set_aside_stay(host: Host) -> None:
    host.write(SMALL, "64\n")
    host.write(LARGE, "0\n")
    host.carry_out(pages(one=2))
    assert host.content(SMALL) == "64\n"
    host.carry_out(unprepared(setup()))
    assert (host.content(SMALL), host.content(LARGE)) == ("64\n", "0\n")


@pytest.mark.parametrize("declared", [300, 64, 10])
def test_huge_pages_that_there_were_before_are_there_afterwards(host: Host, declared: int) -> None:
    host.write(SMALL, "64\n")
    host.write(LARGE, "0\n")
    wanted = pages(two=declared)
    host.carry_out(wanted)
    assert host.content(SMALL) == f"{declared}\n"
    assert actions(host, wanted) == []
    # The number that there was before the first of them.
    host.carry_out(pages(two=declared + 1, one=1))
    host.carry_out(pages(one=1))
    assert (host.content(SMALL), host.content(LARGE)) == ("64\n", "1\n")
    host.carry_out(wanted)
    host.carry_out(unprepared(setup()))
    assert (host.content(SMALL), host.content(LARGE)) == ("64\n", "0\n")


def test_huge_pages_that_the_kernel_does_not_find_are_reported(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.write(SMALL, "0\n")
    monkeypatch.setattr(handlers, "_write_number", lambda job, path, _number: host.write(path, "250\n"))
    [problem] = host.carry_out(pages(two=300)).unloaded
    assert problem.startswith("only 250 of 300 huge pages of 2048 KiB could be set aside")


def test_a_processor_without_pages_of_a_size_is_reported(host: Host) -> None:
    host.write(SMALL, "0\n")
    planned = host.plan(pages(two=1, one=1))
    assert planned.missing == ("the kernel has no huge pages of 1048576 KiB on this processor; none are set aside",)


def test_huge_pages_leave_memory_to_the_host(host: Host) -> None:
    host.write(SMALL, "0\n")
    host.write("/proc/meminfo", "MemTotal:        1048576 kB\n")
    assert host.plan(pages(two=384)).steps
    with pytest.raises(DeclarationError, match="770 MiB of huge pages leave less than 256 MiB of the 1024 MiB"):
        host.plan(pages(two=385))


def test_sizes_of_huge_pages_are_listed_once() -> None:
    with pytest.raises(DeclarationError, match="2M is listed twice") as refusal:
        setup(huge_pages=[{"size": "2M", "count": 1}, {"size": "2M", "count": 2}])
    assert refusal.value.path == "huge_pages[1].size"


def test_a_kernel_without_the_features_is_reported(host: Host) -> None:
    host.loadable = {"tun"}
    host.path(KSM).unlink()
    planned = host.plan(prepared(setup(ksm=True)))
    assert planned.missing == (
        "kernel module vhost_net is missing; vhost for tap interfaces will not work",
        "kernel module vhost_vsock is missing; vsock will not work",
        "the kernel does not support merging of identical pages (KSM)",
    )
    assert "load kernel module tun" in [str(step) for step in planned.steps]


def test_modules_are_where_the_kernel_registers_their_devices() -> None:
    # Names below /sys/class/misc, as the drivers of Linux 6.12 have them.
    assert [module.registration for module in KERNEL_MODULES] == [
        "/sys/class/misc/tun",
        "/sys/class/misc/vhost-net",
        "/sys/class/misc/vhost-vsock",
    ]


def test_a_kernel_module_that_cannot_be_loaded_is_reported_and_the_rest_is_done(host: Host) -> None:
    host.refused = {"vhost_net"}
    job = host.carry_out(PREPARED)
    assert job.unloaded == [
        "kernel module vhost_net could not be loaded; vhost for tap interfaces will not work: Operation not permitted"
    ]
    assert host.active


def test_everything_but_volumes_is_taken_away(host: Host) -> None:
    host.carry_out(prepared(setup(ksm=True)))
    _restore_old_files(host)
    host.slices = ["system-microvm.slice"]
    for path in (names.COMMAND, f"{names.PACKAGE_STORE}/abc-web/bin/microvm-run", f"{names.RECORD_DIRECTORY}/web.json"):
        host.write(path, "")
    volume = f"{names.STATE_DIRECTORY}/web/root.img"
    host.write(volume, "")
    host.carry_out(unprepared(setup()))
    assert host.listing() == [volume]
    assert (host.enabled, host.active, host.slices, host.users) == (False, False, [], {})
    assert not host.path(names.FLEET_DIRECTORY).exists() and not host.path(names.CONFIGURATION_DIRECTORY).exists()
    assert actions(host, unprepared(setup())) == []


def test_what_is_somebody_elses_stays(host: Host) -> None:
    host.carry_out(PREPARED)
    host.files_of_user = True
    others = [f"{names.SCRIPT_DIRECTORY}/own-script", f"{names.FLEET_DIRECTORY}/archive/web/root.img"]
    for path in others:
        host.write(path, "")
    kept = [reason.partition(":")[0] for reason in host.plan(unprepared(setup())).kept]
    assert kept == [names.SCRIPT_DIRECTORY, names.ARCHIVE_DIRECTORY, names.FLEET_DIRECTORY, "user microvm"]
    host.carry_out(unprepared(setup()))
    assert host.listing() == sorted(others)
    assert host.users == {"microvm": User("microvm", names.STATE_DIRECTORY, other_groups=("kvm",))}


def test_files_of_the_host_are_whose_they_were(host: Host) -> None:
    host.carry_out(PREPARED)
    modes = {path: host.path(path).stat().st_mode & 0o777 for path in host.owners}
    assert modes == {
        names.STATE_DIRECTORY: 0o755,
        names.SCRIPT_DIRECTORY: 0o755,
        names.CONFIGURATION_DIRECTORY: 0o755,
        names.SETTINGS_DIRECTORY: 0o711,
        names.FLEET_DIRECTORY: 0o755,
        names.PACKAGE_STORE: 0o711,
        names.RECORD_DIRECTORY: 0o700,
        names.ARCHIVE_DIRECTORY: 0o700,
        names.HOST_KEY_DIRECTORY: 0o700,
        names.SSH_DIRECTORY: 0o700,
    }
    assert host.owners[names.SCRIPT_DIRECTORY] == ROOT
    assert host.path(TARGET_FILE).stat().st_mode & 0o777 == 0o644


def test_the_key_of_a_host_is_created_once_and_goes_with_the_setup(host: Host) -> None:
    host.carry_out(PREPARED)
    assert host.listing().count(names.SSH_KEY) == host.listing().count(names.SSH_PUBLIC_KEY) == 1
    host.write(names.SSH_KEY, "the same")
    host.carry_out(prepared(setup(ksm=True)))
    assert host.content(names.SSH_KEY) == "the same"
    host.carry_out(unprepared(setup()))
    assert not host.path(names.SSH_DIRECTORY).exists()


def test_a_key_that_was_not_finished_is_created_again(host: Host) -> None:
    host.write(names.SSH_PUBLIC_KEY, "old")
    host.write(f"{names.SSH_KEY}.partial", "old")
    host.carry_out(PREPARED)
    assert (host.content(names.SSH_KEY), host.content(names.SSH_PUBLIC_KEY)) == ("key", "key")
    assert not host.path(f"{names.SSH_KEY}.partial").exists()
