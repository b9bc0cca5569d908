# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role ``host`` installs Nix and sets it up beside what somebody else has written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .host import Host

KEY = f"cache-1:{'A' * 43}="
DECLARED = {
    "microvm_nix": True,
    "microvm_nix_trusted_keys": [KEY],
    "microvm_nix_trusted_users": ["deploy"],
    "microvm_nix_settings": {"substituters": [], "max-jobs": 2, "no-such-setting": 1},
    "microvm_nix_collect_garbage": "30d",
}
OPTIONS = {name[len("microvm_") :]: value for name, value in DECLARED.items()}
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "vars": DECLARED,
        "roles": ["microvm.fleet.host"],
        "tasks": [
            {"microvm.fleet.microvm_host": OPTIONS, "register": "again"},
            {"ansible.builtin.assert": {"that": "again is not changed", "fail_msg": "{{ again.actions }}"}},
        ],
    }
]
REMOVAL = [{"hosts": "all", "gather_facts": False, "tasks": [{"microvm.fleet.microvm_host": {}}]}]


LINE = "!include microvm-fleet.conf\n"
TIMER = "microvm-fleet-nix-garbage.timer"


@pytest.fixture(name="without_nix")
def _without_nix(host: Host) -> Iterator[None]:
    """Begin and end without Nix, and with a user who is not root."""
    purge = "apt-get -qy purge git nix-bin nix-setup-systemd; rm -rf /etc/nix"
    host.run(f"{purge}; useradd --create-home deploy")
    yield
    host.run(f"systemctl stop nix-daemon.socket nix-daemon.service; {purge}; userdel --remove deploy")


@pytest.mark.usefixtures("without_nix")
def test_the_role_installs_nix_and_sets_it_up_and_its_settings_go(host: Host, tmp_path: Path) -> None:
    assert "does not use all of nix_settings: unknown setting 'no-such-setting'" in host.play(
        tmp_path, json.dumps(PLAY)
    )
    host.run("nix-store --version && getent group nixbld && git --version")
    configuration = host.run("cat /etc/nix/nix.conf")
    assert "sandbox" in configuration and configuration.endswith(f"\n{LINE}")
    shown = host.run("nix show-config 2>/dev/null").splitlines()
    values = {name: value.split() for name, _equals, value in (line.partition(" =") for line in shown)}
    assert KEY in values["trusted-public-keys"] and len(values["trusted-public-keys"]) > 1
    assert {"nix-command", "flakes"} <= set(values["experimental-features"])
    assert (values["max-jobs"], values["substituters"]) == (["2"], [])
    # The daemon lets the user in, and has read who is trusted.
    assert is_trusted(host)
    assert host.states([TIMER]) == {TIMER: "active"}
    host.run(f"systemctl start {TIMER.replace('.timer', '.service')}")
    host.play(tmp_path, json.dumps(REMOVAL))
    assert host.states([TIMER]) == {TIMER: "inactive"}
    assert host.run("cat /etc/nix/nix.conf") == configuration.replace(LINE, "")
    assert not is_trusted(host)
    host.run("test ! -e /etc/nix/microvm-fleet.conf && nix-store --version")


def is_trusted(host: Host) -> bool:
    """Return whether the daemon of Nix trusts the user ``deploy``."""
    store = "nix --extra-experimental-features nix-command store info --store daemon --json 2>/dev/null"
    return bool(json.loads(host.run(f"runuser -u deploy -- {store}"))["trusted"])
