# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module microvm_virtiofsd: directories served to a guest that is no MicroVM of this collection."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .host import Host
from .paths import SERVED_SOCKETS, SERVED_UNIT, UNITS
from .small_guest import run_in_guest

MODULE = "microvm.fleet.microvm_virtiofsd"
SHARES: list[dict[str, Any]] = [
    # File systems of test hosts may have no handles for directories, which is what `prefer` is for.
    {"name": "all", "source": "/srv/all", "source_mode": "0777", "inode_file_handles": "prefer"},
    {"name": "still", "source": "/srv/all", "read_only": True, "cache": "never"},
    {"name": "alice", "source": "/home/alice/files", "user": "alice"},
    {
        "name": "shifted",
        "source": "/srv/shifted",
        "source_owner": "100000",
        "source_mode": "0700",
        "translate_uid": ["map:0:100000:65536"],
        "translate_gid": ["map:0:100000:65536"],
    },
]
ABSENT = [{"name": share["name"], "state": "absent"} for share in SHARES]
IN_GUEST = """\
for tag in all still alice shifted; do mkdir -p /mnt/$tag; mount -t virtiofs $tag /mnt/$tag || echo no $tag; done
cat /mnt/all/greeting
echo 'of the guest' > /mnt/all/answer && chown 1234:1234 /mnt/all/answer
su user -c 'cat /mnt/all/listed'
su other -c 'cat /mnt/all/listed'
(echo x > /mnt/still/answer) 2>/dev/null || echo refused
cat /mnt/still/greeting
echo 'of the guest' > /mnt/alice/answer && stat -c %u /mnt/alice/answer
cat /mnt/alice/secret
echo 'of the guest' > /mnt/shifted/answer && stat -c %u /mnt/shifted/answer
"""
"""The list of one file gives it to user 1234 alone; another file is of root of the host."""

LET_USER_READ = """\
import os, struct, sys
entries = (1, 6, 0), (2, 4, 1234), (4, 0, 0), (16, 4, 0), (32, 0, 0)
value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
os.setxattr(sys.argv[1], "system.posix_acl_access", value)
"""
"""Does what `setfacl -m u:1234:r` does (acl(5))."""


class Served:
    """Shares of a host."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self._directory = host, directory

    def apply(self, shares: list[dict[str, Any]], *options: str, **words: object) -> str:
        """Run the module; return the output of ansible-playbook."""
        return self._play([{MODULE: {"shares": shares, **words}}], *options)

    def refusals(self, shares: list[dict[str, Any]], *options: str) -> list[str]:
        """Run the module for each share alone, which it must refuse; return the messages."""
        expected = {"register": "done", "failed_when": "done is not failed"}
        shown = {"ansible.builtin.debug": {"msg": "refused: {{ done.msg }}"}}
        tasks = [task for share in shares for task in ({MODULE: {"shares": [share]}, **expected}, shown)]
        return re.findall("refused: (.*)", self._play(tasks, *options))

    def _play(self, tasks: list[dict[str, Any]], *options: str) -> str:
        play = json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}])
        return self.host.play(self._directory, play, *options)

    def traces(self) -> str:
        """Return what a host has of shares."""
        units = SERVED_UNIT.format("*")
        return self.host.run(
            f"ls -d {UNITS}/{units} {UNITS}/*.wants/{units} {SERVED_SOCKETS}*/* 2>/dev/null;"
            f" systemctl --no-legend --plain --all list-units '{units}'; true"
        )


@pytest.fixture
def served(host: Host, tmp_path: Path) -> Iterator[Served]:
    """A host that serves nothing before and after."""
    host.run("useradd --create-home alice")
    served = Served(host, tmp_path)
    assert served.traces() == ""
    yield served
    if served.traces():
        served.apply([*ABSENT, {"name": "fragile", "state": "absent"}], replace_in_use=True)
    assert served.traces() == ""
    host.run("userdel --remove alice; rm -rf /srv/all /srv/shifted /srv/fragile")


def changes(output: str) -> int:
    """Return how many tasks of a play have changed something."""
    return int(re.findall(r"changed=(\d+)", output)[-1])


def test_a_guest_has_what_each_share_allows(served: Served) -> None:
    host = served.host
    assert changes(served.apply(SHARES, "--check", "--diff")) == 1
    assert served.traces() == "" and "all" not in host.run("ls /srv")
    assert changes(served.apply(SHARES)) == 1
    assert changes(served.apply(SHARES, "--diff")) == 0
    assert host.run("stat -c '%u %a' /srv/all /srv/shifted /home/alice/files; id -u alice").split("\n")[:2] == [
        "0 777",
        "100000 700",
    ]
    host.run(
        "echo 'of the host' > /srv/all/greeting; echo listed > /srv/all/listed; chmod 600 /srv/all/listed;"
        "echo secret > /home/alice/files/secret; chmod 600 /home/alice/files/secret;"
        f"python3 -c {shlex.quote(LET_USER_READ)} /srv/all/listed"
    )
    sockets = {share["name"]: f"{SERVED_SOCKETS}/{share['name']}.sock" for share in SHARES}
    alice = host.run("id -u alice").strip()
    assert run_in_guest(host, IN_GUEST, sockets) == [
        "of the host",
        "listed",
        "cat: can't open '/mnt/all/listed': Permission denied",
        "refused",
        "of the host",
        "0",
        "cat: can't open '/mnt/alice/secret': Permission denied",
        "0",
    ]
    owners = host.run("stat -c '%u' /srv/all/answer /home/alice/files/answer /srv/shifted/answer").split()
    assert owners == ["1234", alice, "100000"]
    # A daemon ends with its guest, and another guest has another one.
    daemons = [f"{SERVED_UNIT.format(share['name'])}.service" for share in SHARES]
    host.wait_for_states(dict.fromkeys(daemons, "inactive"))
    assert run_in_guest(host, "mount -t virtiofs all /mnt && cat /mnt/answer", {"all": sockets["all"]}) == [
        "of the guest"
    ]


def test_a_share_in_use_is_left_alone_unless_it_is_demanded(served: Served) -> None:
    """A hypervisor is connected as socat is here; the daemon is killed and comes back with the next connection."""
    host, share = served.host, {"name": "fragile", "source": "/srv/fragile"}
    served.apply([share])
    socket, daemon = f"{SERVED_SOCKETS}/fragile.sock", SERVED_UNIT.format("fragile")
    connect = f"systemd-run --quiet --unit=microvm-test-connection socat -u UNIX-CONNECT:{socket} OPEN:/dev/null"
    end = "systemctl stop microvm-test-connection; systemctl reset-failed microvm-test-connection"
    host.run(connect)
    host.wait_for_states({f"{daemon}.service": "active"})
    before = host.invocation(f"{daemon}.service")
    assert "while a hypervisor is connected to it" in served.refusals([{**share, "read_only": True}])[0]
    assert host.invocation(f"{daemon}.service") == before
    host.run(f"systemctl kill --signal=KILL {daemon}.service")
    host.wait_for_states({f"{daemon}.service": "failed", f"{daemon}.socket": "active"})
    host.run(f"{end}; {connect}")
    host.wait_for_states({f"{daemon}.service": "active"})
    assert changes(served.apply([{**share, "read_only": True}], replace_in_use=True)) == 1
    host.wait_for_states({f"{daemon}.service": "inactive", f"{daemon}.socket": "active"})
    assert "--readonly" in host.run(f"systemctl cat {daemon}.service")
    host.run(f"{end}; true")
    exposure = host.run(f"systemd-analyze security --no-pager {daemon}.service | tail -n 1")
    assert float(re.findall(r"[0-9.]+(?= [A-Z])", exposure)[0]) <= 2.5


def test_what_the_host_cannot_serve_is_refused_before_anything_changes(served: Served) -> None:
    served.host.run("ln -sfn /etc /srv/link; mkdir -p /home/alice/files")
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("source", {"source": "/srv/link"}),
        ("source", {"source": "/etc/hostname"}),
        ("source", {"source": "/home/alice/files"}),
        ("group", {"group": "nobody-has-it"}),
        ("user", {"user": "nobody-is-it"}),
        ("socket", {"socket": "/home/alice/x.sock"}),
        ("inode_file_handles", {"source": "/proc", "inode_file_handles": "mandatory"}),
    ]
    shares = [{"name": "fragile", "source": "/srv/fragile", **options} for _key, options in wrong]
    messages = served.refusals(shares, "--check")
    assert [re.findall(r"^shares\[0\].*?\.(\w+)", message) for message in messages] == [[key] for key, _share in wrong]
    assert served.traces() == ""
    served.host.run("rm /srv/link")
