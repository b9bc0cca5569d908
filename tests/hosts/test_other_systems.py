# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example of docs/packages.md: a hand-written package whose guest is a kernel and one static program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from .fleet import Fleet
from .host import ROOT, Host
from .hypervisors import image

EXAMPLE = ROOT / "docs" / "examples" / "other-system"
SECTION = (ROOT / "docs" / "packages.md").read_text().partition("### Packages of other operating systems")[2]


def build(directory: Path, version: str) -> dict[str, bytes]:
    """Return the package of a version. Its guest is emulated, whatever the host has."""
    kernel, _image = image.build()
    subprocess.run([EXAMPLE / "build", kernel / "kernel", version, directory / version], check=True, timeout=60)
    files = {path for path in (directory / version).rglob("*") if path.is_file()}
    return {str(path.relative_to(directory / version)): path.read_bytes() for path in files} | {
        "bin/microvm-run": (EXAMPLE / "microvm-run").read_bytes().replace(b"accel=kvm:tcg", b"accel=tcg")
    }


def wait_for_start(host: Host, *versions: str) -> None:
    """Wait until the guests of these versions have started one after another; the last one answers on its console."""
    lines = [f"version {version} is up" for version in versions]

    def started() -> list[str]:
        return [line for line in host.messages("-t microvm@unikernel") if line.endswith(" is up")]

    host.wait_for(lines[-1], started, lambda seen: seen == lines, 90)
    assert f"version {versions[-1]} heard hello" in host.run("echo hello | microvm console unikernel")


def test_it_is_installed_updated_rolled_back_and_removed(host: Host, tmp_path: Path) -> None:
    [declared] = yaml.safe_load(SECTION.partition("```yaml\n")[2].partition("```")[0])
    fleet = Fleet(host)
    for versions in (["one"], ["one", "two"]):
        host.send(declared["runner"], build(tmp_path, versions[-1]))
        fleet.apply([declared])
        wait_for_start(host, *versions)
    assert host.info("unikernel")["generation"] == 2
    assert "rolled back to generation 1" in host.microvm("rollback unikernel")
    wait_for_start(host, "one", "two", "one")
    host.microvm("stop unikernel")
    assert host.journal("unikernel")[-1].startswith("MicroVM unikernel: stopped by the guest")
    host.microvm("remove unikernel --yes")
    host.run("rm -r /opt/unikernel")
