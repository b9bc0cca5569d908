# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's root tree: Debian by mmdebstrap, made fit for a small machine."""

from __future__ import annotations

import os
import shlex
from typing import Any, List, Mapping, Optional, Tuple

from ...host.files import write_synced

BASE_PACKAGES = (
    "busybox-static",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
)

NEEDLESS_DRIVERS = (
    *("drivers/accel", "drivers/bluetooth", "drivers/comedi", "drivers/gpu", "drivers/hwmon", "drivers/iio"),
    *("drivers/infiniband", "drivers/isdn", "drivers/leds", "drivers/media", "drivers/mtd", "drivers/net/wireless"),
    *("drivers/platform", "drivers/staging", "drivers/usb/gadget", "drivers/usb/serial", "drivers/video"),
    *("net/bluetooth", "net/mac80211", "net/wireless", "sound"),
)
"""Parts of the kernel's module tree for hardware that no MicroVM has."""

# Runs as `sh setup ROOT KERNEL_PACKAGE EXCLUDES…` when all packages are there.
SETUP = r"""
set -eu
root=$1 kernel=$2
shift 2

# The kernel package wants an initramfs generator, which is slow and whose work we do ourselves: so it is unpacked only.
# apt runs outside, where it has the build host's proxy and name servers.
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
archives=$root/var/cache/apt/archives
real=$(apt-cache depends "$kernel" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
(cd "$archives" && apt-get -q download -o APT::Sandbox::User=root "${real:-$kernel}")
dpkg-deb --fsys-tarfile "$archives/${real:-$kernel}"_*.deb |
    tar -x -C "$root" --keep-directory-symlink --exclude=./usr/share "$@"
set -- "$root"/boot/vmlinuz-*
[ -e "$1" ] || { echo "no kernel in ${real:-$kernel}" >&2; exit 1; }
chroot "$root" depmod "${1##*/vmlinuz-}"

# Host keys and machine ids are each guest's own.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id
: > "$root/etc/machine-id"
rm -f "$root/etc/hostname"
# What a first boot would bring up to date is so already (ConditionNeedsUpdate= of systemd.unit(5)).
touch "$root/etc/.updated" "$root/var/.updated"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

unit() { cat > "$root/etc/systemd/system/$1"; }

unit microvm-ssh-host-key.service <<'END'
[Unit]
Description=Make the SSH host key of this MicroVM
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
DefaultDependencies=no
After=local-fs.target
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
[Install]
WantedBy=ssh.service
END
mkdir -p "$root/etc/ssh/sshd_config.d" "$root/etc/systemd/system/ssh.service.d"
cat > "$root/etc/ssh/sshd_config.d/microvm.conf" <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
# Keys that the host gives; they come and go with its declaration.
AuthorizedKeysFile .ssh/authorized_keys /run/credentials/@system/ssh.authorized_keys.%u
UseDNS no
END
# A check of the configuration before every start takes longer than the start; and nothing that sshd needs comes later.
cat > "$root/etc/systemd/system/ssh.service.d/microvm.conf" <<'END'
[Unit]
After=
After=microvm-ssh-host-key.service
[Service]
ExecStartPre=
END
# Announce only the devices that a MicroVM has: for all others udev would load drivers that find nothing.
mkdir -p "$root/etc/systemd/system/systemd-udev-trigger.service.d"
cat > "$root/etc/systemd/system/systemd-udev-trigger.service.d/microvm.conf" <<'END'
[Service]
ExecStart=
ExecStart=-udevadm trigger --action=add --prioritized-subsystem=net,block --subsystem-match=block \
    --subsystem-match=net --subsystem-match=virtio --subsystem-match=input --subsystem-match=pci --subsystem-match=usb
# Of some seventy terminals, the consoles.
ExecStart=-udevadm trigger --action=add --sysname-match=ttyS0 --sysname-match=ttyAMA0 --sysname-match=hvc0
END
# Else the keys would be copied once and never again.
sed '/authorized_keys/d' "$root/usr/lib/tmpfiles.d/provision.conf" > "$root/etc/tmpfiles.d/provision.conf"

# Each of these takes its time at every boot and has nothing to do in such a guest: the initrd has mounted the root
# for writing, the hypervisor gives random numbers, and there is neither EFI nor TPM nor hibernation.
mask() {
    directory=$root/etc/systemd/$1
    shift
    mkdir -p "$directory"
    for needless; do
        ln -sf /dev/null "$directory/$needless"
    done
}
mask system \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    dev-hugepages.mount dev-mqueue.mount run-lock.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount proc-sys-fs-binfmt_misc.automount \
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service \
    modprobe@fuse.service modprobe@loop.service kmod-static-nodes.service \
    systemd-remount-fs.service systemd-random-seed.service systemd-tmpfiles-setup-dev-early.service \
    systemd-udev-load-credentials.service systemd-networkd-persistent-storage.service systemd-pstore.service \
    systemd-binfmt.service systemd-hwdb-update.service systemd-journal-catalog-update.service \
    systemd-machine-id-commit.service systemd-update-done.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service ldconfig.service systemd-boot-random-seed.service \
    systemd-pcrmachine.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
    systemd-tpm2-setup.service systemd-tpm2-setup-early.service tpm2.target getty@tty1.service getty-static.service
mask system-generators \
    systemd-bless-boot-generator systemd-gpt-auto-generator systemd-hibernate-resume-generator \
    systemd-rc-local-generator systemd-system-update-generator systemd-tpm2-generator
chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service ssh.service \
    microvm-ssh-host-key.service
chroot "$root" systemctl --quiet disable systemd-networkd-wait-online.service
"""

CLEAN_UP = r"""
set -eu
root=$1
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* \
    "$root"/var/cache/debconf/* "$root"/usr/share/doc/* "$root"/usr/share/man/* \
    "$root"/usr/share/locale/* "$root"/usr/share/info/*
find "$root/var/log" -type f -delete
mkdir -p "$root/var/log/journal"
"""

# A build host may be too small or too slow for full syncs; nothing is kept of a build that is cut off.
DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)


# Runs as `sh put-file ROOT PATH MODE < CONTENT`. In the tree, since its links lead to places in it; directories that
# are there keep their modes.
PUT_FILE = r"""
set -eu
root=$1
shift
exec chroot "$root" /bin/sh -euc 'mkdir -p -- "${1%/*}/"; cat > "$1"; chmod "$2" "$1"' put-file "$@"
"""

SCRIPTS = {"setup": SETUP, "put-file": PUT_FILE, "clean-up": CLEAN_UP}
"""The hooks of a build, by the name of the file that they are run from."""


def mmdebstrap_command(declaration: Mapping[str, Any], work: str, cache: Optional[str]) -> List[str]:
    """The command that makes ``work``/tree. ``work`` has the scripts and the declared files (write_inputs)."""
    packages = [*BASE_PACKAGES, *declaration["packages"]]
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include=" + ",".join(packages)]
    command += [f"--architectures={declaration['architecture']}", "--format=directory"]
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    if cache is not None:
        archives = "/var/cache/apt/archives"
        command += [f'--setup-hook=mkdir -p "$1{archives}"', f"--setup-hook=sync-in {shlex.quote(cache)} {archives}"]
        command += ["--skip=essential/unlink,cleanup/apt"]
    command += [f"--customize-hook={hook}" for hook in _hooks(declaration, work)]
    if cache is not None:
        command += [f"--customize-hook=sync-out {archives} {shlex.quote(cache)}"]
    command += ["--customize-hook=" + _script(work, "clean-up")]
    return [*command, declaration["suite"], os.path.join(work, "tree"), *declaration["mirrors"]]


def _hooks(declaration: Mapping[str, Any], work: str) -> List[str]:
    excludes = [f"--exclude=*/modules/*/kernel/{path}" for path in NEEDLESS_DRIVERS]
    return [
        _script(work, "setup", declaration["kernel_package"], *excludes),
        *(_put_file(work, index, file) for index, file in enumerate(declaration["files"])),
        *(f'chroot "$1" sh -c {shlex.quote(command)}' for command in declaration["commands"]),
    ]


def _script(work: str, name: str, *arguments: str) -> str:
    """A script as a hook; mmdebstrap gives the tree's path as ``$1``."""
    return " ".join(["sh", shlex.quote(os.path.join(work, name)), '"$1"', *map(shlex.quote, arguments)])


def _put_file(work: str, index: int, file: Mapping[str, str]) -> str:
    return f"{_script(work, 'put-file', file['path'], file['mode'])} < {shlex.quote(_content(work, index))}"


def _content(work: str, index: int) -> str:
    return os.path.join(work, f"file-{index}")


def write_inputs(declaration: Mapping[str, Any], work: str) -> None:
    """What mmdebstrap_command refers to: the scripts, and the content of the declared files."""
    for name, script in SCRIPTS.items():
        write_synced(os.path.join(work, name), script.encode(), 0o644)
    for index, file in enumerate(declaration["files"]):
        write_synced(_content(work, index), file["content"].encode(), 0o600)


def kernel_release(tree: str) -> Tuple[str, str]:
    """Path of the tree's kernel and its release (`uname -r`)."""
    prefix = "vmlinuz-"
    boot = os.path.join(tree, "boot")
    release = max(name[len(prefix) :] for name in os.listdir(boot) if name.startswith(prefix))
    return os.path.join(boot, prefix + release), release
