# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments of ssh(1) on the controller for a guest, which is reached through the host that runs it.

A guest's host key comes from the host, over the connection that authenticates it (``KnownHostsCommand``), or from a
file on the controller. An unknown key is never accepted.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ..declaration.names import COMMAND, KNOWN_HOSTS
from ..schema.errors import DeclarationError
from .guest_inventory import GuestHost

HOST_VARIABLES: Mapping[str, Tuple[str, ...]] = {
    "connection": ("ansible_connection",),
    "address": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "key": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
    "args": ("ansible_ssh_args",),
    "common": ("ansible_ssh_common_args",),
    "extra": ("ansible_ssh_extra_args",),
    "become": ("ansible_become",),
}
"""Variables that say how Ansible reaches a host; of several, the last that is set counts, as for Ansible."""

SSH_CONNECTIONS = ("ssh", "ansible.builtin.ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.paramiko_ssh")
LOCAL_CONNECTIONS = ("local", "ansible.builtin.local")

NO_FILE = "/dev/null"

SEARCHED_NAME = "\0"
"""Sign in the place of the name that ssh itself fills in."""

PINNED = ("StrictHostKeyChecking=yes", "UpdateHostKeys=no", "CheckHostIP=no", f"GlobalKnownHostsFile={NO_FILE}")
"""Settings by which only the recorded key of a guest is accepted."""


SHARED = "-C -o ControlMaster=auto -o ControlPersist=60s"
"""Arguments of ssh by which Ansible shares a connection between the tasks of a host, as by default."""


@dataclass(frozen=True)
class Jump:
    """Way from the controller to a host."""

    host: str
    address: str
    words: Tuple[str, ...] = ()
    """Arguments of ssh, without the address."""
    is_local: bool = False
    """Whether the host is the controller."""
    becomes_root: bool = False

    def command(self, program: str, *arguments: str) -> List[str]:
        """Return the words of ssh with arguments before the address of the host."""
        return [program, *self.words, *arguments, "--", self.address]

    def on_host(self, program: str, *command: str) -> List[str]:
        """Return the words that run a command on the host."""
        return [*command] if self.is_local else [*self.command(program), shlex.join(command)]


def jump_to(host: str, variables: Mapping[str, object], arguments: str = "") -> Jump:
    """Return the way to a host; ``arguments`` are arguments of ssh that come first.

    Raises DeclarationError for a host that Ansible does not reach by SSH.
    """
    value = {key: _value(variables, names) for key, names in HOST_VARIABLES.items()}
    connection = value["connection"] or "ssh"
    if connection in LOCAL_CONNECTIONS:
        return Jump(host, host, is_local=True, becomes_root=_is_true(value["become"]))
    if connection not in SSH_CONNECTIONS:
        raise DeclarationError(
            "ansible_connection", f"{connection!r} is no way for other programs; guests need a host with SSH"
        )
    words = ["-o", "BatchMode=yes"]
    for name, text in (
        ("jump_args", arguments),
        ("ansible_ssh_args", value["args"]),
        ("ansible_ssh_common_args", value["common"]),
        ("ansible_ssh_extra_args", value["extra"]),
    ):
        words += split_arguments(name, text)
    for option, text in (("-p", value["port"]), ("-i", value["key"]), ("-l", value["user"])):
        words += [option, text] if text else []
    return Jump(host, value["address"] or host, (*words, *_persistence(words)), becomes_root=_is_true(value["become"]))


def _persistence(words: Sequence[str]) -> Sequence[str]:
    """Return the default of ControlPersist where words have a ControlPath alone.

    Ansible looks for the names of both in all arguments, so in those of the jump as well, and sets no ControlPath for
    the guest if it sees no more than the latter.
    """
    text = " ".join(words).lower()
    return ("-o", "ControlPersist=no") if "controlpath" in text and "controlpersist" not in text else ()


def _value(variables: Mapping[str, object], names: Sequence[str]) -> str:
    values = [variables[name] for name in names if variables.get(name) not in (None, "")]
    return str(values[-1]) if values else ""


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "yes", "on", "1", "y", "t")


def split_arguments(path: str, text: str) -> List[str]:
    """Return arguments of ssh that a variable or an option has. Raises DeclarationError for quotes that do not end."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise DeclarationError(path, f"cannot be read as arguments ({error}); correct its quotes") from None


def connection_variables(
    name: str, guest: GuestHost, jump: Jump, user: str, program: str, known_hosts: Optional[str] = None
) -> Dict[str, object]:
    """Return the variables by which Ansible reaches a guest.

    ``name`` is that of the guest in the inventory, ``program`` the path of ssh on the controller, ``known_hosts`` a
    file on the controller with the host keys of guests by their names in the inventory.
    """
    options = [*PINNED, *_known_hosts(name, guest, jump, program, known_hosts), *_proxy(guest, jump, program)]
    identity = hashlib.sha256(f"{guest.host}\0{guest.name}".encode()).hexdigest()[:12]
    return {
        "ansible_connection": "ssh",
        "ansible_host": guest.address or guest.name,
        "ansible_port": guest.port,
        "ansible_user": user,
        # These arguments come first, so that they count. Others may have a path for connections that is the same for
        # all guests at one address: the tasks for one would run in another, whose key was never looked at.
        "ansible_ssh_args": " ".join([*(f"-o {shlex.quote(option)}" for option in options), SHARED]),
        "ansible_ssh_common_args": "",
        "ansible_ssh_extra_args": "",
        # Else that setting of ansible.cfg would come before those above, and could be false.
        "ansible_ssh_host_key_checking": True,
        # Those that Ansible derives are the same for guests of different hosts that have the same address.
        "ansible_control_path": f"%(directory)s/microvm-{identity}-%%r",
    }


def _known_hosts(name: str, guest: GuestHost, jump: Jump, program: str, known_hosts: Optional[str]) -> List[str]:
    if known_hosts is not None:
        return [f"UserKnownHostsFile={_file(known_hosts)}", f"HostKeyAlias={name}"]
    alias = f"HostKeyAlias={guest.name}"
    if jump.is_local:
        return [f"UserKnownHostsFile={KNOWN_HOSTS}", alias]
    command = ssh_words(jump.on_host(program, "sed", _with_searched_name(guest.name), KNOWN_HOSTS))
    return [
        f"UserKnownHostsFile={NO_FILE}",
        f"KnownHostsCommand={command.replace(SEARCHED_NAME, '%H')}",
        alias,
    ]


def _with_searched_name(name: str) -> str:
    """Return the expression of sed(1) that lets the keys of a guest have the name that ssh searches for, too.

    To choose among the types of keys that a server has, ssh asks for the address even if there is an alias. If it found
    nothing, it would choose by an order of its own, and refuse a guest whose other key is the recorded one.
    """
    pattern = name.replace(".", "[.]")
    return f"s/^{pattern} /{name},{SEARCHED_NAME} /"


def _file(path: str) -> str:
    """Return a path in quotes, for a setting that is a list of files."""
    return '"' + path.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"') + '"'


def _proxy(guest: GuestHost, jump: Jump, program: str) -> List[str]:
    """Return the setting that leads to the guest; none if the controller is its host and reaches its address."""
    if guest.address is None:
        prefix = ("sudo", "-n") if jump.becomes_root else ()
        return [f"ProxyCommand={escaped(jump.on_host(program, *prefix, COMMAND, 'forward', guest.name))}"]
    if jump.is_local:
        return []
    before, after = jump.command(program), ["-W", "[%h]:%p"]
    # Only the part of this connection itself is for ssh to fill in.
    words = [escaped(before[:-2]), shlex.join(after), escaped(before[-2:])]
    return [f"ProxyCommand={' '.join(words)}"]


def ssh_words(words: Sequence[str]) -> str:
    """Return words as a command that ssh itself splits, by fewer rules than a shell's, and fills in as well."""
    marked = (word.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"') for word in words)
    return " ".join(f'"{word}"' for word in marked)


def escaped(words: Sequence[str]) -> str:
    """Return words as a command of a shell in a setting of ssh, which fills in what follows a percent sign."""
    return shlex.join(words).replace("%", "%%")
