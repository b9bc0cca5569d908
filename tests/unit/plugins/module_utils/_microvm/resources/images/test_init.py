# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The initial RAM disk gives a guest's systemd what that is too old to take from credentials itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest import credentials
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.initrd import INIT, MODULES

from ...examples import FULL, parse


def applied(directory: Path, version: int, texts: dict[str, str], appended: bool) -> dict[str, str]:
    """Return the files of systemd-networkd and udev that the script writes, from fw_cfg or from an appended archive."""
    root, firmware, archive = directory / "root", directory / "firmware", directory / "archive"
    for name, text in texts.items():
        file = archive / f"{name}.cred" if appended else firmware / name / "raw"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    functions = INIT[INIT.index("credential() {") : INIT.index("# Systemd itself takes")]
    last = INIT[INIT.index('if [ "$systemd" -lt 256 ]') : INIT.index("umount /proc")]
    variables = f"systemd={version} credentials={firmware} appended={archive}\n"
    script = variables + functions + last.replace("/root/", f"{root}/")
    subprocess.run(["sh", "-euc", script], check=True)
    return {path.name: path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("appended", [False, True])
def test_an_old_systemd_finds_names_and_addresses_of_interfaces_in_files(tmp_path: Path, appended: bool) -> None:
    declaration = parse({**FULL, "interfaces": [{}, {}], "guest": {"networks": [{"name": "lan0"}]}})[0]
    texts = credentials(declaration, by_serial=True)
    files = applied(tmp_path, 252, texts, appended)
    assert files == {
        f"10-if{number}.{kind}": texts[f"network.{kind}.10-if{number}"]
        for number in (0, 1)
        for kind in ("link", "network")
    }
    assert "Name=lan0\n" in files["10-if0.link"]


def test_a_new_systemd_is_left_alone(tmp_path: Path) -> None:
    assert applied(tmp_path, 256, credentials(parse(FULL)[0], by_serial=True), appended=False) == {}


@pytest.mark.parametrize(
    ("devices", "is_loaded"), [(("0x0002", "0x0013"), True), (("0x0002", "0x0001"), False), ((), False)]
)
def test_a_vsock_is_there_before_systemd_makes_sockets_for_it(
    tmp_path: Path, devices: tuple[str, ...], is_loaded: bool
) -> None:
    for number, device in enumerate(devices):
        (tmp_path / f"virtio{number}").mkdir()
        (tmp_path / f"virtio{number}" / "device").write_text(f"{device}\n")
    loop = INIT[INIT.index("for file in /sys/bus/virtio") : INIT.index("# Prints the device of the disk")]
    script = "modprobe() { echo $1; }\n" + loop.replace("/sys/bus/virtio/devices", str(tmp_path))
    done = subprocess.run(["sh", "-euc", script], check=True, capture_output=True, text=True)
    assert done.stdout == ("vmw_vsock_virtio_transport\n" if is_loaded else "")
    assert "vmw_vsock_virtio_transport" in MODULES
