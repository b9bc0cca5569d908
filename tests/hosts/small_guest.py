# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest of a real kernel that runs one script of busybox from memory and ends: it boots in some seconds without KVM."""

from __future__ import annotations

from collections.abc import Mapping

from .host import Host
from .hypervisors import image

DIRECTORY = "/root/small-guest"
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


def run_in_guest(host: Host, script: str, sockets: Mapping[str, str], arguments: str = "") -> list[str]:
    """Return what a script prints in a guest of QEMU, which has virtiofs devices with these tags and sockets.

    ``arguments`` are further ones of QEMU.
    """
    source, _image = image.build()
    init = INIT.format(script=script).encode()
    # The kernel reads one archive after another.
    initrd = (source / "initrd").read_bytes() + _archive("small-init", init)
    host.send(DIRECTORY, {"kernel": (source / "kernel").read_bytes(), "initrd": initrd})
    devices = " ".join(
        f"-chardev socket,id={tag},path={socket} -device vhost-user-fs-pci,chardev={tag},tag={tag}"
        for tag, socket in sockets.items()
    )
    lines = host.run(RUN.format(DIRECTORY, f"{devices} {arguments}")).splitlines()
    assert "BEGIN" in lines and "END" in lines, "\n".join(lines)
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
