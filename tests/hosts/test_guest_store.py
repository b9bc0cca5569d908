# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Debian guest uses the store of Nix of its host, builds on what it has there, and keeps what it has built."""

from __future__ import annotations

import json

import pytest

from . import nix
from .host import Host
from .hypervisors import image
from .paths import FLEET, STATE

IMAGE = {"name": "nix", "nix": True}

OUT = f"{STATE}/builder/work/out"
"""Source of the share that the guest reads its script from, and writes to."""

EXPRESSION = """\
let
  make = name: text: derivation {
    inherit name text;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "echo $text > $out" ];
  };
  needed = make "needed" "of the host";
in { loose = make "loose" "nobody needs this"; greeting = make "greeting" "${needed}"; }
"""

UNIT = """\
[Unit]
RequiresMountsFor=/out
After=microvm-nix-store.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sh -x /out/script > /out/log 2>&1; echo $$? > /out/status; sync'
"""

SCRIPT = """\
set -eu
export HOME=/root
cd /out
findmnt -n -o FSTYPE /nix/store > type
if touch /nix/.ro-store/written; then exit 1; fi
{ nix path-info --recursive GREETING; } > registered
if [ -e built ]; then
    nix path-info "$(cat built)" > again
    exit
fi
nix build --impure --option substitute false --no-link --print-out-paths --expr '
  derivation {
    name = "answer";
    system = builtins.currentSystem;
    greeting = builtins.storePath GREETING;
    builder = "/bin/sh";
    args = [ "-c" "read needed < $greeting; read text < $needed; echo $needed $text > $out" ];
  }
' > built.new
cat "$(cat built.new)" > answer
mv built.new built
"""


def run_guest(host: Host) -> dict[str, str]:
    """Wait until the guest has run its script. Returns what it has written."""
    host.wait_for(
        "the guest's script",
        lambda: host.run(f"cat {OUT}/status 2> /dev/null || true"),
        lambda seen: seen != "",
        300,
    )
    status, log = host.run(f"cat {OUT}/status"), host.run(f"cat {OUT}/log")
    assert status == "0\n", log
    host.run(f"rm {OUT}/status")
    names = host.run(f"ls {OUT}").split()
    return {name: host.run(f"cat {OUT}/{name}") for name in names if name not in ("script", "log")}


def test_a_debian_guest_builds_on_what_its_host_keeps_for_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "IMAGE", IMAGE)
    path = image.provide(host).path
    nix.install(host)
    host.send("/root", {"paths.nix": EXPRESSION, "unit": UNIT})
    build = "nix-build --no-out-link /root/paths.nix -A {} 2> /dev/null"
    greeting, loose = (host.run(build.format(name)).strip() for name in ("greeting", "loose"))
    needed = host.run(f"cat {greeting}").strip()
    declared = {
        "name": "builder",
        "image": path,
        "accel": "tcg",
        "mem": 768,
        "ready": {"check": "none"},
        "kernel_params": [
            "quiet",
            "mitigations=off",
            "systemd.default_device_timeout_sec=600",
            "systemd.wants=o.service",
        ],
        "credential_files": {"systemd.extra-unit.o.service": "/root/unit"},
        "shares": [
            {"tag": "ro-store", "source": "/nix/store", "mount_point": "/nix/.ro-store", "proto": "virtiofs"},
            {"tag": "out", "source": "out", "mount_point": "/out", "proto": "virtiofs"},
        ],
        "volumes": [{"image": "store.img", "size": 256, "mount_point": "/nix/.rw-store"}],
        "writable_store_overlay": "/nix/.rw-store",
        "store_paths": [greeting],
    }
    host.send("/root", {"builder.json": json.dumps([{**declared, "state": "present"}])})
    host.microvm("apply /root/builder.json")
    host.run("nix-collect-garbage > /dev/null")
    assert host.run(f"ls -d {greeting} {needed} {loose} 2> /dev/null || true").split() == [greeting, needed]
    host.run(f"mkdir -p {OUT}")
    host.send(OUT, {"script": SCRIPT.replace("GREETING", greeting)})
    host.microvm("start builder")
    first = run_guest(host)
    assert first["type"] == "overlay\n"
    assert sorted(first["registered"].split()) == sorted([greeting, needed])
    assert first["answer"] == f"{needed} of the host\n"
    host.microvm("restart builder")
    second = run_guest(host)
    assert second["again"] == first["built"]
    # Nothing is kept for a MicroVM that is gone.
    host.microvm("remove builder --yes")
    host.microvm("gc")
    host.run("nix-collect-garbage > /dev/null")
    assert host.run(f"ls -d {greeting} {FLEET}/gcroots/builder 2> /dev/null || true") == ""
