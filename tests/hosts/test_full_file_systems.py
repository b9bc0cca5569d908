# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Full and read-only file systems: the command reports the reason, and the next run completes the change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .fleet import FLEET, Fleet
from .host import Host
from .paths import FLEET as FLEET_DIRECTORY
from .paths import STATE


def assert_refused(host: Host, file: str, reason: str) -> None:
    """Assert that declarations are refused with these words."""
    refused = host.run(f"microvm apply {file} && echo applied || echo refused")
    assert refused.endswith("refused\n")
    assert reason in refused
    assert "Traceback" not in refused


@pytest.fixture
def full_stores(host: Host, fleet: Fleet) -> Iterator[str]:
    """Mount a small file system for the stores, and return the path of the file that fills it."""
    small, filler = "/root/small", f"{FLEET_DIRECTORY}/filler"
    host.run(f"mkdir {small}; mount -t tmpfs -o size=8m none {small}; cp -a {FLEET_DIRECTORY}/. {small}")
    host.run(f"mount --bind {small} {FLEET_DIRECTORY}; dd if=/dev/zero of={filler} bs=4k || true")
    yield filler
    host.run(f"umount {FLEET_DIRECTORY}; rm -rf {FLEET_DIRECTORY}/*; cp -a {small}/. {FLEET_DIRECTORY}; umount {small}")
    host.run(f"rmdir {small}")
    fleet.assert_whole()


def test_a_full_disk_is_refused_and_the_next_run_completes_it(host: Host, fleet: Fleet, full_stores: str) -> None:
    file = fleet.declare("more.yml", [{**vm, "mem": 99} for vm in FLEET])
    assert_refused(host, file, "No space left")
    fleet.assert_whole()
    host.run(f"rm {full_stores}; microvm apply {file}")
    fleet.assert_unchanged(file)


@pytest.fixture
def read_only_states(host: Host, fleet: Fleet) -> Iterator[None]:
    """Make the state directories read-only."""
    host.run(f"mount --bind {STATE} {STATE}; mount -o remount,ro,bind {STATE}")
    yield
    host.run(f"! mountpoint -q {STATE} || umount {STATE}")


@pytest.mark.usefixtures("read_only_states")
def test_a_read_only_state_directory_is_refused_and_the_next_run_completes_it(host: Host, fleet: Fleet) -> None:
    file = fleet.declare("again.yml", [{**vm, "mem": 98} for vm in FLEET])
    assert_refused(host, file, "Read-only")
    host.run(f"umount {STATE}")
    fleet.assert_whole()
    host.run(f"microvm apply {file}")
    fleet.assert_unchanged(file)
