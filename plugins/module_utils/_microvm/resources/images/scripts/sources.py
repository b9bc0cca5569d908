# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the shell scripts of this directory.

"""Scripts that build and start guest images, as strings; the scripts beside this file are the source."""

from __future__ import annotations

ANSWER_HOST = """
set -u
# systemd may stop this when it does what is asked here.
trap '' TERM

answer() {
    echo "$1"
    exit 0
}

if [ "${REMOTE_ADDR:-}" != vsock:2 ] || [ "${REMOTE_PORT:-1024}" -ge 1024 ]; then
    answer "only the host's root is answered"
fi
IFS= read -r word || answer "no word"
case $word in
    poweroff) text="powering off" ;;
    reboot) text=rebooting ;;
    *) answer "unknown word" ;;
esac
systemctl --quiet --no-block --no-wall "$word" >&2 || answer failed
answer "$text"
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

INIT = """
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
# Before systemd's generators run, one of which makes the socket of the SSH server only where there is a vsock by then.
# systemd itself loads the driver for devices on PCI alone.
for file in /sys/bus/virtio/devices/*/device; do
    if [ -e "$file" ] && [ "$(cat "$file")" = 0x0013 ]; then modprobe vmw_vsock_virtio_transport; fi
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
    for kind in link network; do
        for file in "$credentials/network.$kind".*/raw "$appended/network.$kind".*.cred; do
            [ -e "$file" ] || continue
            name=${file%/raw}
            name=${name%.cred}
            name=${name##*/"network.$kind".}
            give "network.$kind.$name" "/root/etc/systemd/network/$name.$kind"
        done
    done
fi

umount /proc
umount /sys
exec switch_root /root /sbin/init
"""

MOUNT_NIX_STORE = """
set -eu
root=${1:-}
store=$root/nix/store
export HOME=/root

# Prints the file of a credential. Systemd before 254 leaves credentials where the initrd has put them.
given() {
    for directory in /run/credentials/@system /run/credentials/@initrd; do
        if [ -s "$root$directory/$1" ]; then
            echo "$root$directory/$1"
            return 0
        fi
    done
    return 1
}

settings=$(given microvm.nix_store) || exit 0
lower="" writable="" registration=""
while read -r key value; do
    case $key in
        lower) lower=$root$value ;;
        writable) writable=$root$value ;;
    esac
done < "$settings"
if file=$(given microvm.nix_registration); then
    read -r path < "$file"
    registration=$lower/${path##*/}
    [ -f "$registration" ] || { echo "the host's store has no ${path##*/}, which is to be registered" >&2; exit 1; }
fi

# Prints the paths of a registration. Each has lines with its hash, size, deriver and number of references after it, and
# the references.
registered() {
    while read -r path && read -r _ && read -r _ && read -r _ && read -r count; do
        echo "$path"
        while [ "$count" -gt 0 ]; do
            read -r _
            count=$((count - 1))
        done
    done < "$1"
}

# Makes the upper directory of the store, to which Nix wants this owner; the host's may have another one.
store_directory() {
    mkdir -p "$1"
    chown root:nixbld "$1"
    chmod 1775 "$1"
}

if [ -z "$writable" ]; then
    # Nix expects these even where it cannot write.
    store_directory "$root/run/microvm-nix-store"
    mkdir -p "$root/run/microvm-nix-store/.links"
    mount -t overlay -o "ro,lowerdir=$root/run/microvm-nix-store:$lower" overlay "$store"
else
    mkdir -p "$writable"
    # An overlay takes no other overlay as its upper layer, such as the guest's root.
    if [ "$(stat -f -c %T "$writable")" = overlayfs ]; then
        mount -t tmpfs -o mode=0755 tmpfs "$writable"
    fi
    store_directory "$writable/store"
    mkdir -p "$writable/work" "$writable/var"
    # Whatever a collection of garbage in the guest has hidden of the host's store is there again.
    find "$writable/store" -maxdepth 1 -type c -delete
    if [ -n "$registration" ]; then
        # The host's is registered, and not what the guest may have built under the same name.
        registered "$registration" | while read -r path; do
            rm -rf "$writable/store/${path##*/}"
        done
    fi
    mount -t overlay -o "lowerdir=$lower,upperdir=$writable/store,workdir=$writable/work" overlay "$store"
    # The database says what is in the upper layer, so it is kept with it.
    mkdir -p "$root/nix/var/nix"
    mount --bind "$writable/var" "$root/nix/var/nix"
    # Of what it had from the host at an earlier boot, some may be gone; Nix names what still refers to that.
    if [ -e "$writable/var/db/db.sqlite" ]; then
        nix-store --verify || echo "parts of the guest's store refer to what the host has no more" >&2
    fi
fi
# The guest's own garbage collector leaves what is registered now, and may take what was registered at an earlier boot.
roots=$root/nix/var/nix/gcroots/microvm-registration
rm -rf "$roots"
if [ -n "$registration" ]; then
    nix-store --load-db < "$registration"
    mkdir -p "$roots"
    registered "$registration" | xargs -r ln -s -t "$roots"
fi
"""

PROVIDE_HOST_KEY = """
set -eu
root=${1:-}
own=/etc/ssh/ssh_host_ed25519_key
settings=$root/run/microvm-ssh-host-key/sshd_config
umask 077

given=
for directory in /run/credentials/@system /run/credentials/@initrd; do
    if [ -z "$given" ] && [ -s "$root$directory/microvm.ssh_host_key" ]; then
        given=$directory/microvm.ssh_host_key
    fi
done
[ -n "$given" ] || [ -e "$root$own" ] || ssh-keygen -q -t ed25519 -N "" -f "$root$own"

mkdir -p "${settings%/*}"
for key in $given $own; do
    if [ -e "$root$key" ]; then
        echo "HostKey $key"
    fi
done > "$settings"
"""

PUT_FILE = """
set -eu
root=$1
shift
exec chroot "$root" /bin/sh -euc 'mkdir -p -- "${1%/*}/"; cat > "$1"; chmod "$2" "$1"' put-file "$@"
"""

SETUP_NIX = """
set -eu
root=$1

# Everything of a store that a guest mounts is there before sockets and services; tmpfiles.d makes directories in it.
cat > "$root/usr/lib/systemd/system/microvm-nix-store.service" <<'END'
[Unit]
Description=Mount the host's store of Nix
DefaultDependencies=no
After=local-fs.target
Before=systemd-tmpfiles-setup.service nix-daemon.socket sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/microvm-fleet/mount-nix-store
[Install]
WantedBy=sysinit.target
END
install -m 0755 "${0%/*}/mount-nix-store" "$root/usr/lib/microvm-fleet"
mkdir -p "$root/nix/store" "$root/nix/var/nix"
echo "experimental-features = nix-command flakes" >> "$root/etc/nix/nix.conf"
chroot "$root" systemctl --quiet enable microvm-nix-store.service nix-daemon.socket
"""

SETUP = r"""
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
"""
