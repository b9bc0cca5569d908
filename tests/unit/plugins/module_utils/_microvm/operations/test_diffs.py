# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare what people are shown of a change with what it is."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import diff
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed

from ..examples import SMALL
from ..resources.vms.model import carried_out, want


def test_what_only_new_directories_get_is_not_called_a_volume(tmp_path: Path) -> None:
    share = {"tag": "a", "source": "/srv/a", "proto": "virtiofs"}
    first = want({**SMALL, "shares": [share]})
    fresh = Observed("small", state_directory=str(tmp_path), has_account=False)
    before = carried_out(fresh, first, plan(fresh, first, ""))
    wanted = want({**SMALL, "shares": [{**share, "source_mode": "0700"}]})
    planned = plan(before, wanted, "")
    shown = diff(planned, before, wanted, Places(str(tmp_path)))["after"].splitlines()
    assert "changes: shares[0].source_mode (recreate)" in shown
    assert [line for line in shown if line.startswith("note: ")] == [
        "note: shares[0].source_mode: only what is made anew gets it; what exists stays as it is"
    ]
