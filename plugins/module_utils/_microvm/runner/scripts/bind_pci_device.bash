# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set by tests alone.
sysfs=${sysfs:-/sys}

driver_of() { # address; nothing for a device without a driver
    local link
    link=$(readlink "$sysfs/bus/pci/devices/$1/driver") || return 0
    echo "${link##*/}"
}

# Another card moves the addresses of others, and the host may need what is at this one now.
is_recorded() { # address; numbers of vendor and kind, as far as they are known
    local device=$sysfs/bus/pci/devices/$1 present
    if [ -z "${2:-}" ] || [ ! -e "$device" ]; then return; fi
    present=$(cat "$device/vendor"):$(cat "$device/device")
    if [ "${present//0x/}" = "$2" ]; then return; fi
    echo "$1 is the device ${present//0x/}, and $2 was handed over; it is left to the host" >&2
    return 1
}

# While a module is being loaded, its driver takes devices before the kernel offers to have them back.
await_unbind() { # path of a device
    local _try
    for _try in {1..50}; do
        if [ ! -e "$1/driver" ] || [ -e "$1/driver/unbind" ]; then return; fi
        sleep 0.2
    done
}

bind_pci_device() { # address
    local device=$sysfs/bus/pci/devices/$1 _try
    if [ ! -e "$device" ]; then
        echo "there is no PCI device $1 on this host" >&2
        return 1
    fi
    if [ ! -e "$device/iommu_group" ]; then
        echo "$1 is in no IOMMU group; switch the IOMMU on in the firmware and on the kernel's command line" >&2
        return 1
    fi
    # A driver whose module is being loaded may have chosen the device before it was told apart, and take it now.
    for _try in 1 2 3; do
        if [ "$(driver_of "$1")" = vfio-pci ]; then return; fi
        echo vfio-pci > "$device/driver_override"
        await_unbind "$device"
        if [ -e "$device/driver" ]; then echo "$1" > "$device/driver/unbind"; fi
        echo "$1" > "$sysfs/bus/pci/drivers_probe"
    done
    if [ "$(driver_of "$1")" != vfio-pci ]; then
        echo "vfio-pci has not taken $1; see the kernel's messages" >&2
        return 1
    fi
}

# The kernel's choice is another one where several drivers know a device.
unbind_pci_device() { # address, driver that gets it; none or - for the kernel's choice
    local device=$sysfs/bus/pci/devices/$1 driver=${2:--}
    if [ ! -e "$device" ]; then return; fi
    if [ "$(driver_of "$1")" = vfio-pci ]; then echo "$1" > "$device/driver/unbind"; fi
    # Without an override, the kernel's own driver takes it.
    echo > "$device/driver_override"
    if [ "$driver" != - ] && [ "$(driver_of "$1")" != "$driver" ]; then
        modprobe -- "$driver" 2> /dev/null || true
        if [ -e "$sysfs/bus/pci/drivers/$driver/bind" ] && [ ! -e "$device/driver" ]; then
            echo "$1" > "$sysfs/bus/pci/drivers/$driver/bind" || true
        fi
    fi
    if [ ! -e "$device/driver" ]; then echo "$1" > "$sysfs/bus/pci/drivers_probe"; fi
}
