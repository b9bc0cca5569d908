# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

take_pci_device() { # address, user, group
    local device=/sys/bus/pci/devices/$1 group other
    if [ ! -e "$device" ]; then
        echo "there is no PCI device $1 on this host" >&2
        exit 1
    fi
    if [ ! -e "$device/iommu_group" ]; then
        echo "$1 is in no IOMMU group; switch the IOMMU on in the firmware and on the kernel's command line" >&2
        exit 1
    fi
    if [ "$(basename "$(readlink "$device/driver")")" != vfio-pci ]; then
        echo vfio-pci > "$device/driver_override"
        if [ -e "$device/driver" ]; then echo "$1" > "$device/driver/unbind"; fi
        echo "$1" > /sys/bus/pci/drivers_probe
    fi
    if [ "$(basename "$(readlink "$device/driver")")" != vfio-pci ]; then
        echo "vfio-pci has not taken $1; see the kernel's messages" >&2
        exit 1
    fi
    group=$(basename "$(readlink "$device/iommu_group")")
    for other in "$device"/iommu_group/devices/*; do
        # Bridges may keep their driver; vfio refuses the rest itself, but says less.
        if [ -e "$other/driver" ] && [ "$(basename "$(readlink "$other/driver")")" != vfio-pci ] &&
            [[ "$(cat "$other/class")" != 0x0604* ]]; then
            echo "$(basename "$other") shares the IOMMU group $group with $1, and the host still uses it" >&2
        fi
    done
    chown "$2:$3" "/dev/vfio/$group"
}
