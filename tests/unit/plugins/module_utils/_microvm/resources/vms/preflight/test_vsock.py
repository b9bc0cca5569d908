# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Context identifiers that guests of somebody else have are refused before a MicroVM starts."""

from __future__ import annotations

import errno
import fcntl
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import BOOTED_LINK
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd, vsock
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.vsock import (
    check_context_identifiers,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.package import CONTEXT_IDENTIFIER_FILE
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .placed import USER, placed

STARTED = {**USER, "vsock": {"cid": 1042}}
OTHER = {**USER, "name": "other", "vsock": {"cid": 7}}


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Places:
    """A host on which MicroVM ``former`` runs, with an identifier that its package alone says."""
    booted = tmp_path / "former" / BOOTED_LINK
    fact = booted / CONTEXT_IDENTIFIER_FILE
    fact.parent.mkdir(parents=True)
    fact.write_text("1042\n")
    running = {"microvm@former.service": Unit(active_state="active")}
    monkeypatch.setattr(systemd, "show", lambda names: {name: running.get(name, Unit()) for name in names})
    monkeypatch.setattr(vsock, "is_in_use", lambda context: context == 1042)
    return Places(str(tmp_path))


def refuse(places: Places, words: str, observed: dict[str, Observed]) -> None:
    with pytest.raises(DeclarationError, match=words) as why:
        check_context_identifiers(placed(OTHER, STARTED), observed, places)
    assert why.value.path == "vms[1].vsock.cid"


def test_an_identifier_of_another_guest_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(places, "that is the MicroVM 'former', which this run leaves", {})
    check_context_identifiers(placed(OTHER), {}, places)
    former = {"former": Observed(name="former")}
    check_context_identifiers(placed(OTHER, STARTED), former, places)
    check_context_identifiers(placed(OTHER, {**STARTED, "renamed_from": "former"}), {}, places)
    check_context_identifiers(placed(OTHER, {**STARTED, "name": "former"}), {}, places)
    monkeypatch.setattr(systemd, "show", lambda names: {name: Unit(active_state="inactive") for name in names})
    refuse(places, "by a guest that is no MicroVM", former)
    refuse(Places("/nonexistent"), "by a guest that is no MicroVM", former)


def test_a_guest_whose_package_is_damaged_has_its_own_identifier(places: Places) -> None:
    own = Observed(name="one", booted="0-one", unit=Unit(active_state="active"))
    damaged = replace(own, damaged_packages=frozenset(("0-one",)))
    check_context_identifiers(placed(OTHER, STARTED), {"one": damaged}, Places("/nonexistent"))
    for other in (own, replace(damaged, unit=Unit(active_state="inactive")), replace(damaged, name="other")):
        refuse(Places("/nonexistent"), "no MicroVM of this collection", {other.name: other})


@pytest.mark.parametrize(
    ("number", "is_in_use"), [(None, False), (errno.EADDRINUSE, True), (errno.EINVAL, False), (errno.ENOTTY, False)]
)
def test_the_kernel_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int | None, is_in_use: bool
) -> None:
    device = tmp_path / "vhost-vsock"
    monkeypatch.setattr(vsock, "DEVICE", str(device))
    assert not vsock.is_in_use(7), "a host without the device"
    device.touch()

    def answer(_file: int, request: int, content: bytes) -> int:
        assert request == 0x4008AF60 and content == (7).to_bytes(8, "little")
        if number is not None:
            raise OSError(number, "")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", answer)
    assert vsock.is_in_use(7) == is_in_use
