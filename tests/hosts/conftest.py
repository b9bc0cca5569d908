# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host of all tests; each test begins and ends without MicroVMs, so each can run alone and in any order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from testbed import requirements, vm
from testbed.commands import BedError

from .fleet import FLEET, Fleet
from .host import Host
from .packages import FAKE_QEMU, echoing

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory: it needs root and a host."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.testbed)


def _bed_name(*suffixes: str) -> str:
    # Two runs of the tests on one machine need two names, since beds of one name are one bed.
    names = (os.environ.get("TEST_BED", "hosts"), os.environ.get("PYTEST_XDIST_WORKER"), *suffixes)
    return "-".join(filter(None, names))


@pytest.fixture(scope="session", name="session_host")
def _session_host() -> Iterator[Host]:
    host = Host(_bed_name())
    try:
        host.up()
        yield host
    finally:
        host.down()


@pytest.fixture(scope="session")
def vm_host() -> Iterator[Host]:
    """Virtual machine with a kernel, devices and a KVM of its own, where no role has been yet."""
    try:
        requirements.check()
        vm.check(vm.SUITE)
    except BedError as error:
        pytest.skip(str(error))
    host = Host(_bed_name("vm"), "vm")
    try:
        host.boot()
        yield host
    finally:
        host.down()


@pytest.fixture
def host(session_host: Host) -> Iterator[Host]:
    """Host without MicroVMs; those that the test has created must stop without a trace."""
    session_host.begin_journal()
    try:
        yield session_host
        session_host.stop_microvms()
        assert session_host.traces() == ""
    finally:
        session_host.remove_microvms()


@pytest.fixture
def fake_qemu(host: Host) -> Iterator[None]:
    """Fake QEMU that has a version and no guest."""
    host.send("/usr/local/bin", {"qemu-system-x86_64": FAKE_QEMU})
    yield
    host.run("rm /usr/local/bin/qemu-system-x86_64")


@pytest.fixture
def web(host: Host) -> str:
    """Running MicroVM of an external package whose guest echoes."""
    host.send("/root/one", echoing("one"))
    host.microvm("create web --package /root/one")
    host.microvm("start web")
    return "web"


@pytest.fixture
def fleet(host: Host, fake_qemu: None) -> Fleet:
    """Ten running MicroVMs."""
    fleet = Fleet(host)
    fleet.apply(FLEET)
    fleet.assert_whole()
    return fleet
