# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``microvm``, its manual page and its completion as role ``host`` installs them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .host import Host
from .paths import STATE

INSTALL_COMMAND = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: microvm.fleet.host
    - microvm.fleet.microvm_info:
      register: known
    - ansible.builtin.assert:
        that: known.vms == [] and known is not changed
"""
ELSEWHERE = f"""\
- hosts: all
  gather_facts: false
  tasks:
    - microvm.fleet.microvm_host: {{state_dir: /srv/guests}}
    - microvm.fleet.microvm_info:
      register: known
    - ansible.builtin.command: microvm list
      register: listed
    - microvm.fleet.microvm_vms: {{vms: [], state_dir: {STATE}}}
      register: refused
      ignore_errors: true
    # The units are there again for other tests.
    - microvm.fleet.microvm_host: {{state_dir: {STATE}}}
    - ansible.builtin.assert:
        that:
          - known.vms == []
          - listed.stdout == 'there are no MicroVMs in /srv/guests'
          - refused.msg is search('^state_dir. the state directory of this host is /srv/guests, not {STATE}')
"""
FILES = "/usr/local/bin/microvm /usr/local/share/man/man1 /usr/local/share/bash-completion"


@pytest.fixture
def without_command(host: Host) -> None:
    """Remove the command, its man page and its completion."""
    host.run(f"rm -r {FILES}")


@pytest.mark.usefixtures("without_command")
def test_the_command_is_installed_as_predicted_and_only_once(host: Host, tmp_path: Path) -> None:
    for option, is_changed in (("--check", True), ("--diff", True), ("--diff", False)):
        output = host.play(tmp_path, INSTALL_COMMAND, option)
        assert ("changed=0 " not in output) == is_changed, output
        # Nothing is left at the controller.
        assert list(tmp_path.glob("microvm-*")) == []
    host.run(f"ls {FILES}")


def test_an_empty_host_is_listed_quickly(host: Host) -> None:
    begin = time.monotonic()
    assert "there are no MicroVMs" in host.microvm("list")
    assert time.monotonic() - begin < 30


def test_modules_and_the_command_work_in_the_state_directory_of_the_host(host: Host, tmp_path: Path) -> None:
    host.play(tmp_path, ELSEWHERE)
    assert f"there are no MicroVMs in {STATE}" in host.microvm("list")


def test_help_and_an_unknown_name_are_answered(host: Host) -> None:
    assert host.microvm("--help").startswith("usage: microvm")
    assert "there is no MicroVM 'web'" in host.microvm("start web", 1)


def test_users_other_than_root_are_refused(host: Host) -> None:
    refused = host.run("setpriv --reuid=65534 --clear-groups microvm start web", 1)
    assert "must be run as root" in refused
