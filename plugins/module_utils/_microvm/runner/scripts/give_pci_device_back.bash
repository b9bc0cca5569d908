# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

give_pci_device_back() { # address
    local device=/sys/bus/pci/devices/$1
    if [ ! -e "$device" ]; then return; fi
    if [ "$(basename "$(readlink "$device/driver")")" = vfio-pci ]; then echo "$1" > "$device/driver/unbind"; fi
    # Without an override, the kernel's own driver takes it.
    echo > "$device/driver_override"
    echo "$1" > /sys/bus/pci/drivers_probe
}
