# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restrictions are the first that a run looks at, in preflight and check mode too."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.restrictions.parse import (
    parse_restrictions,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import restrictions
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.adopt import adopt
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import SMALL

CLOSED = parse_restrictions({})


@pytest.mark.parametrize(("preflight", "check_mode"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("path", ["vms", ""])
def test_a_run_is_refused_before_it_looks_at_the_host(
    preflight: bool, check_mode: bool, path: str, tmp_path: Path
) -> None:
    request = Request(
        vms=[{**SMALL, "pre_start": "id", "kernel": "/absent"}],
        state_dir=str(tmp_path / "state"),
        preflight=preflight,
        check_mode=check_mode,
        restrictions=CLOSED,
        path=path,
    )
    with pytest.raises(DeclarationError) as error:
        reconcile(request)
    assert error.value.path == ("vms[0].pre_start" if path else "pre_start")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("link", ["share", "share/microvm", "share/microvm/systemd"])
def test_what_is_filtered_is_no_link(link: str, tmp_path: Path) -> None:
    """Whoever has made the package could change what the link leads to after the package has been accepted."""
    script = tmp_path / "package" / "bin" / "microvm-run"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    place = tmp_path / "package" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to("/tmp/elsewhere")
    with pytest.raises(HostError, match=f"{link} of the package is not a directory"):
        adopt("web", str(tmp_path / "package"), Places(str(tmp_path / "state")), check=True)


@pytest.mark.parametrize("check", [False, True])
def test_no_external_package_is_read(check: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(restrictions, "read", lambda: CLOSED)
    with pytest.raises(HostError, match="external_packages"):
        adopt("web", str(tmp_path / "absent"), Places(str(tmp_path / "state")), check=check)
    assert not (tmp_path / "state").exists()
