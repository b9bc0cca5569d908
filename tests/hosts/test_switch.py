# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A running guest is switched to the system of a changed package. The guest is Debian and no NixOS: it has the host's
store as a share, a system in there is a program that notes what it was asked for, and the guest itself has no Nix."""

from __future__ import annotations

import json
import re
from pathlib import Path

from . import nix
from .fleet import Fleet
from .host import Host
from .hypervisors import guest as examined
from .hypervisors import image
from .paths import SSH_KEY

ADDRESS = f"{examined.SUBNET}.77"

SYSTEM = """\
derivation {
  name = "system"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "eval \\"$script\\"" ];
  script = ''
    export PATH=/usr/bin:/bin
    mkdir -p $out/bin $out/etc
    echo HOSTNAME > $out/etc/hostname
    printf '#!/bin/sh\\necho "MARK $1" >> /run/activated; echo "activating MARK"\\n' > $out/bin/switch-to-configuration
    chmod 755 $out/bin/switch-to-configuration
  '';
}
"""


def link_system(host: Host, mark: str, host_name: str = "web") -> None:
    """Let the package lead to a system that the host's Nix builds."""
    host.send("/root", {"system.nix": SYSTEM.replace("MARK", mark).replace("HOSTNAME", host_name)})
    system = host.run("nix-build --quiet --no-out-link /root/system.nix 2> /dev/null").strip()
    host.run(f"rm -f /root/package/share/microvm/system; ln -s {system} /root/package/share/microvm/system")


def test_a_guest_with_the_host_s_store_is_switched_without_a_restart(host: Host, tmp_path: Path) -> None:
    nix.install(host)
    where = examined.place(host, image.provide(host))
    declared = {
        "name": "web",
        "image": where.image.path,
        "mem": 512,
        "accel": "kvm" if where.has_kvm else "tcg",
        "kernel_params": [*examined.PATIENT],
        "interfaces": [{"bridge": examined.BRIDGE}],
        "guest": {
            "host_access": True,
            "host_key": True,
            "authorized_keys": [host.run(f"cat {SSH_KEY}.pub").strip()],
            "networks": [{"addresses": [f"{ADDRESS}/24"]}],
        },
        "shares": [{"tag": "store", "source": "/nix/store", "mount_point": "/nix/store", "proto": "virtiofs"}],
    }
    host.send("/root", {"web.json": json.dumps(declared)})
    host.run("rm -rf /root/package && microvm render /root/web.json --output /root/package")
    link_system(host, "one")
    fleet = Fleet(host)
    vm = {"name": "web", "runner": "/root/package", "ssh_switch": "switch", "startup_timeout": 300}
    file = fleet.declare("declared.json", [vm])
    host.microvm(f"apply {file}", timeout=400)
    process = host.info("web")["process"]
    link_system(host, "two")
    assert "for the guest: switch" in host.microvm(f"apply {file} --check")
    assert host.microvm("ssh web 'test ! -e /run/activated'") == ""
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text(json.dumps({"microvm_hosts": "all", "microvm_vms": [vm]}))
    said = host.play(tmp_path, "- import_playbook: microvm.fleet.rebuild\n", "--extra-vars", "microvm_rebuild=web")
    assert re.search("web +changed +switch", said), said
    assert host.microvm("ssh web cat /run/activated") == "two switch\n"
    info = host.info("web")
    assert (info["process"], info["switched"], info["condition"]) == (process, info["current"], "ok")
    assert info["booted"] != info["current"]
    assert "web: unchanged" in host.microvm(f"apply {file}")
    # The connection of the command may end: a unit of the guest's systemd does the work.
    assert "activating two" in host.microvm("switch web test")
    assert "microvm-switch.service" in host.microvm("ssh web journalctl -b --no-pager -u microvm-switch")
    link_system(host, "three", "other")
    said = host.microvm(f"apply {file} --check")
    assert "the system is for other" in said and "for the guest: restart" in said
