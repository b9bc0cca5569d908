# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A check refuses what a run would refuse, before anything is changed, and what is accepted starts."""

from __future__ import annotations

import json

import pytest

from .host import Host
from .paths import STATE

pytestmark = pytest.mark.usefixtures("fake_qemu")

USER = "the user 'microvm-db', who runs the hypervisor, cannot"
PORT = [{"host": {"port": 80}, "guest": {"port": 80}}]

REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "kernel": ({"kernel": "/root/kernel"}, f"kernel: {USER} read /root/kernel"),
    "initrd": ({"initrd_path": "/srv/closed/initrd"}, f"initrd_path: {USER} read /srv/closed/initrd"),
    "image": ({"volumes": [{"image": "/srv/a.img", "size": 8}]}, f"volumes[0].image: {USER} write /srv/a.img"),
    "directory": ({"volumes": [{"image": "/srv/b.img", "size": 8}]}, "which creates the image, cannot write to /srv"),
    "link": ({"shares": [{"tag": "a", "source": "/srv/link/a"}]}, "leads through the link 'link'"),
    "source": ({"shares": [{"tag": "a", "source": "/srv/closed"}]}, f"shares[0].source: {USER} read /srv/closed"),
    "device": ({"volumes": [{"image": "/srv/null", "auto_create": False}]}, "/srv/null is no block device"),
    "size": ({"volumes": [{"image": "a.img", "size": "900T"}]}, "volumes[0].size: 943718400 MiB exceed the"),
    "pages": ({"mem": "4T", "hugepage_mem": True}, "hugepage_mem: 2097152 huge pages of 2048 KiB exceed the"),
    "port": (
        {"interfaces": [{"type": "user"}], "forward_ports": PORT},
        "forward_ports[0].host.port: 80 is a port that only root may listen on",
    ),
    "program": ({"hypervisor": "alioth", "accel": "kvm"}, "the program alioth is not installed"),
}


def apply(host: Host, option: str, status: int, **options: object) -> str:
    """Return the output of ``microvm apply`` for a MicroVM with these options."""
    fixed = {"name": "db", "kernel": "/srv/kernel", "accel": "tcg", "ready": {"check": "none"}, "stop_timeout": 1}
    host.send("/root", {"db.json": json.dumps([{**fixed, **options}])})
    return host.microvm(f"apply /root/db.json {option}", status)


def test_a_check_refuses_what_a_run_refuses(host: Host) -> None:
    host.send("/root", {"kernel": ""})
    host.send("/srv", {"kernel": "", "closed/initrd": "", "a.img": ""})
    host.run("chmod 0700 /srv/closed; ln -sfn /srv/closed /srv/link; ln -sfn /dev/null /srv/null")
    problems = []
    for options, words in REFUSED.values():
        problems += [
            f"{words} is not in: {output}"
            for output in (apply(host, option, 1, **options) for option in ("--check", ""))
            if words not in output
        ]
    host.run("rm -rf /root/kernel /srv/closed /srv/link /srv/null /srv/a.img")
    assert problems == []
    assert host.run(f"ls {STATE}; getent passwd microvm-db; true") == ""


def test_directories_of_relative_paths_are_created_by_the_user(host: Host) -> None:
    host.send("/srv", {"kernel": ""})
    options: dict[str, object] = {
        "volumes": [{"image": "disks/old/a.img", "size": 8}],
        "socket": "control/qmp",
        "shares": [{"tag": "a", "source": "files/a"}],
    }
    apply(host, "", 0, **options)
    host.wait_for_states({"microvm@db": "active"})
    listing = host.run(f"cd {STATE}/db/work && stat --format '%n %U %a' disks/old disks/old/a.img control files/a")
    assert listing.splitlines() == [
        "disks/old microvm-db 700",
        "disks/old/a.img microvm-db 600",
        "control microvm-db 700",
        "files/a microvm-db 700",
    ]
    assert "db: unchanged" in apply(host, "--check", 0, **options)


@pytest.mark.parametrize("profile", ["strict", "compat"])
def test_what_is_declared_below_the_private_directories_of_units_is_the_host_s(host: Host, profile: str) -> None:
    host.send("/srv", {"kernel": ""})
    host.send("/tmp", {"of test": "", "initrd-of-test": "of the host"})
    try:
        apply(
            host,
            "",
            0,
            profile=profile,
            initrd_path="/tmp/initrd-of-test",
            volumes=[{"image": "/tmp/volumes-of-test/a.img", "size": 8}],
            shares=[{"tag": "a", "source": "/var/tmp/source-of-test"}],
            pre_start="cp /tmp/initrd-of-test /var/tmp/source-of-test/copy; ls /tmp > listing",
        )
        host.wait_for_states({"microvm@db": "active"})
        assert host.run("cat /var/tmp/source-of-test/copy; stat -c %U /tmp/volumes-of-test/a.img").split("\n")[:2] == [
            "of the hostmicrovm-db",
            "",
        ]
        assert host.run(f"cat {STATE}/db/work/listing").split() == ["initrd-of-test", "volumes-of-test"]
    finally:
        host.stop_microvms()
        host.run("rm -rf /tmp/*of?test /var/tmp/source-of-test")
