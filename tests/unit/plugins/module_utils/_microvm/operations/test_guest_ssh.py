# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arguments of ssh by which Ansible reaches guests, as ssh itself and shells read them."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import KNOWN_HOSTS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_inventory import GuestHost
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_ssh import (
    SHARED,
    Jump,
    connection_variables,
    escaped,
    jump_to,
    ssh_words,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

SSH = "/usr/bin/ssh"
HOST: Dict[str, object] = {
    "ansible_host": "192.0.2.1",
    "ansible_user": "ops",
    "ansible_port": 2222,
    "ansible_ssh_private_key_file": "/home/you/my keys/50%",
    "ansible_ssh_common_args": "-F '/etc/ssh/our config' -o ProxyCommand='ssh -W %h:%p bastion'",
    "ansible_password": "SECRET",
}


def guest(address: Optional[str] = "10.0.0.2", name: str = "web", host: str = "east", port: int = 22) -> GuestHost:
    return GuestHost(name, host, "qemu", "started", (), address, port, {})


def variables(host: Dict[str, object], of: Optional[GuestHost] = None, **options: Any) -> Dict[str, Any]:
    return connection_variables("web.east", of or guest(), jump_to("east", host), "root", SSH, **options)


def settings(host: Dict[str, object], of: Optional[GuestHost] = None, **options: Any) -> Dict[str, str]:
    """Return the settings of ssh as Ansible splits them."""
    words = shlex.split(str(variables(host, of, **options)["ansible_ssh_args"]).removesuffix(f" {SHARED}"))
    assert words[::2] == ["-o"] * (len(words) // 2)
    return dict(word.split("=", 1) for word in words[1::2])


def filled_in(setting: str) -> List[str]:
    """Return the words of a command as ssh runs it, for a connection to 10.0.0.2."""
    parts = [part.replace("%h", "10.0.0.2").replace("%p", "22") for part in setting.split("%%")]
    return shlex.split("%".join(parts))


WORDS = [
    SSH,
    "-o",
    "BatchMode=yes",
    "-F",
    "/etc/ssh/our config",
    "-o",
    "ProxyCommand=ssh -W %h:%p bastion",
    "-p",
    "2222",
    "-i",
    "/home/you/my keys/50%",
    "-l",
    "ops",
]


def test_a_guest_is_reached_through_its_host_as_ansible_reaches_that() -> None:
    assert filled_in(settings(HOST)["ProxyCommand"]) == [*WORDS, "-W", "[10.0.0.2]:22", "--", "192.0.2.1"]


def test_host_keys_come_from_the_host_and_unknown_ones_are_refused() -> None:
    read = settings(HOST)
    assert filled_in(read["KnownHostsCommand"]) == [*WORDS, "--", "192.0.2.1", f"sed 's/^web /web,%H /' {KNOWN_HOSTS}"]
    assert (read["StrictHostKeyChecking"], read["HostKeyAlias"]) == ("yes", "web")
    assert read["UserKnownHostsFile"] == read["GlobalKnownHostsFile"] == "/dev/null"
    # Else that setting of ansible.cfg would come before, and could be false.
    assert variables(HOST)["ansible_ssh_host_key_checking"] is True


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "web",
            ["web,10.0.0.2 ecdsa-sha2-nistp256 A", "web.a ssh-ed25519 B", "webxa ssh-ed25519 C", "|1|x= ssh-rsa D"],
        ),
        (
            "web.a",
            ["web ecdsa-sha2-nistp256 A", "web.a,10.0.0.2 ssh-ed25519 B", "webxa ssh-ed25519 C", "|1|x= ssh-rsa D"],
        ),
    ],
)
def test_the_recorded_type_of_key_is_found_by_the_address_and_no_other_guests_key_is(
    tmp_path: Path, name: str, expected: List[str]
) -> None:
    """Else ssh, which asks for the address and not for the alias, would prefer another key of the guest."""
    lines = ["web ecdsa-sha2-nistp256 A", "web.a ssh-ed25519 B", "webxa ssh-ed25519 C", "|1|x= ssh-rsa D"]
    (tmp_path / "known_hosts").write_text("\n".join([*lines, ""]))
    command = filled_in(settings(HOST, guest(name=name))["KnownHostsCommand"].replace("%H", "10.0.0.2"))[-1]
    here = command.replace(KNOWN_HOSTS, str(tmp_path / "known_hosts"))
    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == expected


def test_host_keys_may_come_from_a_file_of_the_controller() -> None:
    read = settings(HOST, known_hosts='/a "b"/50%')
    assert read["UserKnownHostsFile"] == '"/a \\"b\\"/50%%"' and read["HostKeyAlias"] == "web.east"
    assert "KnownHostsCommand" not in read


@pytest.mark.parametrize(("become", "command"), [(False, ""), (True, "sudo -n "), ("yes", "sudo -n ")])
def test_a_guest_without_a_known_address_is_reached_by_its_host(become: object, command: str) -> None:
    host: Dict[str, object] = {"ansible_become": become}
    proxy = filled_in(settings(host, guest(None))["ProxyCommand"])
    assert proxy == [SSH, "-o", "BatchMode=yes", "--", "east", f"{command}/usr/local/bin/microvm forward web"]


@pytest.mark.parametrize(
    ("address", "proxy"), [("10.0.0.2", None), (None, ["/usr/local/bin/microvm", "forward", "web"])]
)
def test_on_the_controller_itself_no_connection_to_the_host_is_made(
    address: Optional[str], proxy: Optional[List[str]]
) -> None:
    read = settings({"ansible_connection": "local"}, guest(address))
    assert read["UserKnownHostsFile"] == KNOWN_HOSTS and "KnownHostsCommand" not in read
    assert (filled_in(read["ProxyCommand"]) if "ProxyCommand" in read else None) == proxy


def test_arguments_of_other_places_come_after_ours_or_not_at_all() -> None:
    # Ansible takes `ansible_ssh_args` first.
    named = variables(HOST)
    assert str(named["ansible_ssh_args"]).startswith("-o StrictHostKeyChecking=yes ")
    assert named["ansible_ssh_common_args"] == named["ansible_ssh_extra_args"] == ""


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        ("-o ControlPath=/run/x", ["-o", "ControlPersist=no"]),
        ("-o controlpath=/run/x -o ControlPersist=60s", ["-o", "ControlPersist=60s"]),
        ("-o ControlMaster=auto", ["-o", "ControlMaster=auto"]),
    ],
)
def test_a_path_for_connections_to_the_host_does_not_count_as_one_for_the_guest(
    arguments: str, last: List[str]
) -> None:
    # Ansible looks for `controlpersist` in an argument, and else for `controlpath`.
    assert list(jump_to("east", {}, arguments).words)[-2:] == last


def test_secrets_of_the_host_are_no_variables_of_its_guests() -> None:
    assert "SECRET" not in str(variables(HOST))


def test_guests_with_one_address_on_different_hosts_share_no_connection() -> None:
    paths = {
        str(connection_variables(name, of, Jump(of.host, of.host), "root", SSH)["ansible_control_path"])
        for name, of in (("a", guest()), ("b", guest(host="west")), ("c", guest(name="db")))
    }
    assert len(paths) == 3
    assert all((path % {"directory": "/run"}).endswith("-%r") and len(path) < 50 for path in paths)


def test_ssh_reads_what_is_written() -> None:
    words = shlex.split(str(variables(HOST)["ansible_ssh_args"]))
    done = subprocess.run(
        ["ssh", "-G", "-F", "/dev/null", *words, "10.0.0.2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert read["proxycommand"] == settings(HOST)["ProxyCommand"]
    assert read["knownhostscommand"] == settings(HOST)["KnownHostsCommand"]
    assert (read["hostkeyalias"], read["stricthostkeychecking"]) == ("web", "true")


@pytest.mark.parametrize("word", ["a b", "it's", '"', "$(x)", "`x`", "\\", "50%h", "%%", "", "#", "~", "*", "ü"])
def test_any_word_reaches_a_shell(word: str) -> None:
    command = escaped(["printf", "%s.", word]).replace("%%", "%")
    assert subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout == f"{word}."


@pytest.mark.parametrize(
    ("word", "written"),
    [("a b", '"a b"'), ("it's", '"it\'s"'), ("\\'", '"\\\\\'"'), ('say "x"', '"say \\"x\\""'), ("50%h", '"50%%h"')],
)
def test_words_that_ssh_itself_splits_are_written_by_its_rules(word: str, written: str) -> None:
    # It knows both quotes, but no quotes within them, and a backslash before either or another one.
    assert ssh_words(["cat", word]) == f'"cat" {written}'


def test_the_last_of_several_names_of_a_variable_counts() -> None:
    host = {"ansible_ssh_host": "new", "ansible_host": "old", "ansible_ssh_user": "new", "ansible_user": "old"}
    jump = jump_to("east", host, "-o ControlMaster=auto")
    assert (jump.address, jump.words) == ("new", ("-o", "BatchMode=yes", "-o", "ControlMaster=auto", "-l", "new"))


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ({"ansible_connection": "community.docker.docker"}, "ansible_connection"),
        ({"ansible_ssh_common_args": "-o 'x"}, "ansible_ssh_common_args"),
        ({"ansible_ssh_extra_args": "-o 'x"}, "ansible_ssh_extra_args"),
    ],
)
def test_a_host_that_ssh_does_not_reach_is_refused(host: Dict[str, object], path: str) -> None:
    with pytest.raises(DeclarationError) as error:
        jump_to("east", host)
    assert error.value.path == path
