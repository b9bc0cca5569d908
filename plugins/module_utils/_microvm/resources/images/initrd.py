# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The initial RAM disk: busybox, the modules that lead to the root disk, and a script."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
from typing import Dict, List, Sequence

from ...host.commands import HostError, run

MODULES = (
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "qemu_fw_cfg",
    "button",
    "gpio_keys",
    "evdev",
    "virtio_net",
    "overlay",
    "erofs",
    "squashfs",
    "ext4",
    "crc32c_generic",
)
"""What must be loaded before there is a root; those that a kernel has built in are left out."""

APPLETS = ("cat", "echo", "mkdir", "modprobe", "mount", "sh", "sleep", "switch_root", "umount")

INIT = r"""#!/bin/sh
# Finds the root disk, puts a writable layer over it and hands over to the guest's systemd.
export PATH=/bin

fail() {
    echo "microvm initrd: $*"
    # The kernel ends the machine when its first process ends (panic=-1).
    exit 1
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec 0</dev/console 1>/dev/console 2>&1

store=microvm-store
store_type=erofs
overlay=
for word in $(cat /proc/cmdline); do
    case $word in
        microvm.store=*) store=${word#*=} ;;
        microvm.store_type=*) store_type=${word#*=} ;;
        microvm.overlay=*) overlay=${word#*=} ;;
    esac
done

# The file systems ask for this checksum by its algorithm, which nothing else loads. Newer kernels have it built in.
modprobe crc32c_generic 2>/dev/null
# The power button is how the host asks for a stop: ACPI's, or with aarch64's device tree a key. The network's driver is
# here because it is not compressed here.
for module in virtio_mmio virtio_pci virtio_blk virtio_net qemu_fw_cfg button gpio_keys evdev overlay "$store_type"; do
    modprobe "$module" 2>/dev/null
done

# Prints the device of the disk with a serial; of one that is told by its place, once it is there.
disk() {
    tries=0
    while [ "$tries" -lt 100 ]; do
        if [ -b "$1" ]; then
            echo "$1"
            return 0
        fi
        for file in /sys/block/*/serial; do
            if [ -e "$file" ] && [ "$(cat "$file")" = "$1" ]; then
                file=${file%/serial}
                echo "/dev/${file##*/}"
                return 0
            fi
        done
        sleep 0.1
        tries=$((tries + 1))
    done
    return 1
}

device=$(disk "$store") || fail "there is no disk $store, which should be the root"
mount -t "$store_type" -o ro "$device" /lower || fail "$device cannot be mounted as $store_type"
if [ -n "$overlay" ]; then
    modprobe ext4
    device=$(disk "$overlay") || fail "there is no disk $overlay, which should keep the changes"
    mount -t ext4 "$device" /upper || fail "$device cannot be mounted as ext4"
else
    mount -t tmpfs -o mode=0755 tmpfs /upper
fi
mkdir -p /upper/upper /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work overlay /root ||
    fail "the layers cannot be joined"

systemd=$(cat /systemd-version)
credentials=/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials
appended=/.extra/system_credentials

# Prints the file of a credential: the hypervisor's (fw_cfg), or one that was appended to this very archive.
credential() {
    for file in "$credentials/$1/raw" "$appended/$1.cred"; do
        if [ -e "$file" ]; then
            echo "$file"
            return 0
        fi
    done
    return 1
}

# Copies a credential to a file of the guest.
give() {
    if file=$(credential "$1"); then
        mkdir -p "${2%/*}"
        cat "$file" > "$2"
    fi
}

# Systemd itself takes what fw_cfg has, and from 254 what an initrd leaves for it here.
if [ -d "$appended" ]; then
    mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /root/run
    mkdir -m 0700 -p /root/run/credentials/@initrd
    for file in "$appended"/*.cred; do
        name=${file##*/}
        (umask 077 && cat "$file" > "/root/run/credentials/@initrd/${name%.cred}")
    done
    if [ "$systemd" -lt 254 ]; then
        (umask 077 && give ssh.authorized_keys.root /root/root/.ssh/authorized_keys)
    fi
fi

# What the guest's systemd is too old to take from credentials itself (systemd.system-credentials(7)).
if [ "$systemd" -lt 254 ]; then
    give system.hostname /root/etc/hostname
    if file=$(credential system.machine_id); then echo "$(cat "$file")" > /root/etc/machine-id; fi
    give fstab.extra /root/etc/fstab
fi
if [ "$systemd" -lt 256 ]; then
    for file in "$credentials"/network.network.*/raw "$appended"/network.network.*.cred; do
        [ -e "$file" ] || continue
        name=${file%/raw}
        name=${name%.cred}
        name=${name##*/network.network.}
        give "network.network.$name" "/root/etc/systemd/network/$name.network"
    done
fi

umount /proc
umount /sys
exec switch_root /root /sbin/init
"""


def build(tree: str, release: str, systemd_version: int, work: str, output: str) -> None:
    """Write the initial RAM disk for a guest's tree and its kernel. ``work`` is a directory to make it in."""
    for directory in ("bin", "dev", "lower", "proc", "root", "sys", "upper"):
        os.makedirs(os.path.join(work, directory))
    shutil.copy(os.path.join(tree, "bin/busybox"), os.path.join(work, "bin/busybox"))
    for applet in APPLETS:
        os.symlink("busybox", os.path.join(work, "bin", applet))
    _write(os.path.join(work, "init"), INIT, 0o755)
    _write(os.path.join(work, "systemd-version"), f"{systemd_version}\n", 0o644)
    _copy_modules(tree, release, work)
    _pack(work, output)


def closure(dependencies: Dict[str, List[str]], wanted: Sequence[str]) -> List[str]:
    """Paths of modules and all that they need, sorted. ``dependencies`` is a parsed modules.dep."""
    by_name = {module_name(path): path for path in dependencies}
    found: List[str] = []
    for name in wanted:
        path = by_name.get(name)
        if path is not None:
            found += [path, *dependencies[path]]
    return sorted(set(found))


def parse_dependencies(text: str) -> Dict[str, List[str]]:
    """modules.dep(5): ``path: path path …``."""
    pairs = (line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    return {path: needed.split() for path, needed in pairs}


def module_name(path: str) -> str:
    """As modprobe says it: ``kernel/fs/9p/9p.ko.xz`` is ``9p``; a dash and an underscore are the same."""
    return re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path)).replace("-", "_")


def _copy_modules(tree: str, release: str, work: str) -> None:
    source = os.path.join(tree, "lib/modules", release)
    target = os.path.join(work, "lib/modules", release)
    with open(os.path.join(source, "modules.dep"), encoding="utf-8") as file:
        dependencies = parse_dependencies(file.read())
    for path in closure(dependencies, MODULES):
        # busybox cannot read compressed modules.
        plain = re.sub(r"\.(xz|zst|gz)$", "", path)
        os.makedirs(os.path.dirname(os.path.join(target, plain)), exist_ok=True)
        with open(os.path.join(target, plain), "wb") as module:
            module.write(_decompress(os.path.join(source, path)))
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copy(os.path.join(source, name), os.path.join(target, name))
    run(["depmod", "--basedir", work, release])


def _decompress(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    if path.endswith(".xz"):
        return lzma.decompress(content)
    if path.endswith(".ko"):
        return content
    raise HostError(f"{path} is compressed in a way that is not known here")


def _pack(work: str, output: str) -> None:
    """A newc archive of everything below ``work``, the same bytes for the same content."""
    names = ["."]
    for directory, directories, files in os.walk(work):
        for name in directories + files:
            path = os.path.join(directory, name)
            os.utime(path, (0, 0), follow_symlinks=False)
            names.append(os.path.relpath(path, work))
    os.utime(work, (0, 0))
    command = ["cpio", "--quiet", "--create", "--format=newc", "--null", "--reproducible", "--owner=0:0"]
    with open(output, "wb") as archive:
        subprocess.run(
            command,
            input="\0".join(sorted(names)).encode(),
            stdout=archive,
            cwd=work,
            check=True,
            stderr=subprocess.PIPE,
        )


def _write(path: str, text: str, mode: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
