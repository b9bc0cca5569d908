# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logins to guests that nobody is asked about."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.guest_shell import GuestLogin, run_in_guest

SETTINGS = """\
Host *
  ForwardAgent yes
  ForwardX11 yes
  RemoteForward 9000 localhost:9001
  DynamicForward 9002
"""
"""Settings that root may have for other servers."""


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
def test_root_s_own_settings_of_ssh_lend_a_guest_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(SETTINGS)
    # It says which settings are in effect, and connects to nothing.
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -G -F {tmp_path}/config "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lines = run_in_guest(GuestLogin("192.0.2.1"), ["true"], 30).text.splitlines()
    assert {"hostname 192.0.2.1", "user root", "forwardagent no", "forwardx11 no"} <= set(lines)
    assert not [line for line in lines if line.startswith(("remoteforward", "dynamicforward", "localforward"))]
