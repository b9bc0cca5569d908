# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs that are declared by flakes, which Nix evaluates and builds on their host."""

from __future__ import annotations

import json
from pathlib import Path

from . import nix
from .fleet import Declaration, Fleet
from .host import Host
from .packages import echoing, rendered, tiny
from .paths import CONSOLES, FLEET, STATE

PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: microvm.fleet.vms
        tasks_from: preflight
    - ansible.builtin.include_role:
        name: microvm.fleet.vms
"""
COUNTING = """\
#!/bin/sh
echo "$*" >> /run/nix-calls
exec /usr/bin/nix "$@"
"""
WAIT = "/bin/touch /run/building; until [ -e /run/released ]; do /bin/sleep 0.1; done;"


def test_declared_flakes_are_built_updated_rolled_back_and_removed(host: Host, tmp_path: Path) -> None:
    nix.install(host)
    fleet = Fleet(host)
    flake = nix.write_flake(host, {"web": echoing("one"), "db": echoing("one")})
    vms: list[Declaration] = [{"name": name, "flake": flake} for name in ("web", "db")]
    fleet.apply(vms)
    first = host.info("web")
    assert (first["state"], first["generation"]) == ("active", 1) and first["current"].startswith("/nix/store/")
    assert host.run(f"cat {STATE}/web/flake") == f"path:{nix.FLAKE}"
    host.run(f"nix-store --gc && test -x {first['current']}/bin/microvm-run")

    nix.write_flake(host, {"web": echoing("two"), "db": echoing("one")})
    shown = host.microvm("apply /root/fleet.json --check --diff")
    assert "is another derivation, which is not built yet" in shown and "step: systemctl restart microvm@web" in shown
    assert host.info("web")["current"] == first["current"]
    # What the first play of site.yml has evaluated is not evaluated again.
    host.send("/usr/local/bin", {"nix": COUNTING})
    host.play(tmp_path, PLAY, "--extra-vars", json.dumps({"microvm_vms": vms}))
    assert host.run("rm /usr/local/bin/nix; grep -c dry-run /run/nix-calls").strip() == "1"
    fleet.assert_unchanged("/root/fleet.json")
    second = standing(host)
    assert second[1] == 2 and second[2] != first["process"] and host.info("db")["generation"] == 1

    # What fails leaves everything as it is.
    host.send(nix.FLAKE, {"flake.nix": '{ outputs = inputs: throw "no such machine"; }'})
    failed = host.microvm("apply /root/fleet.json", 1)
    assert "cannot be evaluated" in failed and "no such machine" in failed and f"path:{nix.FLAKE}#nixos" in failed
    nix.write_flake(host, {"web": echoing("three"), "db": echoing("one")}, script="echo no space >&2; exit 3;")
    failed = host.microvm("apply /root/fleet.json", 1)
    assert failed.count("cannot be built") == 2 and "no space" in failed
    assert standing(host) == second

    # A run that is killed in a build is completed by the next one.
    host.run("rm -f /run/building /run/released")
    nix.write_flake(host, {"web": echoing("four"), "db": echoing("one")}, script=WAIT)
    host.run(
        "microvm apply /root/fleet.json > /dev/null 2>&1 & run=$!; until [ -e /run/building ]; do sleep 0.1; done;"
        "kill -KILL $run; wait $run; test $? -eq 137"
    )
    assert standing(host) == second
    host.run("touch /run/released")
    fleet.apply(vms)
    assert host.info("web")["generation"] == 3

    assert "rolled back to generation 2" in host.microvm("rollback web")
    assert "microvm generations web --good 3" in host.microvm("apply /root/fleet.json", 1)
    fleet.apply([{**vm, "flake": "path:/absent", "state": "absent"} for vm in vms])
    assert host.run(f"ls -A {FLEET}/gcroots; ls -A {STATE}") == ""


def test_a_guest_of_a_flake_boots(host: Host, tmp_path: Path) -> None:
    nix.install(host)
    guest = {"name": "tiny", "hypervisor": "qemu", "mem": 64, "accel": "tcg", "qemu": {"machine": "q35"}}
    host.send("/srv/guest", {"kernel": tiny(tmp_path)["guest"]})
    flake = nix.write_flake(host, {"tiny": rendered(tmp_path, {**guest, "kernel": "/srv/guest/kernel"})})
    Fleet(host).apply([{"name": "tiny", "flake": flake, "ready": {"check": "hypervisor"}}])
    assert host.info("tiny")["current"].endswith("-microvm-tiny") and host.info("tiny")["state"] == "active"
    log = f"cat {CONSOLES}/tiny/console.log"
    host.wait_for("prompt", lambda: host.run(log), lambda seen: seen.endswith("login: "))


def standing(host: Host) -> tuple[str, int, int]:
    """Return the package that MicroVM ``web`` has, its generation and the process that runs."""
    info = host.info("web")
    return info["current"], info["generation"], info["process"]
