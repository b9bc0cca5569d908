# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script that makes files below /run those that are permanent: at a start, and when nobody has confirmed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.lan_files import (
    PERMANENT,
    RETURN_SCRIPT,
    RETURNED,
    RUNTIME,
    UNCONFIRMED,
    common_files,
    paths,
)

FAKES = ("ip", "networkctl", "systemctl", "sleep")


class Directories:
    """The script with directories of its own, and fakes of the programs that change a host."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._log = root / "log"
        self._log.touch()
        for name in FAKES:
            program = root / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f'#!/bin/sh\n[ {name} = sleep ] || echo "{name} $*" >> {self._log}\n')
            program.chmod(0o755)
        self._script = root / "script"
        text = common_files()[RETURN_SCRIPT]
        for path in (PERMANENT, RUNTIME, UNCONFIRMED, RETURNED):
            self.place(path).parent.mkdir(parents=True, exist_ok=True)
            text = text.replace(f" {path}", f" {self.place(path)}")
        self._script.write_text(text)

    def place(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def write(self, directory: str, name: str, content: str = "x\n", files: int = 3) -> None:
        """Write the first of the files of a bridge."""
        self.place(directory).mkdir(parents=True, exist_ok=True)
        for path in paths(name, directory)[:files]:
            self.place(path).write_text(content)

    def fail(self, *programs: str) -> None:
        """Let programs fail from now on."""
        for name in programs:
            with (self._root / "bin" / name).open("a") as file:
                file.write("exit 1\n")

    def run(self, moment: str) -> list[str]:
        """Run the script; return what it has done beside copying."""
        environment = {"PATH": f"{self._root}/bin:{os.environ['PATH']}"}
        subprocess.run(["bash", str(self._script), moment], check=True, env=environment, timeout=60)
        return self._log.read_text().splitlines()

    def runtime(self) -> dict[str, str]:
        """Return the files below /run, by their names."""
        return {path.name: path.read_text() for path in sorted(self.place(RUNTIME).glob("*"))}


@pytest.fixture(name="directories")
def _directories(tmp_path: Path) -> Directories:
    return Directories(tmp_path)


def names(*bridges: str) -> set[str]:
    return {path.rpartition("/")[2] for name in bridges for path in paths(name, RUNTIME)}


def test_a_start_copies_what_is_permanent_and_whole(directories: Directories) -> None:
    directories.write(PERMANENT, "lan0")
    directories.write(PERMANENT, "half", files=2)
    directories.write(RUNTIME, "lan0", "former\n", files=1)
    directories.write(RUNTIME, "other")
    (directories.place(RUNTIME) / "10-netplan-eth0.network").write_text("of others\n")
    assert directories.run("boot") == []
    assert set(directories.runtime()) == {*names("lan0"), "10-netplan-eth0.network"}
    assert {directories.runtime()[name] for name in names("lan0")} == {"x\n"}


@pytest.mark.parametrize("missing", ["50-microvm-lan0.netdev", "00-microvm-lan0.network"])
def test_an_interface_does_not_wait_for_a_bridge_that_cannot_be_written(directories: Directories, missing: str) -> None:
    directories.write(PERMANENT, "lan0")
    # Nothing replaces a directory.
    obstacle = directories.place(RUNTIME) / missing
    obstacle.mkdir(parents=True)
    directories.run("boot")
    assert not (directories.place(RUNTIME) / "00-microvm-lan0+port.network").exists()
    obstacle.rmdir()
    directories.run("boot")
    assert names("lan0") <= set(directories.runtime())


def test_a_start_without_permanent_files_is_no_failure(directories: Directories) -> None:
    assert directories.run("boot") == []
    assert directories.runtime() == {}


def test_a_restart_of_networkd_leaves_an_unconfirmed_change(directories: Directories) -> None:
    directories.write(RUNTIME, "lan0")
    directories.place(UNCONFIRMED).touch()
    assert directories.run("boot") == []
    assert set(directories.runtime()) == names("lan0")


def test_an_unconfirmed_bridge_goes(directories: Directories) -> None:
    directories.write(RUNTIME, "lan0")
    directories.place(UNCONFIRMED).touch()
    assert directories.run("now") == ["ip link delete dev lan0", "networkctl reload"]
    assert directories.runtime() == {}
    assert directories.place(RETURNED).exists()
    assert not directories.place(UNCONFIRMED).exists()


def test_no_error_keeps_the_old_state_from_coming_back(directories: Directories) -> None:
    directories.write(RUNTIME, "lan0")
    directories.place(UNCONFIRMED).touch()
    drop_ins = directories.place(RUNTIME) / "00-microvm-lan0.network.d"
    drop_ins.mkdir()
    (directories.place(RUNTIME) / "00-microvm-gone.network").mkdir()
    directories.fail("ip", "networkctl")
    commands = ["ip link delete dev lan0", "networkctl reload", "systemctl restart systemd-networkd.service"]
    assert directories.run("now") == commands
    assert drop_ins.exists()
    assert not names("lan0") & {path.name for path in directories.place(RUNTIME).iterdir()}


def test_a_bridge_whose_removal_is_not_confirmed_comes_back(directories: Directories) -> None:
    directories.write(PERMANENT, "no-such-bridge")
    directories.place(UNCONFIRMED).touch()
    commands = directories.run("now")
    assert commands == ["networkctl reload", "systemctl restart systemd-networkd.service"]
    assert set(directories.runtime()) == names("no-such-bridge")


def test_nothing_happens_once_somebody_has_confirmed(directories: Directories) -> None:
    directories.write(RUNTIME, "lan0")
    assert directories.run("now") == []
    assert set(directories.runtime()) == names("lan0")
