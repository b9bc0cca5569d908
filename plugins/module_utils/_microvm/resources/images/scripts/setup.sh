# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
#
# Run as `sh setup ROOT KERNEL_PACKAGE GUEST_PORT EXCLUDES…` when all packages are there.

set -eu
root=$1 kernel=$2 guest_port=$3
shift 3

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

# Not in /etc, where they could not be masked.
unit() { cat > "$root/usr/lib/systemd/system/$1"; }

# The key that the host gives; a guest that is given none makes one and keeps it.
unit microvm-ssh-host-key.service <<'END'
[Unit]
Description=Provide the SSH host keys of this MicroVM
DefaultDependencies=no
After=local-fs.target
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/usr/lib/microvm-fleet/provide-host-key
[Install]
WantedBy=ssh.service
END
# What the host asks of the guest where its hypervisor has no button. Whoever connects without being the host's root is
# sent away at once, and cannot use up a limit that closes the socket; only for a moment the number of connections.
unit microvm-host.socket <<END
[Unit]
Description=Words of the host
DefaultDependencies=no
[Socket]
ListenStream=vsock::$guest_port
Accept=yes
MaxConnections=64
TriggerLimitIntervalSec=0
END
unit microvm-host@.service <<'END'
[Unit]
Description=Answer the host
DefaultDependencies=no
CollectMode=inactive-or-failed
[Service]
ExecStart=/usr/lib/microvm-fleet/answer-host
StandardInput=socket
StandardError=journal
# Who is sent away leaves no lines.
LogLevelMax=warning
# The script ignores SIGTERM.
RuntimeMaxSec=60
TimeoutStopSec=5
NoNewPrivileges=yes
ProtectSystem=strict
END
# Only where there is a vsock; others would load its modules for nothing.
cat > "$root/usr/lib/udev/rules.d/90-microvm-host.rules" <<'END'
SUBSYSTEM=="virtio", ATTR{device}=="0x0013", TAG+="systemd", ENV{SYSTEMD_WANTS}+="microvm-host.socket"
END
mkdir -p "$root/usr/lib/microvm-fleet"
install -m 0755 "${0%/*}/answer-host" "${0%/*}/provide-host-key" "$root/usr/lib/microvm-fleet"
mkdir -p "$root/etc/ssh/sshd_config.d" "$root/etc/systemd/system/ssh.service.d"
cat > "$root/etc/ssh/sshd_config.d/microvm.conf" <<'END'
# Host keys, see microvm-ssh-host-key.service.
Include /run/microvm-ssh-host-key/sshd_config
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
