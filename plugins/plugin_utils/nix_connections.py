# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections of Ansible as those of Nix: the same options, the same account, and the same way to become root."""

from __future__ import annotations

import os
from copy import copy
from typing import Any, Mapping, Tuple

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError

from .nix_hosts import WAYS_OUT, NixHost

_WITHOUT_PASSWORD = {"sudo": "-n", "doas": "-n"}
"""Ways to become root by a command in front of another, with the option that keeps them from asking."""

# A connection that stays open after its program has ended would keep that one's output open.
_JOIN_ONLY = ("-o", "ControlMaster=no", "-o", "ControlPersist=no")
"""Options of ssh(1) that use a connection of Ansible which is open already, and open none for later ones."""


def nix_host(name: str, connection: Any) -> NixHost:
    """Return a host as Nix reaches it, by a connection whose options are set.

    Raises HostError for one that Nix cannot use.
    """
    if connection.transport == "local":
        return NixHost(name)
    if connection.transport != "ssh":
        raise HostError(
            f"{name} is reached by the connection plugin {connection.transport!r}, and Nix copies by SSH alone; reach "
            f"the host by ansible.builtin.ssh, {WAYS_OUT}"
        )
    if connection.get_option("password"):
        raise HostError(f"{name} is reached by SSH with a password, which Nix cannot be given; use a key, {WAYS_OUT}")
    program, *words = map(os.fsdecode, connection._build_command(connection.get_option("ssh_executable"), "ssh"))
    address = connection.get_option("host") or connection.host
    return NixHost(name, (program, *_JOIN_ONLY, *words, str(address)), _become(name, connection))


def _become(name: str, connection: Any) -> Tuple[str, ...]:
    plugin = connection.become
    if plugin is None or connection.get_option("remote_user") == "root":
        return ()
    method = plugin.name.split(".")[-1]
    if method not in _WITHOUT_PASSWORD:
        raise HostError(
            f"root of {name} is reached by {method!r}, and Nix can become root by {' or '.join(_WITHOUT_PASSWORD)} "
            f"alone; set ansible_become_method, connect as root, {WAYS_OUT}"
        )
    return (plugin.get_option("become_exe") or method, _WITHOUT_PASSWORD[method])


def connection_to(name: str, task: Any, play_context: Any, hostvars: Any) -> Any:
    """Return a connection to a host of the inventory, with the options that a task which is delegated to it has.

    Raises HostError for a host that the inventory does not have.
    """
    if name not in hostvars:
        raise HostError(f"`build_on: {name}` names no host of the inventory; name one, or use `controller` or `target`")
    variables = hostvars[name]
    context = copy(play_context)
    context.remote_addr = variables.get("ansible_host", name)
    keys = {**task.dump_attrs(), "timeout": play_context.timeout}
    keys.pop("retries", None)
    connection = _plugin(connection_loader, variables.get("ansible_connection", task.connection or "ssh"), context)
    _set_options(connection, "connection", variables, keys)
    become = None
    is_root: Any = boolean
    if is_root(variables.get("ansible_become", task.become or False)):
        become = _plugin(become_loader, variables.get("ansible_become_method", task.become_method or "sudo"))
        _set_options(become, "become", variables, keys)
    connection.set_become_plugin(become)
    return connection


def _plugin(loader: Any, name: str, *arguments: object) -> Any:
    plugin = loader.get(name, *arguments)
    if plugin is None:
        raise HostError(f"Ansible has no plugin {name!r}; install the collection that has it, {WAYS_OUT}")
    return plugin


def _set_options(plugin: Any, kind: str, variables: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
    config: Any = constants.config
    names = config.get_plugin_vars(kind, plugin._load_name)
    plugin.set_options(task_keys=keys, var_options={name: variables[name] for name in names if name in variables})
