# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# With the functions of bind_pci_device.
: "${sysfs:?}"

# Devices that microvm_vfio keeps from the host's drivers stay so; it has recorded which driver gets the others back.
give_pci_device_back() { # address, list of devices
    local kind address driver restore group _rest
    # The node stays with the device, or with others of its group; there is none of a device that is back already.
    group=$(readlink "$sysfs/bus/pci/devices/$1/iommu_group") || true
    if [ -n "$group" ]; then chown root:root "/dev/vfio/${group##*/}" 2> /dev/null || true; fi
    while read -r kind address driver restore _rest; do
        if [ "$kind" != device ] || [ "$address" != "$1" ]; then continue; fi
        if [ "$restore" = absent ]; then return; fi
        unbind_pci_device "$1" "$driver"
        return
    done < <(cat "$2" 2> /dev/null)
    unbind_pci_device "$1"
}
