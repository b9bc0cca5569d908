# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What packages need of others, and what their units therefore wait for."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import (
    FLEET_DIRECTORY,
    SCRIPT_DIRECTORY,
    TARGET,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.share_sources import (
    source_ownerships,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.needs import (
    Needs,
    needs_of,
    package_needs,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.settings import (
    boot_directories,
    drop_ins,
    host_dependencies,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import SMALL, parse

BARE = {**SMALL, "kernel": f"{FLEET_DIRECTORY}/images/0/kernel"}
OWN_VOLUME = {"image": "data.img", "size": 8}

PATHS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "files of its own": ({"volumes": [OWN_VOLUME], "shares": [{"tag": "a", "source": "files"}]}, [], []),
    "a kernel": ({"kernel": "/mnt//nas/./vmlinuz"}, ["/mnt/nas/vmlinuz"], ["path:/mnt/nas/vmlinuz"]),
    "an image that is created": (
        {"volumes": [{"image": "/mnt/nas/a/data.img", "size": 8}]},
        ["/mnt/nas/a/data.img"],
        ["path:/mnt/nas/a"],
    ),
    "an image that others create": (
        {"volumes": [{"image": "/mnt/nas/a/data.img", "auto_create": False, "read_only": True}]},
        ["/mnt/nas/a/data.img"],
        ["path:/mnt/nas/a/data.img"],
    ),
    "a share": (
        {"shares": [{"tag": "a", "proto": "virtiofs", "source": "/srv/it's 100% $HOME"}]},
        ["/srv/it's 100% $HOME"],
        ["path:/srv/it's 100% $HOME"],
    ),
    "credentials": (
        {"credential_files": {"a": "/run/vault/a", "b": "/etc/b"}},
        ["/etc/b", "/run/vault/a"],
        ["path:/etc/b", "path:/run/vault/a"],
    ),
    "a socket": ({"socket": "/run/own/x.sock"}, ["/run/own/x.sock"], ["path:/run/own"]),
    "a program": ({"qemu": {"package": "/opt/qemu/bin/qemu"}}, ["/opt/qemu/bin/qemu"], []),
    "bridges": ({"interfaces": [{"bridge": "lan0"}, {"type": "user"}, {"bridge": "lan0"}]}, [], ["bridge:lan0"]),
    "a link": (
        {"interfaces": [{"type": "macvtap", "macvtap": {"link": "bond0.7", "mode": "bridge"}}]},
        [],
        ["interface:bond0.7"],
    ),
    "a network of macvtaps": ({"interfaces": [{"type": "macvtap", "bridge": "wire0"}]}, [], ["network:wire0"]),
}


def needs(options: dict[str, Any]) -> Needs:
    """Return the needs of a small MicroVM with some options."""
    return needs_of(parse({**BARE, **options})[0])


@pytest.mark.parametrize(("options", "paths", "awaited"), PATHS.values(), ids=PATHS.keys())
def test_what_is_declared_is_mounted_and_waited_for(
    options: dict[str, Any], paths: list[str], awaited: list[str]
) -> None:
    assert list(needs(options).paths) == paths
    assert list(needs(options).awaited) == awaited


def test_a_package_without_a_declaration_has_its_lists() -> None:
    lists = {
        "share/microvm/virtiofs/home/source": "/mnt/nas/home\n",
        "share/microvm/virtiofs/home/socket": "home.sock",
        "share/microvm/virtiofs/own/source": "files",
        "share/microvm/virtiofs/odd/source": "/a\nb",
        "share/microvm/macvtap-interfaces": "m0 02:00:00:00:00:01 eth7 bridge\nm1\n",
    }
    found = package_needs(None, lists, lambda file: lists.get(file, ""))
    assert found == Needs(("/mnt/nas/home",), ("interface:eth7",), serves_shares=True)
    assert package_needs(None, [], lambda file: "") == Needs()


def test_all_units_that_use_a_path_wait_for_its_file_system() -> None:
    share = {"shares": [{"tag": "a", "proto": "virtiofs", "source": '/mnt/a "b" 100%'}]}
    texts = drop_ins({"microvm-virtiofsd@.service": "[Service]\nUMask=0\n"}, "TasksMax=1\n", "", needs(share))
    line = 'RequiresMountsFor="/mnt/a \\"b\\" 100%%"\n'
    assert texts == {
        "microvm@.service": f"[Service]\nTasksMax=1\n[Unit]\n{line}",
        "microvm-virtiofsd@.service": f"[Service]\nUMask=0\n[Unit]\n{line}",
        "microvm-wait@.service": f"[Unit]\n{line}[Service]\nExecStart=\n"
        f'ExecStart=:{SCRIPT_DIRECTORY}/microvm-wait %i "path:/mnt/a \\"b\\" 100%%"\n',
    }


def test_units_that_a_microvm_requires_come_first() -> None:
    declared = {"after": ["ssh.service"], "requires": [r"mnt-my\x2dnas.mount", "microvm@db.service"]}
    lines = host_dependencies(parse({**SMALL, **declared})[0])
    required = r"mnt-my\x2dnas.mount microvm@db.service"
    assert lines == f"Requires={required}\nAfter=ssh.service {required}\n"
    texts = drop_ins({}, "", lines)
    assert set(texts) == {"microvm@.service", "microvm-wait@.service"}
    assert all(lines in text for text in texts.values())
    assert host_dependencies(parse(SMALL)[0]) == ""


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("vault", "whole name"),
        ("vault.service extra.service", "whole name"),
        ("getty@.service", "whole name"),
        ("a.service\n", "whole name"),
        ("%i.service", "whole name"),
        ("multi-user.target", "after the MicroVMs"),
        (TARGET, "after the MicroVMs"),
        ("microvm@small.service", "itself"),
        ("microvm-wait@small.service", "itself"),
    ],
)
@pytest.mark.parametrize("option", ["after", "requires"])
def test_what_cannot_come_first_is_refused(option: str, unit: str, words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as error:
        parse({**SMALL, option: ["ssh.service", unit]})
    assert error.value.path == f"vms[0].{option}[1]"


def test_directories_that_a_start_of_the_host_loses_are_created_by_it() -> None:
    directories = ["/srv/a", "/run/a b/100%", "/dev/shm/x", "/running", "/run"]
    assert boot_directories(directories, Account("microvm-a", "microvm-a")) == (
        'd "/run/a b/100%%" 0755 microvm-a microvm-a -\nd "/dev/shm/x" 0755 microvm-a microvm-a -\n'
    )
    assert boot_directories(["/srv/a"], Account("a", "a")) == ""


def test_directories_that_are_created_again_have_the_declared_owner() -> None:
    share = {"tag": "a", "proto": "virtiofs", "source_owner": "100000", "source_mode": "0700"}
    shares = [{**share, "source": "/run/a"}, {"tag": "b", "source": "/run/b"}, {**share, "tag": "c", "source": "c"}]
    owner = Account("microvm", "microvm")
    declared = source_ownerships(parse({**BARE, "shares": shares})[0], owner)
    assert boot_directories(["/run/a", "/run/b"], owner, declared) == (
        'd "/run/a" 0700 100000 100000 -\nd "/run/b" 0755 microvm microvm -\n'
    )
