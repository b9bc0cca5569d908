# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations in files are applied by the command. The hypervisor is a fake QEMU."""

from __future__ import annotations

import json

import pytest

from .host import Host

FILE = "/root/site.json"

pytestmark = pytest.mark.usefixtures("fake_qemu")


def declare(host: Host, **options: object) -> None:
    """Write a file on the host that declares one MicroVM with these options."""
    declaration = {
        "name": "db",
        "kernel": "/srv/kernel",
        "accel": "tcg",
        "ready": {"check": "none"},
        "stop_timeout": 1,
        **options,
    }
    host.send("/root", {"site.json": json.dumps({"microvm_vms": [declaration]})})
    host.send("/srv", {"kernel": "no kernel"})


@pytest.fixture
def db(host: Host, fake_qemu: None) -> str:
    """Running MicroVM of a declaration."""
    declare(host)
    applied = host.microvm(f"apply {FILE}")
    assert "db: changed, generation 1" in applied and "systemctl start microvm@db.service" in applied
    return "db"


def test_a_check_shows_changes_and_makes_none(host: Host) -> None:
    declare(host)
    assert "would be changed" in host.microvm(f"apply {FILE} --check --diff")
    assert "there is no MicroVM" in host.microvm("info db", 1)


def test_what_is_as_declared_is_left_unchanged(host: Host, db: str) -> None:
    assert host.microvm(f"apply {FILE}") == f"{db}: unchanged, generation 1\n"


def test_a_change_is_shown_with_its_consequence_and_may_wait_for_it(host: Host, db: str) -> None:
    declare(host, mem="300M")
    checked = host.microvm(f"apply {FILE} {db} --check --diff")
    assert "changes: mem (restart)" in checked and "for the guest: restart" in checked
    assert "a restart is pending" in host.microvm(f"update {db} --file {FILE}")
    assert host.info(db)["restart_pending"] and host.microvm("list", 2)
    assert "systemctl restart" in host.microvm(f"update {db} -R --file {FILE}")


def test_a_declared_generation_that_is_marked_bad_is_not_installed_again(host: Host, db: str) -> None:
    declare(host, mem="300M")
    host.microvm(f"apply {FILE}")
    assert "rolled back to generation 1" in host.microvm(f"rollback {db}")
    assert "is marked bad and not installed" in host.microvm(f"apply {FILE}", 1)
    assert host.info(db)["generation"] == 1


def test_microvms_exchange_their_interfaces_in_one_run(host: Host) -> None:
    fixed = {"kernel": "/etc/hostname", "accel": "tcg", "socket": None, "ready": {"check": "none"}, "stop_timeout": 1}
    interfaces = {"db": "tap-one", "web": "tap-two"}
    for names in (interfaces, {"db": "tap-two", "web": "tap-one"}):
        vms = [{"name": name, "interfaces": [{"id": names[name]}], **fixed} for name in names]
        host.send("/root", {"site.json": json.dumps({"microvm_vms": vms})})
        host.microvm(f"apply {FILE}")
        host.run("ip link show tap-one && ip link show tap-two")
        assert "would be changed" not in host.microvm(f"apply {FILE} --check")
    host.wait_for_states({"microvm@db": "active", "microvm@web": "active"}, 1)
    ends, starts = (
        [int(word) for word in host.run(f"systemctl show -P {moment} microvm@db microvm@web").split()]
        for moment in ("InactiveEnterTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    )
    assert len(ends) == len(starts) == 2 and max(ends) < min(starts)


def test_wrong_names_are_refused_with_their_place(host: Host, db: str) -> None:
    assert "does not declare other" in host.microvm(f"apply {FILE} other", 1)
    declare(host, memory=3)
    assert "microvm_vms[0] (db).memory" in host.microvm(f"apply {FILE}", 1)


@pytest.mark.usefixtures("db")
def test_a_microvm_that_is_declared_absent_is_stopped_and_removed(host: Host) -> None:
    declare(host, state="absent")
    assert "systemctl stop" in host.microvm(f"apply {FILE}")
    assert "there are no MicroVMs" in host.microvm("list")
