# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host's Nix knows of a system, the guest's Nix learns. Both are Nix itself, with one store and two databases;
``ssh`` is a fake that runs commands here, as if this were the guest."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import guest_systems, nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.guest_shell import GuestLogin

from ..real_nix import OWN_SYSTEM, RealNix, real_nix

__all__ = ["real_nix"]

PROFILE = "/nix/var/nix/profiles/system"

SYSTEM = """\
let
  make = name: script: derivation {{
    inherit name script; system = "{system}"; builder = "/bin/sh";
    args = [ "-c" "export PATH=/usr/bin:/bin; eval \\"$script\\"" ];
  }};
  needed = make "needed" "echo needed > $out";
in make "system" ''
  mkdir -p $out/bin
  printf '#!/bin/sh\\n# ${{needed}}\\necho "is asked to $1"\\n' > $out/bin/switch-to-configuration
  chmod 755 $out/bin/switch-to-configuration
''
"""

PROGRAMS = {
    "ssh": '#!/bin/sh\nfor command; do :; done\nNIX_STATE_DIR={guest} PATH={root}:$PATH exec sh -c "$command"\n',
    # The profile of this machine is none of the guest's.
    "nix-env": '#!/bin/sh\n[ "$2" = {profile} ] && shift 2 && exec {nix_env} --profile {guest}/system "$@"\n',
    # The machine that runs the tests may have a systemd of its own.
    "systemd-run": '#!/bin/sh\nwhile [ "${{1#--}}" != "$1" ]; do shift; done\nexec "$@"\n',
}


@pytest.mark.parametrize(("action", "is_profiled"), [("switch", True), ("boot", True), ("test", False)])
def test_the_guest_s_nix_knows_the_system_and_all_that_it_needs(
    real_nix: RealNix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, is_profiled: bool
) -> None:
    root, guest = tmp_path / "programs", tmp_path / "guest"
    for directory in (root, guest):
        directory.mkdir()
    places = {"guest": guest, "root": root, "profile": PROFILE, "nix_env": nix.find_program("nix-env")}
    for name, text in PROGRAMS.items():
        (root / name).write_text(text.format(**places))
        (root / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{root}:{os.environ['PATH']}")
    expression = SYSTEM.format(system=OWN_SYSTEM)
    built = subprocess.run(["nix-build", "--no-out-link", "-E", expression], check=True, capture_output=True, text=True)
    system = built.stdout.strip()
    (needed,) = real_nix.store.glob("*-needed")
    assert "is asked to" in guest_systems.activate(GuestLogin("guest"), system, action)
    monkeypatch.setenv("NIX_STATE_DIR", str(guest))
    assert nix.is_valid(system) and nix.is_valid(str(needed))
    assert os.path.exists(guest / "system") is is_profiled
    assert not is_profiled or os.path.realpath(guest / "system") == system
