# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role ``host`` on a host that was prepared by an earlier version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .history import unpack
from .host import TREE, Host
from .packages import FAKE_QEMU, tiny
from .paths import RECORDS, SCRIPTS, SETTINGS, STATE, STORE, UNITS

FORMER_LAYOUT = "0fd2a8b072f260aa0cde62e752e6f32a319139f7"
"""Last commit in which hypervisors worked beside root's links."""

SCRIPT = f"{SCRIPTS}/microvm-turn"
FILES = f"{UNITS}/microvm-turn@.service {SCRIPT}"


def test_units_of_earlier_versions_are_removed_with_their_failures(host: Host) -> None:
    unit = f"[Service]\nType=oneshot\nExecStart={SCRIPT}\n"
    host.send(UNITS, {"microvm-turn@.service": unit})
    host.run(f"cp /bin/false {SCRIPT}; systemctl daemon-reload; systemctl start microvm-turn@web || true")
    assert host.states(["microvm-turn@web"]) == {"microvm-turn@web": "failed"}
    host.install_role()
    host.run(f"! ls {FILES} 2>/dev/null")
    assert host.run("systemctl list-units --all --plain --no-legend 'microvm-turn@*'") == ""
    assert host.run("systemctl is-system-running") == "running\n"


@pytest.fixture(scope="module", name="previous")
def _previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as it was with the former layout, from the project's history."""
    collections = tmp_path_factory.mktemp("previous")
    unpack(FORMER_LAYOUT, collections)
    return collections


@pytest.fixture(name="former")
def _former(host: Host, previous: Path, tmp_path: Path) -> Iterator[Host]:
    """Host that the earlier version has prepared, with running MicroVMs of each isolation and one of real QEMU."""
    host.install_role(previous)
    package = {
        path: content.encode() if isinstance(content, str) else content for path, content in tiny(tmp_path).items()
    }
    # It finds the user of the version before.
    host.run("usermod --gid kvm microvm")
    host.send("/usr/local/bin", {"qemu-system-x86_64": FAKE_QEMU})
    declared = [declaration("own"), declaration("shared", isolation="shared"), declaration("down", state="stopped")]
    host.send("/root", {"fleet.json": json.dumps(declared)})
    host.send("/srv", {"kernel": "no kernel"})
    host.microvm("apply /root/fleet.json")
    host.run("rm /usr/local/bin/qemu-system-x86_64")
    host.send(
        "/srv/tiny",
        {path: content.replace(f"{STATE}/tiny/package".encode(), b"/srv/tiny") for path, content in package.items()},
    )
    host.run(
        f"cd {STATE} && mkdir tiny && ln -s /srv/tiny tiny/current && chown microvm:kvm tiny &&"
        " systemctl start microvm@tiny"
    )
    host.run(f"echo precious > {STATE}/down/data.img && chown microvm-down: {STATE}/down/data.img")
    yield host
    host.run("rm -rf /srv/tiny")
    host.install_role()


def declaration(name: str, **options: object) -> dict[str, object]:
    """Return a declaration for the fake QEMU."""
    fixed = {"kernel": "/srv/kernel", "accel": "tcg", "ready": {"check": "none"}, "socket": None}
    return {"name": name, **fixed, "volumes": [{"image": "data.img", "size": 8}], **options}


def starts(host: Host) -> dict[str, Any]:
    """Return what identifies the present starts of the MicroVMs."""
    names = ("own", "shared", "tiny")
    question = "systemctl show --property=MainPID,InvocationID,ActiveState"
    return {name: host.run(f"{question} microvm@{name}") for name in names}


def test_the_former_layout_is_changed_without_restarting_a_microvm(former: Host) -> None:
    assert former.run(f"stat --format '%a %G' {STATE}/own {STATE}/shared").split() == [
        "1770",
        "microvm-own",
        "1775",
        "kvm",
    ]
    before, volume = starts(former), former.run(f"stat --format %i {STATE}/own/data.img")
    former.install_role()
    assert starts(former) == before
    owners = former.run(f"cd {STATE}; stat --format '%U:%G %a' own own/work shared shared/work tiny tiny/work")
    assert owners.splitlines() == [
        *("root:microvm-own 750", "microvm-own:microvm-own 700"),
        *("root:microvm 750", "microvm:microvm 700"),
        *("root:microvm 750", "microvm:microvm 700"),
    ]
    assert former.run(f"stat --format %i {STATE}/own/work/data.img") == volume
    assert former.run(f"cat {STATE}/down/work/data.img") == "precious\n"
    assert former.run(f"cd {STATE}; readlink -e own/current own/booted shared/booted tiny/booted | wc -l") == "4\n"
    assert "changed=0" in former.install_role()


def test_what_anybody_could_read_is_restricted(former: Host) -> None:
    listing = f"stat --format '%a %U:%G' {STORE} {STORE}/*-own {STORE}/*-shared {RECORDS} {SETTINGS} {SETTINGS}/*.env"
    assert {line.split()[0] for line in former.run(listing).splitlines()} == {"755", "644"}
    former.install_role()
    assert former.run(listing).splitlines() == [
        *("711 root:root", "750 root:microvm-own", "750 root:microvm"),
        *("700 root:root", "711 root:root", "640 root:microvm-down", "640 root:microvm-own", "640 root:microvm"),
    ]


def test_microvms_of_the_former_layout_stop_and_start_with_the_new_one(former: Host) -> None:
    former.install_role()
    former.run("systemctl stop microvm@tiny microvm@own microvm@shared")
    assert former.journal("tiny")[-1].startswith("MicroVM tiny: stopped by the guest")
    former.send("/usr/local/bin", {"qemu-system-x86_64": FAKE_QEMU})
    former.run("systemctl start microvm@own microvm@shared")
    former.microvm("apply /root/fleet.json")
    former.run("rm /usr/local/bin/qemu-system-x86_64; systemctl start microvm@tiny")
    assert all("ActiveState=active" in start for start in starts(former).values())


def test_check_mode_shows_the_change_of_the_layout(former: Host) -> None:
    collected = former.install_role(TREE, "--check", "--diff")
    assert "separate root's links from the working directory of MicroVM own" in collected
