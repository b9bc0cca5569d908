# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory plugin ``microvm.fleet.guests``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: guests
author:
  - microvm.fleet contributors (@microvm)
short_description: Guests of MicroVMs as hosts
version_added: 0.1.0
description:
  - Makes a host of the guest of each MicroVM that the hosts of the inventory declare in C(microvm_vms). No host is
    contacted for that.
  - Guests are reached by SSH through the host that runs them, with the variables by which Ansible reaches that host.
    A guest without an address that is known beforehand is reached by C(microvm forward) on its host, which finds its
    DHCP lease or uses its vsock.
  - The host key of a guest is the one that its host has recorded, which C(microvm ssh) does there at the first
    connection. Unknown keys are not accepted.
  - Inventory sources with the hosts must be named before the source of this plugin, or be in the same directory and
    come before it in the order of file names. Variables in C(group_vars) and C(host_vars) beside inventory sources
    are read; those beside playbooks are not. C(hostvars) is not known in declarations.
  - The guests of a host whose declarations are wrong, or refer to what is not known here, are left out with a warning
    that names the host, the variable and the reason; those of other hosts are there. So are guests whose names are not
    unique. With O(strict) both are errors, and there are no guests at all. What is incomplete is not cached.
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Name of this plugin.
    type: str
    required: true
    choices: [microvm.fleet.guests]
  group:
    description: Group of the hosts whose guests are wanted.
    type: str
    default: microvm_hosts
  hostname:
    description:
      - Name of a guest in the inventory, in which V({name}) stands for the name of its MicroVM, and V({host}) for the
        name of its host.
      - Names must differ from those of other guests, hosts and groups. Guests whose names do not are left out.
    type: str
    default: "{name}"
  user:
    description: User to log in as.
    type: str
    default: root
  group_prefix:
    description:
      - Prefix of the names of the groups, which are C(guests) for all guests, and C(host_HOST),
        C(hypervisor_HYPERVISOR), C(network_BRIDGE), C(state_STATE) and C(tag_TAG) for some, with the declared state and
        tags.
    type: str
    default: microvm_
  facts:
    description:
      - Whether facts of hosts that Ansible has cached are used. Declarations may then refer to them, and RV(ignore:vms)
        of M(microvm.fleet.microvm_info), cached as the fact C(microvm_facts), supplies DHCP leases and the variable
        C(microvm_guest.facts).
      - Facts are never templates. They count neither as declarations, such as C(microvm_vms), nor as variables that say
        how Ansible reaches a host, such as C(ansible_host).
    type: bool
    default: false
  known_hosts:
    description:
      - File on the controller with the host keys of guests by their names in the inventory. A relative path begins at
        the directory of the inventory source.
      - By default, the host is asked for the key when a connection to the guest begins, which requires OpenSSH 8.5 on
        the controller.
    type: str
  jump_args:
    description:
      - Arguments of ssh for connections to hosts on behalf of guests, in addition to C(ansible_ssh_common_args) of the
        host, such as C(-o ControlMaster=auto -o ControlPersist=60s -o ControlPath=~/.ssh/jump-%C) to share them.
    type: str
    default: ""
seealso:
  - plugin: ansible.builtin.constructed
    plugin_type: inventory
  - module: microvm.fleet.microvm_info
"""

EXAMPLES = r"""
# guests.microvm.yml, used as: ansible-playbook -i hosts.yml -i guests.microvm.yml app.yml
plugin: microvm.fleet.guests

# All options that are specific to this plugin:
---
plugin: microvm.fleet.guests
group: microvm_hosts
hostname: "{name}.{host}"
user: root
facts: true
jump_args: -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=~/.ssh/jump-%C
# microvm_guest is a mapping with what is declared of a guest.
compose:
  app_listen: microvm_guest.addresses | first | default(omit)
groups:
  reachable_by_vsock: microvm_guest.vsock_cid is not none
keyed_groups:
  - key: microvm_guest.hostname | regex_replace('[0-9]+$', '')
    prefix: app
"""

import os
import shutil
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

from ansible import constants as C
from ansible.errors import AnsibleParserError
from ansible.inventory.helpers import get_group_vars, sort_groups
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.plugins.loader import cache_loader, connection_loader
from ansible.utils.unsafe_proxy import wrap_var
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_inventory import (
    VARIABLES,
    VMS,
    GuestHost,
    check_name_template,
    declared_guests,
    named_guests,
    relevant,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_ssh import (
    HOST_VARIABLES,
    Jump,
    connection_variables,
    jump_to,
    split_arguments,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.plugin_utils.resolver import (
    OMISSIONS,
    OMITTED,
    Resolver,
    templated,
)

FACTS = "microvm_facts"
"""Cached fact with what ``microvm_info`` has returned."""

LIMITS = (
    "here, only the variables that the inventory has for the host itself are known, so no `hostvars`, and cached facts "
    "with `facts: true`"
)
"""Reason why a template may have no result here."""

SUFFIXES = ("microvm.yml", "microvm.yaml")

Entry = Dict[str, Any]
"""A guest as the cache keeps it: its variables and its groups."""

Variables = Dict[str, Any]

# Ansible's own have no annotations.
combined: Callable[[Mapping[str, Any], Mapping[str, Any]], Variables] = combine_vars
in_order: Callable[[List[Any]], List[Any]] = sort_groups
of_groups: Callable[[Any], Variables] = get_group_vars
of_sources: Callable[[Any, Any, Any, str], Variables] = get_vars_from_inventory_sources
untemplated: Callable[[Mapping[str, Any]], Variables] = wrap_var
"""Marks strings, so that Ansible never reads templates in them."""

OLD_NAMES = {f"ansible_ssh_{name}": templated(f"{{{{ ansible_{name} }}}}") for name in ("host", "port", "user")}
"""Variables that Ansible prefers to ``ansible_host`` and so on, wherever they are set: guests have their own."""

OF_ANSIBLE = frozenset(("all", "ungrouped"))
"""Groups that Ansible itself fills, when all sources have been read."""

SSH_OPTIONS = {
    "ansible_user": "remote_user",
    "ansible_port": "port",
    "ansible_private_key_file": "private_key_file",
    "ansible_ssh_args": "ssh_args",
    "ansible_ssh_common_args": "ssh_common_args",
    "ansible_ssh_extra_args": "ssh_extra_args",
}
"""Options of Ansible's connections by SSH that have other sources than variables, by a variable."""

NO_FACTS = frozenset((*VARIABLES, *(name for names in HOST_VARIABLES.values() for name in names)))
"""Variables that a host itself must not set: what it runs, and how the controller reaches it."""


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Guests of MicroVMs as hosts."""

    NAME = "microvm.fleet.guests"

    inventory: Any
    display: Any
    loader: Any
    _directory = ""
    """Directory of the source, where relative paths begin."""
    _program = ""
    """Path of ssh."""
    _configured: Mapping[str, Any] = {}
    """Variables of hosts that say how they are reached, where the inventory does not."""
    _is_complete = True
    """False if guests have been left out."""

    def option(self, name: str) -> Any:
        """Return the value of an option."""
        # Ansible's own method has no annotations.
        return self.get_option(name)  # type: ignore[no-untyped-call]

    def verify_file(self, path: str) -> bool:
        """See BaseInventoryPlugin.verify_file."""
        base: Any = super()
        return bool(base.verify_file(path)) and path.endswith(SUFFIXES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """See BaseInventoryPlugin.parse."""
        super().parse(inventory, loader, path, cache)
        base: Any = self
        base._read_config_data(path)
        self._directory = os.path.dirname(os.path.abspath(path))
        # A path of OpenSSH's settings must be absolute.
        self._program = shutil.which("ssh") or "/usr/bin/ssh"
        self._configured = configured()
        self._is_complete = True
        try:
            entries = self._entries(path, cache)
        except DeclarationError as error:
            raise AnsibleParserError(f"{error.path}: {error.message}") from None
        for name, entry in entries.items():
            self._add(name, entry)

    def _entries(self, path: str, cache: bool) -> Dict[str, Entry]:
        """Return guests by their names, of the cache if that is wanted."""
        if not self.option("cache"):
            return self._read()
        key = self.get_cache_key(path)
        cached = dict(self._cache.get(key) or {}) if cache else {}
        # What has become a host or a group since then is refused, as if there were no cache.
        if cached and not self._taken().keys() & cached.keys():
            return cached
        entries = self._read()
        # What is wrong is said, and read again, until it is right.
        self._cache[key] = entries if self._is_complete else {}
        return entries

    def _taken(self) -> Dict[str, str]:
        """Return the names of the inventory so far, with what these are."""
        constants: Any = C
        return {
            # A guest of this name would be what plays for localhost, and tasks that are delegated to it, run in.
            **dict.fromkeys(constants.LOCALHOST, "the controller"),
            **dict.fromkeys(self.inventory.groups, "a group"),
            **dict.fromkeys(self.inventory.hosts, "a host"),
        }

    def _read(self) -> Dict[str, Entry]:
        template = self.option("hostname")
        wrong = check_name_template(template)
        if wrong:
            raise DeclarationError("hostname", wrong)
        split_arguments("jump_args", self.option("jump_args"))
        guests: List[GuestHost] = []
        jumps: Dict[str, Jump] = {}
        for host, variables in self._hosts():
            try:
                jumps[host], of_host = self._guests(host, variables)
            except DeclarationError as error:
                self._leave_out(f"guests of {host}", DeclarationError(f"{host}.{error.path}", error.message))
                continue
            guests += of_host
        named = named_guests(guests, template, {**self._own_groups(guests), **self._taken()})
        if named.errors:
            left_out = ", ".join(f"{guest.name!r} of {guest.host}" for guest in named.left_out)
            self._leave_out(f"guests {left_out}", named.errors[0])
        return {name: self._entry(name, guest, jumps[guest.host]) for name, guest in named.guests.items()}

    def _leave_out(self, guests: str, error: DeclarationError) -> None:
        """Warn that guests are not in the inventory. Raises the error instead if wrong entries are errors."""
        if self.option("strict"):
            raise error
        self._is_complete = False
        self.display.warning(f"{guests} are left out: {error.path}: {error.message}")

    def _own_groups(self, guests: List[GuestHost]) -> Dict[str, str]:
        """Return the names of the groups that guests will be in, with what these are."""
        prefix = self.option("group_prefix")
        names = {f"{prefix}guests", *(group for guest in guests for group in guest.groups(prefix))}
        return dict.fromkeys(map(self._sanitize_group_name, names), "a group")

    def _hosts(self) -> Iterator[Tuple[str, Variables]]:
        """Yield the hosts that declare MicroVMs, with their variables."""
        hosts = self._members(self.option("group"))
        constants: Any = C
        facts: Any = cache_loader.get(constants.CACHE_PLUGIN) if self.option("facts") else None
        magic = {"groups": self._groups(), **({} if OMISSIONS else {"omit": OMITTED})}
        for host in hosts:
            variables = combined(self._variables(host), magic)
            if facts is not None and facts.contains(host.name):
                variables = combined(usable_facts(facts.get(host.name)), variables)
            variables = combined(variables, self._vars or {})
            if variables.get(VMS):
                yield host.name, variables

    def _members(self, name: str) -> List[Any]:
        """Return the hosts of a group. Raises DeclarationError where there is none."""
        group = self.inventory.groups.get(name)
        if group is None:
            raise DeclarationError(
                "group",
                f"there is no group {name!r} yet; name the inventory of the hosts before this one (in a directory, "
                "sources are read in the order of their names: call this one microvm.yml), or set `group` to the group "
                "of the hosts that run MicroVMs",
            )
        # Groups become children of this one when all sources have been read.
        return list(self.inventory.hosts.values() if name == "all" else group.get_hosts())

    def _variables(self, host: Any) -> Variables:
        """Return the variables of a host from inventory sources, untemplated."""
        # All hosts become members of the group all when all sources have been read.
        everybody = self.inventory.groups["all"]
        own = in_order([group for group in host.get_groups() if group is not everybody])
        sources = self.inventory.processed_sources
        parts = (
            of_groups([everybody]),
            of_groups(own),
            of_sources(self.loader, sources, [everybody], "all"),
            of_sources(self.loader, sources, own, "all"),
            host.get_vars(),
            of_sources(self.loader, sources, [host], "all"),
        )
        variables: Variables = {}
        for part in parts:
            variables = combined(variables, part)
        return variables

    def _groups(self) -> Dict[str, List[str]]:
        """Return the members of groups, also of those that have theirs when all sources have been read."""
        groups = {name: [host.name for host in group.get_hosts()] for name, group in self.inventory.groups.items()}
        hosts = self.inventory.hosts
        ungrouped = [name for name, host in hosts.items() if {group.name for group in host.get_groups()} <= OF_ANSIBLE]
        return {**groups, "all": list(hosts), "ungrouped": ungrouped}

    def _guests(self, host: str, variables: Variables) -> Tuple[Jump, List[GuestHost]]:
        """Return the way to a host and its guests. Raises DeclarationError."""
        self.templar.available_variables = variables
        resolver = Resolver(self.templar, LIMITS)
        names = [name for names in HOST_VARIABLES.values() for name in names if name in variables]
        reached = {**self._configured, **resolver.resolved({name: variables[name] for name in names})}
        jump = jump_to(host, reached, self.option("jump_args"))
        facts = variables.get(FACTS) if self.option("facts") else None
        return jump, declared_guests(host, resolver.resolved(relevant(variables)), facts)

    def _entry(self, name: str, guest: GuestHost, jump: Jump) -> Entry:
        file, prefix = self.option("known_hosts"), self.option("group_prefix")
        path = os.path.expanduser(os.path.expandvars(file)) if file else ""
        known_hosts = os.path.join(self._directory, path) if path else None
        variables = connection_variables(name, guest, jump, self.option("user"), self._program, known_hosts)
        groups = [f"{prefix}guests", *guest.groups(prefix)]
        return {"variables": {**variables, "microvm_guest": dict(guest.variables)}, "groups": groups}

    def _add(self, name: str, entry: Entry) -> None:
        """Add a guest to the inventory."""
        self.inventory.add_host(name)
        for group in entry["groups"]:
            self.inventory.add_child(self.inventory.add_group(self._sanitize_group_name(group)), name)
        # Parts may come from facts, and the cache keeps no marks.
        variables = {**untemplated(entry["variables"]), "ansible_user": self.option("user"), **OLD_NAMES}
        host, strict = self.inventory.get_host(name), self.option("strict")
        for key, value in variables.items():
            # The inventory's own method would note the file that each value comes from, which takes long.
            host.set_variable(key, value)
        base: Any = self
        base._set_composite_vars(self.option("compose"), host.get_vars(), name, strict)
        variables = host.get_vars()
        base._add_host_to_composed_groups(self.option("groups"), variables, name, strict, fetch_hostvars=False)
        base._add_host_to_keyed_groups(self.option("keyed_groups"), variables, name, strict, fetch_hostvars=False)


def configured() -> Variables:
    """Return how Ansible reaches hosts that have no variables for it: by its command line, environment and file."""
    constants: Any = C
    loader: Any = connection_loader
    # What the options of a plugin are is known as soon as it has been loaded.
    loader.get("ssh", class_only=True)
    ask = partial(constants.config.get_config_value_and_origin, plugin_type="connection", plugin_name="ssh")
    values = {name: ask(option) for name, option in SSH_OPTIONS.items()}
    return {name: value for name, (value, origin) in values.items() if value is not None and origin != "default"}


def usable_facts(facts: Mapping[str, Any]) -> Variables:
    """Return facts as variables of their host. They come from the host, which the controller must not trust."""
    return untemplated({name: value for name, value in facts.items() if name not in NO_FACTS})
