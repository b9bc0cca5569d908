# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin as Ansible runs it: hosts of an inventory, none of which is contacted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Tuple

import pytest

ROOT = Path(__file__).resolve().parents[4]
PROGRAMS = Path(sys.executable).parent

HOSTS = """\
microvm_hosts:
  hosts: {east: {n: 0}, west: {n: 1}, south: {n: 2}}
  vars:
    # Nobody listens there.
    ansible_host: 127.0.0.1
    ansible_port: 1
    microvm_networks: [{name: br0, address: "10.{{ n }}.0.1/24"}]
    microvm_defaults: {image: base}
"""
EAST = """\
microvm_vms:
  - name: web
    interfaces: [{bridge: lan0}]
    guest: {networks: [{addresses: ["192.0.2.{{ hostvars.south.n + 7 }}/24"]}]}
    credential_files: {token: "{{ lookup('ansible.builtin.pipe', 'touch ' ~ inventory_dir ~ '/looked') }}"}
  - "{{ omit }}"
"""
WEST = """\
microvm_vms:
  - {name: db, interfaces: [{bridge: lan0}], guest: {networks: [{addresses: [192.0.2.9/24]}]}}
"""
SOUTH = """\
microvm_vms:
  - {name: old, interfaces: [{bridge: br0}], guest: {networks: [{addresses: [10.2.0.1/24]}]}}
  - {name: new, interfaces: [{bridge: "{{ missing }}"}]}
"""
PLAY = """\
- hosts: microvm_hosts
  gather_facts: false
  tasks:
    - microvm.fleet.microvm_clashes:
    - ansible.builtin.debug: {msg: went on}
      run_once: true
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "host_vars").mkdir()
    files = {"hosts.yml": HOSTS, "play.yml": PLAY, "ansible.cfg": "", "host_vars/east.yml": EAST}
    files.update({"host_vars/west.yml": WEST, "host_vars/south.yml": SOUTH})
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(directory: Path, *arguments: str) -> Tuple[int, str]:
    """Return exit status and output of the playbook."""
    return output_of(directory, str(PROGRAMS / "ansible-playbook"), "-i", "hosts.yml", "play.yml", *arguments)


def output_of(directory: Path, *words: str) -> Tuple[int, str]:
    """Return exit status and output of a command."""
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree"),
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(
        words, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("mode", [(), ("--check", "--diff")], ids=["run", "check mode"])
def test_all_clashes_are_listed_once_and_end_the_play(fleet: Path, mode: Tuple[str, ...]) -> None:
    status, output = run(fleet, *mode)
    assert status == 2 and "went on" not in output and "UNREACHABLE" not in output, output
    for place in (
        "west: microvm_vms[0] (db).guest.networks[0].addresses[0]: the address 192.0.2.9 is also that of",
        "south: microvm_vms[0] (old).guest.networks[0].addresses[0]: 10.2.0.1 is the address of the bridge",
        "south: microvm_vms[1] (new).interfaces[0].bridge: 'missing' is undefined",
    ):
        assert place in output, output
    assert output.count("fatal: [") == 1
    assert not (fleet / "looked").exists()


def test_hosts_outside_of_the_limit_count_only_where_they_meet_those_inside(fleet: Path) -> None:
    status, output = run(fleet, "--limit", "east")
    assert status == 2 and "the address 192.0.2.9" in output, output
    assert "missing" not in output and "10.2.0.1" not in output
    (fleet / "host_vars" / "west.yml").write_text(WEST.replace("192.0.2.9", "192.0.2.10"))
    status, output = run(fleet, "--limit", "east")
    assert status == 0 and "went on" in output, output


def test_a_tag_that_nobody_has_is_a_warning_of_the_hosts_of_the_play(fleet: Path) -> None:
    networks = """\
microvm_networks:
  - {name: br0, address: 10.0.0.1/24, nat: true}
  - name: br1
    address: 10.1.0.1/24
    nat: true
    allow: [{from: "tag:frontnd", ports: [tcp/5432]}]
"""
    web = "{name: web, tags: [frontend], interfaces: [{bridge: br0}], guest: {networks: [{addresses: [10.0.0.9/24]}]}}"
    (fleet / "host_vars" / "east.yml").write_text(f"microvm_vms: [{web}]")
    (fleet / "host_vars" / "west.yml").write_text(networks)
    (fleet / "host_vars" / "south.yml").unlink()
    expected = "west: microvm_networks[1] (br1).allow[0].from: no MicroVM of the inventory has the tag 'frontnd'"
    command = (sys.executable, str(ROOT / "bin" / "microvm"), "validate", ".")
    for status, output in (run(fleet), output_of(fleet, *command)):
        shown = " ".join(output.split())
        assert status == 0 and expected in shown and "did you mean 'frontend'?" in shown, output
    status, output = run(fleet, "--limit", "east")
    assert status == 0 and "frontnd" not in output, output
    # A host of which nothing can be read may have it.
    (fleet / "host_vars" / "south.yml").write_text('{microvm_vms: "{{ missing }}", microvm_networks: []}')
    status, output = run(fleet, "--limit", "east,west")
    assert status == 0 and "went on" in output and "frontnd" not in output, output


def test_the_command_validates_the_directory_of_an_inventory(fleet: Path) -> None:
    (fleet / "play.yml").unlink()
    command = (sys.executable, str(ROOT / "bin" / "microvm"), "validate", ".")
    status, output = output_of(fleet, *command)
    assert status == 1 and "west: microvm_vms[0] (db)" in output, output
    (fleet / "host_vars" / "south.yml").unlink()
    (fleet / "host_vars" / "west.yml").unlink()
    assert output_of(fleet, *command)[0] == 0
    (fleet / "hosts.yml").write_text("others: {hosts: {east: {}}}")
    status, output = output_of(fleet, *command)
    assert status == 1 and "microvm_hosts" in output, output
