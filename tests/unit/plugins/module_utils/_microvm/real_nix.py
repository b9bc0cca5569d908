# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nix itself, with a store in a temporary directory, and flakes of plain derivations that need no network."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix

OWN_SYSTEM = f"{platform.machine()}-linux"
"""System of this host, in Nix's words."""

SETTINGS = "substituters =\nsandbox = false\nbuild-users-group =\nflake-registry =\n"

RUNNER = """\
derivation {{
  name = "microvm-{name}"; system = "{system}"; builder = "/bin/sh"; script = ''
    {script}
    export PATH=/usr/local/bin:/usr/bin:/bin
    mkdir -p $out/bin
    printf '#!/bin/sh\\n# {mark}\\n' > $out/bin/microvm-run
    chmod 755 $out/bin/microvm-run
  ''; args = [ "-c" "eval \\"$script\\"" ];
}}"""


def runner(name: str, mark: str = "one", script: str = "", system: str = "") -> str:
    """Return a Nix expression of the package of a MicroVM; ``script`` is run by its build."""
    return RUNNER.format(name=name, mark=mark, script=script, system=system or OWN_SYSTEM)


def remove_garbage(*words: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a program of Nix that removes paths, and return its output.

    It looks at the links of all processes, and gives up at one that is too long for it, as other tests have.
    """
    for _try in range(300):
        done = subprocess.run(words, env=environment, check=False, capture_output=True, text=True, timeout=300)
        if "File name too long" not in done.stderr:
            break
        time.sleep(0.2)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown_commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the list to which the commands of Nix are added that show what they do."""
    commands: list[list[str]] = []
    run_shown = nix.run_shown

    def recorded(words: list[str], *options: Any) -> str:
        commands.append(words)
        return run_shown(words, *options)

    monkeypatch.setattr(nix, "run_shown", recorded)
    return commands


@dataclass(frozen=True)
class RealNix:
    """Directories of a store of Nix that only this test has."""

    root: Path

    @property
    def store(self) -> Path:
        """Return the directory of the store."""
        return self.root / "store"

    def write(self, runners: dict[str, str], directory: str = "flake", inputs: str = "") -> str:
        """Write a flake with the runners of MicroVMs, by their names, and return a reference to it."""
        place = self.root / directory
        place.mkdir(exist_ok=True)
        attributes = "".join(
            f'nixosConfigurations."{name}".config.microvm.declaredRunner = {runner};\n'
            for name, runner in runners.items()
        )
        (place / "flake.nix").write_text(f"{{ {inputs} outputs = inputs: {{\n{attributes}}}; }}")
        return f"path:{place}"


@pytest.fixture
def real_nix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealNix:
    """Nix with a store that has nothing yet."""
    if None in (nix.find_program("nix"), nix.find_program("nix-store")):
        pytest.skip("Nix is not installed on this machine")
    root = tmp_path / "nix"
    for variable, directory in (
        ("NIX_STORE_DIR", "store"),
        ("NIX_STATE_DIR", "state"),
        ("NIX_LOG_DIR", "log"),
        ("NIX_CONF_DIR", "conf"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_CONFIG_HOME", "config"),
    ):
        (root / directory).mkdir(parents=True)
        monkeypatch.setenv(variable, str(root / directory))
    monkeypatch.setenv("NIX_CONFIG", SETTINGS)
    monkeypatch.delenv("NIX_REMOTE", raising=False)
    monkeypatch.setattr(nix, "STORE", f"{root}/store/")
    monkeypatch.setattr(nix, "GARBAGE_ROOTS", str(root / "gcroots"))
    return RealNix(root)
