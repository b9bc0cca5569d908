# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flakes that the controller evaluates, and whose packages come to the host by SSH."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .host import Host
from .nix import SETTINGS, flake_files, install
from .packages import echoing
from .paths import STATE

# The role as site.yml has it: all is verified before anything is changed.
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: microvm.fleet.vms, tasks_from: preflight}
    - ansible.builtin.import_role: {name: microvm.fleet.vms}
"""
LOGGED = """\
#!/bin/sh
echo "$*" >> {log}
exec {nix} "$@"
"""


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Directory with a store of Nix that the controller has for this test alone, a key, and a log of what it runs."""
    nix = shutil.which("nix")
    if nix is None:
        pytest.skip("Nix is not installed on this machine")
    for directory in ("bin", "conf", "root", "cache"):
        (tmp_path / directory).mkdir()
    secret, public = tmp_path / "secret", tmp_path / "public"
    subprocess.run(["nix-store", "--generate-binary-cache-key", "controller-1", secret, public], check=True)
    settings = f"{SETTINGS}sandbox-paths = /bin /usr /lib /lib64\nsecret-key-files = {secret}\n"
    (tmp_path / "conf/nix.conf").write_text(settings)
    logged = tmp_path / "bin/nix"
    logged.write_text(LOGGED.format(log=tmp_path / "log", nix=nix))
    logged.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    monkeypatch.setenv("NIX_REMOTE", f"local?root={tmp_path}/root")
    monkeypatch.setenv("NIX_CONF_DIR", str(tmp_path / "conf"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path
    # A store is read-only.
    subprocess.run(["chmod", "-R", "u+w", tmp_path / "root"], check=True)


class Fleet:
    """A MicroVM that the controller builds, and one that the host builds of what the controller has evaluated."""

    def __init__(self, host: Host, controller: Path) -> None:
        self._host, self._controller = host, controller
        name = host.run("hostname").strip()
        flake = {"flake": f"path:{controller}/flake"}
        for path, text in flake_files({"web": echoing("one"), "db": echoing("one")}).items():
            file = controller / "flake" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(text))
            file.chmod(0o755)
        self._vms = [{"name": "web", **flake, "build_on": "controller"}, {"name": "db", **flake, "build_on": name}]

    def play(self, *options: str, status: int = 0) -> tuple[str, list[str]]:
        """Return the output of a play, and which commands of Nix the controller has run, but for those of its store."""
        log = self._controller / "log"
        log.write_text("")
        words = ("--diff", "--extra-vars", json.dumps({"microvm_vms": self._vms}), *options)
        output = self._host.play(self._controller, PLAY, *words, status=status)
        return output, log.read_text().splitlines()

    def packages(self) -> list[str]:
        """Return the packages that the host has for the MicroVMs."""
        return self._host.run(f"cd {STATE} && for vm in *; do readlink $vm/current; done").splitlines()


def test_packages_come_to_a_host_that_trusts_their_key(host: Host, controller: Path) -> None:
    install(host)
    fleet = Fleet(host, controller)
    output, _commands = fleet.play(status=2)
    assert "lacks a signature by a trusted key" in output and "microvm_nix_trusted_keys" in output, output
    assert host.run(f"ls {STATE}") == ""

    public = (controller / "public").read_text()
    host.send("/etc/nix", {"nix.conf": f"{SETTINGS}trusted-public-keys = {public}\n"})
    output, commands = fleet.play()
    assert "nix: copying path" in output
    # One evaluation for both, before anything is changed.
    assert len([line for line in commands if "--dry-run" in line]) == 1
    assert [path.rpartition("-")[2] for path in fleet.packages()] == ["db", "web"]
    host.wait_for_states({"microvm@web.service": "active", "microvm@db.service": "active"})

    output, commands = fleet.play()
    assert "changed=0" in output and not [line for line in commands if " copy " in line]
