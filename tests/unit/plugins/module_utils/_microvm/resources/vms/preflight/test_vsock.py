# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Context identifiers that guests of somebody else have are refused before a MicroVM starts."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import vsock
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.vsock import (
    check_context_identifiers,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .placed import USER, placed

STARTED = {**USER, "vsock": {"cid": 1042}}


def observed(state: str) -> dict[str, Observed]:
    """Return a MicroVM of the host that has the same context identifier, and has another name."""
    ((_path, declared),) = placed({**STARTED, "name": "former"})
    return {"former": Observed(name="former", booted_declared=declared, unit=Unit(active_state=state))}


def test_an_identifier_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vsock, "is_in_use", lambda context: context == 1042)
    other = {**USER, "name": "other", "vsock": {"cid": 7}}
    with pytest.raises(DeclarationError, match="by a guest that is no MicroVM") as why:
        check_context_identifiers(placed(other, STARTED), observed("inactive"))
    assert why.value.path == "vms[1].vsock.cid"
    check_context_identifiers(placed(other, STARTED), observed("active"))


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
