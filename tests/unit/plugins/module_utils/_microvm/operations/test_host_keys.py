# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys of guests on a fake host: made with the MicroVM, kept by changes, forgotten by a removal."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import guest_keys
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import roll_back

from ..fake_host import FakeHost
from .test_one_road import actions, run, vm

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
STEP = "make and record the SSH host key of web"


def apply(check: bool = False, **options: Any) -> VmsResult:
    return run(vm(guest={"enable": True, "host_key": True}, **options), check=check)


def key(host: FakeHost, name: str = "web") -> bytes:
    return (host.root / "host-keys" / name).read_bytes()


def test_a_key_is_made_before_the_start_and_survives_changes(host: FakeHost) -> None:
    shown = actions(apply(check=True))
    assert not (host.root / "host-keys").exists()
    taken = actions(apply())
    assert taken == shown and taken.index(STEP) < taken.index("systemctl start microvm@web.service")
    made = key(host)
    assert not apply()["changed"]
    assert STEP not in actions(apply(mem=600)) and key(host) == made


def test_a_key_whose_record_is_lost_is_recorded_again(host: FakeHost) -> None:
    apply()
    made, recorded = key(host), (host.root / "known_hosts").read_text()
    (host.root / "known_hosts").unlink()
    assert STEP in actions(apply())
    assert key(host) == made and (host.root / "known_hosts").read_text() == recorded


def test_a_rename_keeps_the_key(host: FakeHost) -> None:
    apply()
    made = key(host)
    run(vm("site", renamed_from="web", guest={"enable": True, "host_key": True}))
    assert key(host, "site") == made and guest_keys.given_names(["web", "site"]) == {"site"}


def test_a_removal_without_volumes_forgets_the_key(host: FakeHost) -> None:
    apply()
    run({"name": "web", "state": "absent"})
    assert not guest_keys.is_made("web") and (host.root / "known_hosts").read_text() == ""


def test_a_removal_that_leaves_a_volume_keeps_the_key_for_it(host: FakeHost) -> None:
    data = [{"image": "data.img", "size": 8}]
    apply(volumes=data)
    made, recorded = key(host), (host.root / "known_hosts").read_text()
    Path(host.places.work("web", "data.img")).write_text("data")
    run({"name": "web", "state": "absent"})
    assert key(host) == made and (host.root / "known_hosts").read_text() == recorded
    apply(volumes=data)
    assert key(host) == made and (host.root / "known_hosts").read_text() == recorded


def test_a_rollback_keeps_the_key(host: FakeHost) -> None:
    apply()
    made = key(host)
    apply(mem=600)
    assert roll_back("web", None, False, False, False, host.places).steps
    assert key(host) == made and guest_keys.given_names(["web", "site"]) == {"web"}


def test_guests_without_a_given_key_have_no_step(host: FakeHost) -> None:
    assert STEP not in actions(run(vm()))
    assert not (host.root / "host-keys").exists()
