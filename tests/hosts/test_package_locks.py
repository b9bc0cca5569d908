# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role ``host`` with missing packages, while another process changes the host's packages or has left them unfinished.

The other process is a real apt that waits before dpkg, as a killed run leaves it behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .host import Host

INSTALL_ROLE = """\
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.include_role:
            name: microvm.fleet.host
      rescue:
        - ansible.builtin.debug:
            msg: "refused: {{ ansible_failed_result.msg }}"
"""
APT = "/usr/bin/apt-get -y -o DPkg::Pre-Invoke::=/root/wait-for-release install /root/waiting.deb"
CONTROL = "Package: waiting\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: of a test\n"
"""Of a package that no other test installs, and that nothing needs."""

WAIT = "#!/bin/sh\ntouch /run/apt-waits\nuntil [ -e /run/apt-released ]; do sleep 0.1; done\n"


@pytest.fixture(name="without_socat")
def _without_socat(host: Host) -> Iterator[None]:
    """Remove a package, so that the role has to install it."""
    host.run("dpkg --purge --force-depends socat")
    yield
    host.run("apt-get -y install socat; dpkg --purge waiting")


@pytest.fixture(name="other_apt")
def _other_apt(host: Host, without_socat: None) -> Iterator[str]:
    """Process ID of an apt that holds its locks until it is released."""
    host.send("/root", {"wait-for-release": WAIT, "waiting/DEBIAN/control": CONTROL})
    host.run("dpkg-deb --build /root/waiting")
    host.run(f"systemd-run --quiet --unit=other-apt {APT}")
    host.run("while systemctl is-active -q other-apt && [ ! -e /run/apt-waits ]; do sleep 0.1; done")
    host.run("[ -e /run/apt-waits ] || { journalctl --no-pager -u other-apt; exit 1; }")
    yield host.run("systemctl show --property=MainPID --value other-apt").strip()
    host.run("touch /run/apt-released; while systemctl is-active -q other-apt; do sleep 0.1; done")
    host.run(
        "rm -rf /run/apt-waits /run/apt-released /root/wait-for-release /root/waiting*;"
        "systemctl reset-failed other-apt; true"
    )


def state(host: Host, package: str) -> str:
    """Return the state of a package in dpkg's database."""
    return host.run(f"dpkg-query --show --showformat '${{db:Status-Status}}' {package}")


def test_the_role_waits_for_an_apt_that_ends(host: Host, other_apt: str, tmp_path: Path) -> None:
    def release(line: str) -> None:
        """Let apt go on as soon as the role has reported that it waits."""
        if "Waiting for at most" in line:
            host.run("touch /run/apt-released")

    output = host.play(tmp_path, INSTALL_ROLE, watch=release)
    assert f"Waiting for at most 600 s until process {other_apt} (`{APT}`) no longer holds " in " ".join(output.split())
    assert "refused:" not in output
    assert state(host, "socat") == state(host, "waiting") == "installed"


def test_the_role_names_an_apt_that_does_not_end(host: Host, other_apt: str, tmp_path: Path) -> None:
    output = host.play(tmp_path, INSTALL_ROLE, "--extra-vars", "microvm_package_lock_timeout=2")
    refusal = output[output.index("refused:") :]
    assert f"process {other_apt} (`{APT}`) holds /var/lib/dpkg/lock-frontend" in refusal
    assert "after 2 s" in refusal


@pytest.mark.usefixtures("without_socat")
def test_the_role_finishes_an_interrupted_installation(host: Host, tmp_path: Path) -> None:
    host.run("cd /tmp && apt-get download socat && dpkg --unpack socat_*.deb && rm socat_*.deb")
    assert state(host, "socat") == "unpacked"
    assert "refused:" not in host.play(tmp_path, INSTALL_ROLE)
    assert state(host, "socat") == "installed"
