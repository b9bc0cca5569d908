# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users of a host, and MicroVMs of other accounts, try to read what is declared of a MicroVM."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from ..fleet import Fleet, declaration
from ..host import Host
from ..paths import FLEET, RECORDS, SETTINGS, STATE, STORE

SECRET = "declared-secret"
READERS = ("mallory", "microvm-db", "microvm", "nobody")
"""A person in group kvm, the user of another MicroVM, that of MicroVMs that share one, and nobody."""


@pytest.fixture(name="web")
def _web(host: Host, fake_qemu: None) -> Iterator[str]:
    """Package of a running MicroVM, beside two others, one of which has an archived volume."""
    fleet = Fleet(host)
    host.run("useradd --groups kvm mallory")
    parameters: dict[str, object] = {"kernel_params": [f"password={SECRET}"]}
    vms = [
        {**declaration(0, **parameters), "name": "web"},
        {**declaration(1), "name": "db", "volumes": [{"image": "data.img", "size": 8}]},
        {**declaration(2), "name": "shared", "isolation": "shared"},
    ]
    fleet.apply(vms)
    yield host.run(f"readlink {STATE}/web/current").strip()
    host.run("userdel mallory")


def successes(host: Host, user: str, lines: Sequence[str]) -> list[str]:
    """Return which lines of a shell a user can carry out, with all groups of the user."""
    script = "\n".join(f"( {line} ) >/dev/null 2>&1 && echo '{line}'" for line in lines)
    host.send("/tmp", {"attack": f"#!/bin/sh\n{script}\ntrue\n"})
    return host.run(f"cd /; setpriv --reuid={user} --regid=$(id -g {user}) --init-groups /tmp/attack").splitlines()


def test_nobody_else_reads_what_is_declared(host: Host, web: str) -> None:
    host.run(
        f"microvm stop db; install -d -m 0700 {FLEET}/archive {FLEET}/archive/db;"
        f" echo {SECRET} > {FLEET}/archive/db/data.img.1"
    )
    files = host.run(f"find {web} {RECORDS} {SETTINGS} {FLEET}/archive -type f -o -type l").split()
    directories = host.run(f"find {web} {STORE} {RECORDS} {SETTINGS} {FLEET}/archive -type d").split()
    others = [directory for directory in directories if "-web" in directory or directory in (STORE, RECORDS, SETTINGS)]
    own = [file for file in files if "/db" not in file and "-db" not in file and "shared" not in file]
    lines = [*(f"cat {file}" for file in own), *(f"ls {directory}" for directory in others)]
    lines += [
        f"cat {STATE}/web/current/share/microvm/declaration.json",
        f"{web}/bin/microvm-run",
        f"cp -r {web} /tmp/x",
    ]
    lines += [f"cd {web}", f"ls {STATE}/web", f"cat {FLEET}/archive/db/data.img.1", f"ls {FLEET}/archive/db"]
    assert SECRET in host.run(f"cat {web}/share/microvm/command-line")
    for user in READERS:
        assert successes(host, user, lines) == [], user
    print(f"{len(lines) * len(READERS)} tries of {len(READERS)} users, none has read anything")


def test_the_account_and_root_without_capabilities_read_the_package(host: Host, web: str) -> None:
    files = host.run(f"find {web} -type f").split()
    lines = [f"cat {file}" for file in (*files, f"{SETTINGS}/web.env")]
    assert successes(host, "microvm-web", lines) == lines
    host.run(f"cd /; setpriv --bounding-set=-all --inh-caps=-all sh -ec 'cat {' '.join(files)} > /dev/null'")
    shared = host.run(f"readlink {STATE}/shared/current").strip()
    own = [f"cat {file}" for file in host.run(f"find {shared} -type f").split()]
    assert successes(host, "microvm", own) == own


def test_the_command_tells_other_users_that_root_is_needed(host: Host, web: str) -> None:
    host.send("/tmp", {"one.json": json.dumps([declaration(7)])})
    words_of_all = (
        "list",
        "list --json",
        "info web",
        "generations web",
        "ssh web id",
        "gc",
        "apply /tmp/one.json --check",
    )
    for words in words_of_all:
        line = f"setpriv --reuid=mallory --regid=mallory --clear-groups microvm {words} 2>&1; echo status $?"
        output = host.run(line)
        assert output.endswith("status 1\n") and "root" in output and "Traceback" not in output, output


def test_modes_that_somebody_has_changed_are_restored_by_the_role(host: Host, web: str) -> None:
    host.run(f"chmod 755 {web} {STORE} {RECORDS} {SETTINGS}; chmod 644 {SETTINGS}/*.env")
    host.install_role()
    modes = f"stat --format %a:%U:%G {web} {STORE} {RECORDS} {SETTINGS} {SETTINGS}/web.env"
    assert host.run(modes).split() == [
        *("750:root:microvm-web", "711:root:root", "700:root:root", "711:root:root", "640:root:microvm-web")
    ]
    assert "changed=0" in host.install_role()
