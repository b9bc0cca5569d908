# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restrictions of a host hold whatever way in is tried: modules, preflight, check mode, the command, rollbacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..host import Host
from ..packages import echoing
from ..paths import CONFIGURATION, STATE

FILE = f"{CONFIGURATION}/restrictions.json"
TEAM = "/srv/team"
PLANT = "touch /root/planted"

SMALL: dict[str, Any] = {"name": "web", "kernel": f"{TEAM}/kernel", "accel": "tcg", "ready": {"check": "none"}}

ATTACKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("scripts", {"pre_start": PLANT}),
    ("scripts", {"bin_scripts": {"tap-up": PLANT, "own": PLANT}}),
    ("programs", {"extra_args_script": f"{TEAM}/script"}),
    ("programs", {"qemu": {"package": f"{TEAM}/bin/qemu"}}),
    ("programs", {"virtiofsd": {"package": f"{TEAM}/bin/virtiofsd"}}),
    ("arguments", {"qemu": {"extra_args": ["-drive", "file=/etc/shadow"]}}),
    ("arguments", {"qemu": {"machine_opts": {"dumpdtb": "/root/planted"}}}),
    ("arguments", {"volumes": [{"image": "a", "size": 8, "mkfs_extra_args": ["-d", "/etc"]}]}),
    ("arguments", {"volumes": [{"image": "a", "image_type": "qcow2", "auto_create": False}]}),
    ("arguments", {"shares": [{"tag": "a", "proto": "virtiofs", "source": "files", "extra_args": ["--sandbox=none"]}]}),
    ("path_prefixes", {"kernel": "/boot/kernel"}),
    ("path_prefixes", {"kernel": f"{TEAM}/../../boot/kernel"}),
    ("path_prefixes", {"store_disk": "/dev/sda"}),
    ("path_prefixes", {"image": "/srv/teams"}),
    ("path_prefixes", {"volumes": [{"image": "/srv/team2/a", "size": 8}]}),
    ("path_prefixes", {"shares": [{"tag": "a", "proto": "virtiofs", "source": "/"}]}),
    ("path_prefixes", {"shares": [{"tag": "a", "source": TEAM}]}),
    ("path_prefixes", {"credential_files": {"a": "/etc/ssh/ssh_host_ed25519_key"}}),
    ("path_prefixes", {"socket": "/run/systemd/a.sock"}),
    ("microvm_restrictions", {"shares": [{"tag": "a", "source": f"{TEAM}/link"}]}),
    ("microvm_restrictions", {"credential_files": {"a": f"{TEAM}/link/shadow"}}),
    ("microvm_restrictions", {"volumes": [{"image": f"{TEAM}/share/a", "size": 8}]}),
    ("microvm_restrictions", {"kernel": f"{TEAM}/open/kernel"}),
    ("devices", {"devices": [{"bus": "pci", "path": "0000:00:00.0"}]}),
    ("host_network", {"interfaces": [{"type": "user"}]}),
    ("host_network", {"interfaces": [{"type": "macvtap", "macvtap": {"link": "host0", "mode": "bridge"}}]}),
    ("bridges", {"interfaces": [{"bridge": "other0"}]}),
    ("weaker_sandbox", {"profile": "compat"}),
    ("weaker_sandbox", {"isolation": "shared"}),
    ("weaker_sandbox", {"shares": [{"tag": "a", "proto": "virtiofs", "source": "a"}], "virtiofsd": {"group": "users"}}),
)
"""Declarations of a team, and the words of the refusal."""

SET_UP = """\
- hosts: all
  gather_facts: false
  tasks:
    - microvm.fleet.microvm_host:
        restrictions: {restrictions}
"""

TRY_MODULES = """\
- hosts: all
  gather_facts: false
  tasks:
    - microvm.fleet.microvm_vms:
        vms: "{{{{ [item.declaration] }}}}"
        state: present
        preflight: "{{{{ item.preflight }}}}"
      check_mode: "{{{{ item.check }}}}"
      loop: {tries}
      loop_control:
        label: "{{{{ item.words }}}}"
      register: outcome
      ignore_errors: true
    - microvm.fleet.microvm_vm:
        name: web
        kernel: {team}/kernel
        state: present
        pre_start: id
      register: single
      ignore_errors: true
    - ansible.builtin.copy:
        content: "{{{{ {{'many': outcome.results, 'single': single}} | to_json }}}}"
        dest: /root/outcome.json
        mode: "0600"
"""


@pytest.fixture
def restricted(host: Host, fake_qemu: None, tmp_path: Path) -> Iterator[Host]:
    """Host whose operator lets a team use one directory and nothing else."""
    host.run(
        f"mkdir -p {TEAM}/share {TEAM}/open /srv/team2 /srv/teams /boot"
        f" && touch {TEAM}/kernel {TEAM}/open/kernel /boot/kernel"
        f" && ln -sfn /etc {TEAM}/link && chown microvm {TEAM}/share && chmod 1777 {TEAM}/open"
    )
    host.play(tmp_path, SET_UP.format(restrictions=json.dumps({"path_prefixes": [TEAM]})))
    try:
        yield host
    finally:
        host.run(f"rm -rf {FILE} {TEAM} /srv/team2 /srv/teams /root/planted")


def apply(host: Host, declaration: dict[str, Any], options: str = "", status: int = 0) -> str:
    """Return the output of ``microvm apply`` for one declaration."""
    host.send("/root", {"web.json": json.dumps({"microvm_vms": [declaration]})})
    return host.microvm(f"apply /root/web.json {options}", status)


def test_the_restrictions_are_root_s_alone_and_stay_until_they_are_ended(restricted: Host, tmp_path: Path) -> None:
    assert restricted.run(f"stat -c '%U:%G %a' {FILE}") == "root:root 600\n"
    written = restricted.run(f"cat {FILE}")
    restricted.play(tmp_path, SET_UP.format(restrictions="'{{ omit }}'"))
    assert restricted.run(f"cat {FILE}") == written
    line = "su -s /bin/sh nobody -c 'microvm apply - --check' < /root/web.json"
    restricted.send("/root", {"web.json": json.dumps([SMALL])})
    assert "as root" in restricted.run(line, 1)
    restricted.play(tmp_path, SET_UP.format(restrictions="{enable: false}"))
    restricted.run(f"test ! -e {FILE}")


def test_the_command_refuses_what_is_closed(restricted: Host) -> None:
    problems = []
    for words, options in ATTACKS:
        for option in ("", "--check"):
            output = apply(restricted, {**SMALL, "state": "present", **options}, option, 1)
            if words not in output or f"microvm_vms[0] ({SMALL['name']})." not in output:
                problems.append(f"{options}: {output}")
    print(f"declarations against restrictions, by the command: {2 * len(ATTACKS)}")
    assert problems == []
    assert restricted.run(f"ls {STATE}; ls -d /root/planted 2>/dev/null; true") == ""


def test_the_modules_refuse_what_is_closed_in_preflight_and_check_mode_too(restricted: Host, tmp_path: Path) -> None:
    tries = [
        {"words": words, "declaration": {**SMALL, **options}, "preflight": preflight, "check": check}
        for words, options in ATTACKS[::3]
        for preflight, check in ((False, False), (True, False), (False, True))
    ]
    restricted.play(tmp_path, TRY_MODULES.format(tries=json.dumps(tries), team=TEAM))
    outcome = json.loads(restricted.run("cat /root/outcome.json"))
    print(f"declarations against restrictions, by the modules: {len(outcome['many']) + 1}")
    assert len(outcome["many"]) == len(tries)
    for result in outcome["many"]:
        assert result["failed"] and result["item"]["words"] in result["msg"], result
    assert outcome["single"]["msg"].startswith("pre_start: ")
    assert restricted.run(f"ls {STATE}") == ""


def test_what_is_open_is_installed(restricted: Host) -> None:
    volumes = [{"image": "own.img", "size": 8}, {"image": f"{TEAM}/volumes/a.img", "size": 8}]
    declaration = {**SMALL, "volumes": volumes, "interfaces": [{}]}
    apply(restricted, {**declaration, "state": "present"}, "--check")
    for _run in range(2):
        assert "web" in apply(restricted, {**declaration, "state": "present"})
    restricted.run(f"chown microvm-web {TEAM}/volumes")
    assert "web" in apply(restricted, {**declaration, "state": "present"})
    source = {"shares": [{"tag": "a", "source": f"{TEAM}/volumes/a", "proto": "virtiofs"}]}
    assert "replaced by others" in apply(restricted, {**declaration, **source, "state": "present"}, status=1)


def test_external_packages_are_refused_before_they_are_built(restricted: Host) -> None:
    restricted.send("/root/plain", echoing("one"))
    restricted.send("/usr/local/bin", {"nix": f"#!/bin/sh\n{PLANT}\n"})
    try:
        for option in ("", "--check"):
            for source in ("--package /root/plain", "--flake /root/flake"):
                assert "external_packages" in restricted.microvm(f"create web {source} {option}", 1)
    finally:
        restricted.run("rm /usr/local/bin/nix")
    assert restricted.run(f"ls {STATE}; ls -d /root/planted 2>/dev/null; true") == ""


def test_no_rollback_leads_to_what_is_closed(restricted: Host) -> None:
    restricted.run(f"mv {FILE} /root/restrictions.json")
    restricted.send("/root/plain", echoing("one"))
    restricted.microvm("create web --package /root/plain")
    shared = {**SMALL, "state": "present", "isolation": "shared"}
    apply(restricted, {**shared, "pre_start": "true"})
    apply(restricted, {**shared, "mem": 128})
    restricted.run(f"mv /root/restrictions.json {FILE}")
    assert "pre_start" in restricted.microvm("rollback web", 1) or "isolation" in restricted.microvm("rollback web", 1)
    assert "external_packages" in restricted.microvm("rollback web 1", 1)
    assert "external_packages" in restricted.microvm("rollback web 1 --check", 1)
    assert restricted.info("web")["generation"] == 3


@pytest.mark.parametrize("content", ["", "{", '{"enable": "perhaps"}', '{"unknown": true}'])
def test_a_damaged_file_closes_everything(restricted: Host, content: str) -> None:
    restricted.send(CONFIGURATION, {"restrictions.json": content})
    for option in ("", "--check"):
        output = apply(restricted, {**SMALL, "state": "present"}, option, 1)
        assert FILE in output and "run the role microvm.fleet.host" in output
    restricted.send("/root/plain", echoing("one"))
    assert FILE in restricted.microvm("create web --package /root/plain", 1)
