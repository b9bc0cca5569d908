# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# shellcheck disable=SC2005,SC2013,SC2174 # machine-id ends with a line break; words are meant; parents are no secret
#
# First program of a guest, in its initial RAM disk, where the shell is busybox's.

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
