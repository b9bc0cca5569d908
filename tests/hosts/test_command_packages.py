# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs of external packages by the command. The guests of the packages are fakes that echo."""

from __future__ import annotations

import re

import pytest

from . import nix
from .host import Host
from .packages import echoing
from .paths import FLEET, STATE, STORE, UNITS

SECOND = "-microvm-web"
"""End of the path of what Nix builds."""


@pytest.fixture
def updated(host: Host, web: str) -> str:
    """MicroVM whose second generation, by an update from a flake, waits for its restart."""
    nix.install(host)
    flake = nix.write_flake(host, {web: echoing("two")})
    host.run(f"echo {flake} > {STATE}/{web}/flake")
    assert "a restart is pending" in host.microvm(f"update {web}")
    return web


def test_an_external_package_is_installed_and_started(host: Host, web: str) -> None:
    info = host.info(web)
    assert (info["state"], info["generation"], info["restart_pending"], info["foreign"]) == ("active", 1, False, False)
    assert info["booted"] == info["current"] and info["current"].endswith("-web")


def test_a_pending_restart_is_shown_and_ends_with_the_restart(host: Host, updated: str) -> None:
    listed = host.microvm("list", 2)
    assert "pending" in listed.splitlines()[1] and "active" in listed
    assert host.microvm("-l", 2).splitlines()[1].endswith("stale")
    before = host.info(updated)
    assert before["generation"] == 2 and before["current"].endswith(SECOND)
    assert "would be rolled back to generation 1" in host.microvm(f"rollback {updated} --check")
    assert "is up" in host.microvm(f"update -R {updated}")
    after = host.info(updated)
    assert after["process"] != before["process"] and not after["restart_pending"]
    assert host.microvm("list --evaluate").splitlines()[1].endswith("current")


def test_a_rebuild_brings_a_guest_that_cannot_be_switched_up_to_date(host: Host, updated: str) -> None:
    nix.write_flake(host, {updated: echoing("three")})
    listed = host.microvm("-l", 2)
    assert "outdated (microvm-web), rebuild (microvm-web) and restart: " in listed
    assert "microvm -Ru web" in listed
    said = host.microvm(f"rebuild {updated}")
    assert "web cannot be switched: its package has no system" in said and said.endswith("web: is up\n")
    assert host.microvm("-l").splitlines()[1].endswith("current")
    host.run(f"echo 'throw 1' > {nix.FLAKE}/flake.nix")
    assert f"web: path:{nix.FLAKE} does not evaluate: " in host.microvm("-l", 1)
    assert host.info(updated)["state"] == "active"


def test_a_rollback_marks_the_generation_bad_until_it_is_called_good(host: Host, updated: str) -> None:
    host.microvm(f"update -R {updated}")
    assert "rolled back to generation 1" in host.microvm(f"rollback {updated}")
    info = host.info(updated)
    assert (info["generation"], info["bad_generations"], info["state"]) == (1, [2], "active")
    assert "marked bad" in host.microvm(f"rollback {updated} 2", 1)
    assert "marked bad" in host.microvm(f"-u {updated}", 1)
    host.microvm(f"generations {updated} --good 2")
    assert "rolled back to generation 2" in host.microvm(f"rollback {updated} 2")


def test_an_update_from_another_place_with_the_same_content_changes_only_the_record(host: Host, updated: str) -> None:
    host.microvm(f"update -R {updated}")
    host.microvm(f"rollback {updated}")
    line = f"update {updated} --package /root/one"
    assert host.microvm(line) == "web: installed, 1 step\n  forget the flake of web\n"
    assert host.microvm(line) == "web: unchanged\n"
    assert host.info(updated)["generation"] == 1
    assert "no flake is recorded in" in host.microvm(f"update {updated}", 1)
    assert re.search(f"^2       /nix/store/[a-z0-9]*{SECOND}", host.microvm(f"generations {updated}"), re.MULTILINE)


def test_garbage_is_counted_and_then_removed(host: Host, web: str) -> None:
    host.run(f"mkdir {STORE}/.partial-0-{web} {STORE}/00-gone")
    assert "unused entries: 2" in host.microvm("gc --check")
    assert "unused entries: 2" in host.microvm("gc")
    assert "unused entries: 0" in host.microvm("gc")


def test_a_stopped_microvm_has_no_booted_package(host: Host, web: str) -> None:
    assert "is down" in host.microvm(f"stop {web}")
    assert host.info(web)["booted"] is None


def test_a_removal_asks_and_is_refused_where_nobody_can_answer(host: Host, web: str) -> None:
    assert "cannot ask for confirmation" in host.microvm(f"remove {web} </dev/null", 1)
    assert host.info(web)["state"] == "active"


def test_restarts_at_the_same_time_wait_for_each_other(host: Host, web: str) -> None:
    host.run(f"for n in 1 2 3; do microvm restart {web} & done; wait")
    assert host.info(web)["state"] == "active"


def test_garbage_of_a_microvm_that_is_being_changed_is_left_alone(host: Host) -> None:
    await_release = "#!/bin/sh\nuntil [ -e /run/released ]; do sleep 0.1; done\n"
    host.send("/root/slow", {"bin/microvm-run": await_release, "bin/microvm-shutdown": await_release})
    host.microvm("create slow --package /root/slow")
    host.run(f"rm -f /run/released; microvm start slow; mkdir {STORE}/00-slow")
    stopping = "[ $(systemctl show -P ActiveState microvm@slow) = deactivating ]"
    collected = host.run(
        f"microvm stop slow > /root/stopped 2>&1 & until {stopping}; do sleep 0.1; done;"
        "microvm gc; touch /run/released; wait; rm /run/released"
    )
    assert "left in place" in collected and "00-slow" not in collected
    assert "is down" in host.run("cat /root/stopped")
    assert "00-slow" in host.microvm("gc")


def test_foreign_microvms_are_shown_and_left_alone(host: Host) -> None:
    host.send("/root/one", echoing("one"))
    host.run(f"mkdir -p {STATE}/other && ln -s /root/one {STATE}/other/current")
    assert host.info("other")["foreign"] is True
    assert "not installed by this collection" in host.microvm("rollback other", 1)
    assert "was not installed by this collection" in host.microvm("remove other --yes", 1)
    assert "00-other" not in host.microvm("gc")
    host.run(f"test -L {STATE}/other/current")


def test_a_removal_leaves_nothing(host: Host) -> None:
    host.send("/root/one", echoing("one"))
    # The first of all MicroVMs brings the stores, which stay.
    for name in ("first", "brief"):
        before = traces(host)
        host.microvm(f"create {name} --package /root/one")
        host.microvm(f"start {name}")
        host.microvm(f"remove {name} --yes")
    assert traces(host) == before


def traces(host: Host) -> str:
    """Return files, units and accounts of MicroVMs."""
    return host.run(
        f"ls {STATE} {FLEET}/* {UNITS} 2>/dev/null;"
        "systemctl list-units --plain --no-legend 'microvm*@*'; getent passwd | wc -l"
    )
