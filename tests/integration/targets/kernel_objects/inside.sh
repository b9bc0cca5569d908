#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test the scripts of a package; runs in the guest as root.

set -eux
exec >>/probe/log 2>&1
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

groupadd --system kvm 2>/dev/null || true
useradd --system --user-group microvm-probe
bin=/probe/package/bin

# macvtap-up creates a device for the hypervisor's user.
ip link add lower type dummy
ip link set lower up
"$bin/macvtap-up"
index=$(cat /sys/class/net/mv-probe/ifindex)
[ "$(stat -c '%U %a' "/dev/tap$index")" = 'microvm-probe 600' ]
ip -d link show mv-probe | grep 'macvtap mode bridge'
[ "$(cat /sys/class/net/mv-probe/address)" = 02:00:00:00:00:09 ]
# A remaining macvtap is recreated.
"$bin/macvtap-up"
index=$(cat /sys/class/net/mv-probe/ifindex)
# The hypervisor gets a descriptor for each queue.
sed '/^exec -a/,$d' "$bin/microvm-run" >/run/open
echo "readlink /proc/\$\$/fd/3 /proc/\$\$/fd/4" >>/run/open
cd /run
[ "$(bash /run/open)" = "$(printf '/dev/tap%s\n/dev/tap%s' "$index" "$index")" ]
"$bin/macvtap-down"
[ ! -e /sys/class/net/mv-probe ]
"$bin/macvtap-down"
# An interface that is not a macvtap is left alone.
ip link add mv-probe type dummy
"$bin/macvtap-down"
if "$bin/macvtap-up"; then exit 1; fi
[ -e /sys/class/net/mv-probe ]

# A network card is bound to vfio-pci for the hypervisor's user, and back to its own driver.
device=/sys/bus/pci/devices/0000:00:10.0
modprobe e1000e
[ "$(basename "$(readlink "$device/driver")")" = e1000e ]
for _ in 1 2; do
    "$bin/pci-setup"
    [ "$(basename "$(readlink "$device/driver")")" = vfio-pci ]
    [ "$(stat -c %U "/dev/vfio/$(basename "$(readlink "$device/iommu_group")")")" = microvm-probe ]
done
for _ in 1 2; do
    "$bin/pci-teardown"
    [ "$(basename "$(readlink "$device/driver")")" = e1000e ]
done
# One that is listed is handed over when the host starts, and stays so when its MicroVM stops, unless it is lent.
list=$(cat /probe/device-list)
mkdir -p "$(dirname "$list")"
echo 'device 0000:00:10.0 e1000e absent' >"$list"
bash /probe/restore-devices restore_devices "$list"
[ "$(basename "$(readlink "$device/driver")")" = vfio-pci ]
"$bin/pci-setup"
"$bin/pci-teardown"
[ "$(basename "$(readlink "$device/driver")")" = vfio-pci ]
bash /probe/restore-devices unbind_pci_device 0000:00:10.0 e1000e
[ "$(basename "$(readlink "$device/driver")")" = e1000e ]
echo 'device 0000:00:10.0 e1000e stop' >"$list"
bash /probe/restore-devices restore_devices "$list"
[ "$(basename "$(readlink "$device/driver")")" = e1000e ]
"$bin/pci-setup"
[ "$(basename "$(readlink "$device/driver")")" = vfio-pci ]
"$bin/pci-teardown"
[ "$(basename "$(readlink "$device/driver")")" = e1000e ]
# Without the driver that is named, the kernel chooses.
"$bin/pci-setup"
bash /probe/restore-devices unbind_pci_device 0000:00:10.0 no-such-driver
[ "$(basename "$(readlink "$device/driver")")" = e1000e ]
rm "$list"
sed -i 's/^take_pci_device .*/take_pci_device 0000:00:1f.7 microvm-probe microvm-probe/' "$bin/pci-setup"
if "$bin/pci-setup" 2>/run/error; then exit 1; fi
grep 'no PCI device' /run/error

echo 'all is well'
