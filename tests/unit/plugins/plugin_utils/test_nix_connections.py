# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of Ansible itself, none of which is opened, as Nix would open them."""

from __future__ import annotations

import shlex
from typing import Any, Dict

import pytest
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import become_loader
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.plugin_utils.nix_connections import connection_to, nix_host
from ansible_collections.microvm.fleet.plugins.plugin_utils.nix_hosts import NixHost

play_context: Any = PlayContext
CONTEXT = play_context()

ARGUMENTS = """-F '/tmp/a b/config' -o ProxyCommand="socat - 'TCP:%h:%p'" """


def reached(task: Any = None, **variables: object) -> NixHost:
    """Return the host ``far`` of an inventory with some variables."""
    known: Dict[str, object] = {"inventory_hostname": "far", "ansible_host": "192.0.2.7", **variables}
    connection = connection_to("far", task or Task(), CONTEXT, {"far": known})
    return nix_host("far", connection)


def test_options_of_ssh_are_those_of_ansible() -> None:
    far = reached(
        ansible_user="some body",
        ansible_port=2222,
        ansible_ssh_private_key_file="/tmp/a b/key",
        ansible_ssh_common_args=ARGUMENTS,
        ansible_ssh_executable="/usr/local/bin/my ssh",
        ansible_control_path="/tmp/a b/%%C",
    )
    assert far.ssh[0] == "/usr/local/bin/my ssh" and far.ssh[-1] == "192.0.2.7"
    for option in (*shlex.split(ARGUMENTS), "Port=2222", 'User="some body"', 'IdentityFile="/tmp/a b/key"'):
        assert option in far.ssh
    assert 'ControlPath="/tmp/a b/%C"' in far.ssh
    # The first value of an option counts.
    assert far.ssh.index("ControlMaster=no") < far.ssh.index("ControlMaster=auto")
    assert far.ssh.index("ControlPersist=no") < far.ssh.index("ControlPersist=60s")


def test_the_task_and_the_host_say_who_becomes_root() -> None:
    task = Task()
    task.become = True
    assert reached(task, ansible_user="admin").become == ("sudo", "-n")
    assert reached(ansible_user="admin").become == ()
    assert reached(task, ansible_user="root").become == ()
    assert reached(task, ansible_user="admin", ansible_become=False).become == ()
    variables = {
        "ansible_user": "admin",
        "ansible_become": True,
        "ansible_become_method": "sudo",
        "ansible_become_exe": "/opt/sudo",
    }
    assert reached(**variables).become == ("/opt/sudo", "-n")
    with pytest.raises(HostError, match=r"root of far is reached by 'su'.*build_on: target"):
        reached(**{**variables, "ansible_become_method": "su"})


def test_the_controller_is_reached_without_a_connection() -> None:
    assert reached(ansible_connection="local") == NixHost("far")


def test_what_nix_cannot_use_is_refused() -> None:
    with pytest.raises(HostError, match=r"far is reached by the connection plugin 'psrp'.*ansible.builtin.ssh, or use"):
        reached(ansible_connection="psrp")
    with pytest.raises(HostError, match=r"far is reached by SSH with a password.*use a key"):
        reached(ansible_password="secret")
    with pytest.raises(HostError, match="`build_on: far` names no host of the inventory"):
        connection_to("far", Task(), CONTEXT, {})


def test_a_plugin_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(become_loader, "get", lambda name: None)
    with pytest.raises(HostError, match="Ansible has no plugin 'doas'"):
        reached(ansible_become=True, ansible_become_method="doas")
