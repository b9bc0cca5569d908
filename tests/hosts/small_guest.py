# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest of a real kernel that runs one script of busybox from memory and ends: it boots in some seconds without KVM."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .host import Host
from .hypervisors import image

DIRECTORY = "/opt/small-guest"
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /etc /mnt /applets
/bin/busybox --install -s /applets
export PATH=/applets
mount -t proc proc /proc
echo 0 > /proc/sys/kernel/printk
printf 'root:x:0:0::/:/bin/sh\\nuser:x:1234:1234::/:/bin/sh\\nother:x:1235:1235::/:/bin/sh\\n' > /etc/passwd
echo BEGIN
{script}
echo END
poweroff -f
"""
RUN = """\
timeout 150 qemu-system-x86_64 -M q35,accel=tcg -m 256 -object memory-backend-memfd,id=mem,size=256M,share=on \
    -machine memory-backend=mem -nodefaults -no-user-config -display none -serial stdio -no-reboot \
    -kernel {0}/kernel -initrd {0}/initrd -append 'console=ttyS0 quiet panic=-1 rdinit=/small-init' {1}
"""

DISK = """\
mount -t devtmpfs dev /dev
modprobe -a virtio_blk crc32c_generic erofs
mkdir /disk && mount -t erofs /dev/vda /disk && mount -t proc proc /disk/proc
"""
"""Beginning of a script in a MicroVM that uses what is in the image of its disk."""

MODULES = f"{DISK}chroot /disk modprobe -a 9p 9pnet_virtio\n"
"""Beginning of a script in a MicroVM that mounts by 9p: its image has the modules."""

DECLARED: dict[str, Any] = {
    "kernel": f"{DIRECTORY}/kernel",
    "initrd_path": f"{DIRECTORY}/initrd",
    "kernel_params": ["console=ttyS0", "quiet", "panic=-1", "rdinit=/small-init", "mitigations=off", "init_on_alloc=0"],
    "mem": 256,
    "qemu": {"machine": "q35"},
    "ready": {"check": "none"},
}


def provide(host: Host, script: str) -> None:
    """Bring the kernel and the initial RAM disk of a guest that runs a script to a host."""
    source, _image = image.build()
    init = INIT.format(script=script).encode()
    # The kernel reads one archive after another.
    initrd = (source / "initrd").read_bytes() + _archive("small-init", init)
    host.send(DIRECTORY, {"kernel": (source / "kernel").read_bytes(), "initrd": initrd})


def run_in_guest(host: Host, script: str, sockets: Mapping[str, str], arguments: str = "") -> list[str]:
    """Return what a script prints in a guest of QEMU, which has virtiofs devices with these tags and sockets.

    ``arguments`` are further ones of QEMU.
    """
    provide(host, script)
    devices = " ".join(
        f"-chardev socket,id={tag},path={socket} -device vhost-user-fs-pci,chardev={tag},tag={tag}"
        for tag, socket in sockets.items()
    )
    return printed(host.run(RUN.format(DIRECTORY, f"{devices} {arguments}")))


def run_microvm(host: Host, name: str, options: Mapping[str, object]) -> list[str]:
    """Return what the script prints that ``provide`` has brought, in a MicroVM whose disk is the guests' image."""
    disk = f"{image.provide(host).path}/root.erofs"
    host.send("/root", {f"{name}.json": json.dumps({**DECLARED, "name": name, "store_disk": disk, **options})})
    host.microvm(f"apply /root/{name}.json")
    host.wait_for_states({f"microvm@{name}": "inactive"}, 300)
    start = f"$(systemctl show --property InvocationID --value microvm@{name})"
    return printed(host.run(f"journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID={start}").replace("\r", ""))


def printed(console: str) -> list[str]:
    """Return what the script has printed, by all that its guest has."""
    lines = console.splitlines()
    assert "BEGIN" in lines and "END" in lines, console
    return lines[lines.index("BEGIN") + 1 : lines.index("END")]


def _archive(name: str, content: bytes) -> bytes:
    """Return an archive in the format newc with one executable file (cpio(5))."""
    return _member(name, content, 0o100755) + _member("TRAILER!!!", b"", 0)


def _member(name: str, content: bytes, mode: int) -> bytes:
    numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)
