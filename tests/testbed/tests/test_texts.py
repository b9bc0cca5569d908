# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of what the bed writes and refuses, without any host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .. import container, inventory, lock, requirements, ssh, trees
from ..commands import BedError, write_aside
from ..paths import Bed

BED = Bed("default")


def test_hosts_have_names_and_addresses_by_number() -> None:
    """Number, name and address go together."""
    assert [(BED.host(number).name, BED.host(number).address) for number in (1, 2)] == [
        ("host1", "198.18.0.11"),
        ("host2", "198.18.0.12"),
    ]


@pytest.mark.parametrize("name", ["", "Big", "1st", "-x", "a/b", "..", "a b", "a" * 21, "a\n"])
def test_a_bed_name_that_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(BedError, match="bed name"):
        Bed(name)


def test_inventory_is_complete() -> None:
    """All that Ansible needs, as YAML."""
    assert inventory.render(BED, [BED.host(1), BED.host(2)]) == (
        "---\n"
        "microvm_hosts:\n"
        "  vars:\n"
        '    ansible_user: "root"\n'
        '    ansible_ssh_private_key_file: "/run/microvm-fleet-testbed/default/keys/id_ed25519"\n'
        '    ansible_ssh_common_args: "-F /run/microvm-fleet-testbed/default/ssh_config"\n'
        '    ansible_control_path_dir: "/run/microvm-fleet-testbed/default/ssh"\n'
        "    ansible_ssh_pipelining: true\n"
        '    ansible_python_interpreter: "/usr/bin/python3"\n'
        "  hosts:\n"
        "    host1:\n"
        "      ansible_host: 198.18.0.11\n"
        "    host2:\n"
        "      ansible_host: 198.18.0.12\n"
    )


def test_ssh_understands_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(ssh.config(BED, [BED.host(1)]), encoding="ascii")
    seen = {name: _effective(file, name) for name in ("host1", "198.18.0.11", "10.0.0.1")}
    assert seen["host1"] == seen["198.18.0.11"]
    assert "hostname 198.18.0.11" in seen["host1"]
    assert "proxycommand nsenter --net=/run/microvm-fleet-testbed/default/network socat - TCP:%h:%p" in seen["host1"]
    assert not [line for line in seen["10.0.0.1"] if line.startswith("proxycommand")]


def _effective(file: Path, name: str) -> list[str]:
    done = subprocess.run(["ssh", "-G", "-F", file, name], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith(("originalhost", "host "))]


def test_devices_become_nodes_of_the_hosts_own() -> None:
    """A line for tmpfiles.d with the machine's numbers; no line for what the machine lacks."""
    assert container.device_lines({"/dev/null": "0660 root kvm", "/dev/absent": "0660 root kvm"}) == [
        "c /dev/null 0660 root kvm - 1:3\n"
    ]


def test_every_needed_package_is_listed() -> None:
    lines = Path(requirements.__file__).with_name("packages.txt").read_text(encoding="ascii").splitlines()
    listed = {line for line in lines if line and not line.startswith("#")}
    assert listed == {*requirements.PACKAGE_OF_PROGRAM.values(), *requirements.PACKAGE_OF_FILE.values()}


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(BedError, match=r"apt-get install apt apt-utils .*mmdebstrap .*systemd-container"):
        requirements.check()


def test_a_tree_is_named_by_all_that_determines_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {trees.Tree(suite).directory.name for suite in trees.SUITES}
    assert before == {trees.Tree(suite).directory.name for suite in trees.SUITES}
    monkeypatch.setattr(trees, "HOST_PACKAGES", (*trees.HOST_PACKAGES, "more"))
    assert len(before | {trees.Tree(suite).directory.name for suite in trees.SUITES}) == 4


def test_hosts_do_not_begin_with_what_roles_install() -> None:
    """A role that forgets a package must fail here."""
    assert not {"qemu-system-x86", "nftables", "erofs-utils", "socat"} & set(trees.BASE_PACKAGES)


def test_a_lock_survives_the_removal_of_its_directory(tmp_path: Path) -> None:
    directory = tmp_path / "bed"
    with lock.exclusive(directory):
        (directory / "lock").unlink()
        directory.rmdir()
    with lock.exclusive(directory) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), os.stat(directory / "lock"))


def test_a_lock_that_somebody_holds_is_not_waited_for_where_that_is_no_use(tmp_path: Path) -> None:
    with lock.if_free(tmp_path) as is_mine:
        assert is_mine
        with lock.if_free(tmp_path) as is_mine_again:
            assert not is_mine_again
    with lock.if_free(tmp_path) as is_mine:
        assert is_mine


def test_writing_aside_leaves_one_file(tmp_path: Path) -> None:
    """The new text under the name, nothing beside it."""
    write_aside(tmp_path / "file", "old")
    write_aside(tmp_path / "file", "new")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"file": "new"}
