# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nix itself reads configurations, and says what is wrong with them."""

from __future__ import annotations

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError

from ..real_nix import RealNix, real_nix

__all__ = ["real_nix"]


def test_nix_itself_says_what_is_wrong_with_settings(real_nix: RealNix, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the host and its users have configured is nothing that was asked for.
    (real_nix.root / "conf/nix.conf").write_text("of-the-host = 1\n")
    (real_nix.root / "config/nix").mkdir()
    (real_nix.root / "config/nix/nix.conf").write_text("of-a-user = 1\n")
    monkeypatch.setenv("NIX_CONFIG", "of-the-environment = 1")
    text = "extra-experimental-features = nix-command flakes\nmax-jobs = 2\n"
    assert nix.configuration_warnings(text) == []
    assert nix.configuration_warnings(f"{text}no-setting = 3\n") == ["unknown setting 'no-setting'"]
    assert nix.configuration_warnings("experimental-features = none-such\n") == [
        "unknown experimental feature 'none-such'"
    ]
    with pytest.raises(HostError, match=r"^configuration setting 'max-jobs' should be"):
        nix.configuration_warnings("max-jobs = many\n")
