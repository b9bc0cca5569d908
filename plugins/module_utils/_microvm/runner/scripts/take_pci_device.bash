# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# With the functions of bind_pci_device and give_pci_device_back.
: "${sysfs:?}"

# systemd runs no ExecStop= after a start that fails: what that has taken goes back.
taken_devices=()
begin_devices() { # list of devices
    listed_devices=$1
    trap give_taken_devices_back EXIT
}

give_taken_devices_back() {
    local address
    for address in "${taken_devices[@]}"; do give_pci_device_back "$address" "$listed_devices" || true; done
}

take_pci_device() { # address, user, group
    local device=$sysfs/bus/pci/devices/$1 group other kind address identity _rest
    while read -r kind address _rest _rest identity; do
        if [ "$kind $address" = "device $1" ]; then is_recorded "$1" "$identity" || exit 1; fi
    done < <(cat "$listed_devices" 2> /dev/null)
    # What vfio-pci had before may be another MicroVM's.
    if [ "$(driver_of "$1")" != vfio-pci ]; then taken_devices+=("$1"); fi
    bind_pci_device "$1" || exit 1
    group=$(basename "$(readlink "$device/iommu_group")")
    for other in "$device"/iommu_group/devices/*; do
        # Bridges may keep their driver; vfio refuses the rest itself, but says less.
        if [ -e "$other/driver" ] && [ "$(basename "$(readlink "$other/driver")")" != vfio-pci ] &&
            [[ "$(cat "$other/class")" != 0x0604* ]]; then
            echo "$(basename "$other") shares the IOMMU group $group with $1, and the host still uses it" >&2
        fi
    done
    # On a host of microvm.nix, the user's group has another name.
    chown "$2:$3" "/dev/vfio/$group" 2> /dev/null || chown "$2:" "/dev/vfio/$group"
}
