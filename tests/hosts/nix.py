# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nix on a host, and flakes whose packages need nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from .host import Files, Host

FLAKE = "/root/flake"
SETTINGS = "substituters =\nsandbox = false\nbuild-users-group =\nflake-registry =\n"

RUNNER = """\
  nixosConfigurations.{name}.config.microvm.declaredRunner = derivation {{
    name = "microvm-{name}"; system = "{system}"; builder = "/bin/sh";
    args = [ "-c" "{script} /bin/cp -r ${{./{name}}} $out" ];
  }};
"""


def install(host: Host) -> None:
    """Install Nix, which builds without a network from now on."""
    host.run("command -v nix-store || { apt-get -q update && apt-get -qy install --no-install-recommends nix-bin; }")
    host.send("/etc/nix", {"nix.conf": SETTINGS})


def write_flake(host: Host, packages: Mapping[str, Files], script: str = "", system: str = "x86_64-linux") -> str:
    """Write a flake with the packages of MicroVMs, and return a reference to it; each build runs ``script`` first."""
    host.run(f"rm -rf {FLAKE}")
    host.send(FLAKE, flake_files(packages, script, system))
    return f"path:{FLAKE}"


def flake_files(packages: Mapping[str, Files], script: str = "", system: str = "x86_64-linux") -> Files:
    """Return the files of a flake with the packages of MicroVMs."""
    files = {f"{name}/{path}": text for name, package in packages.items() for path, text in package.items()}
    runners = "".join(RUNNER.format(name=name, system=system, script=script) for name in packages)
    return {**files, "flake.nix": f"{{ outputs = inputs: {{\n{runners}}}; }}\n"}
