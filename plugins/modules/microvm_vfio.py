#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_vfio
short_description: Hand devices of a host over to MicroVMs
version_added: 0.1.0
description:
  - Takes PCI devices from the drivers of the host and gives them to the driver V(vfio-pci), by which hypervisors pass
    them to guests. Makes virtual functions of cards (SR-IOV), with their MAC addresses, VLANs and checks. Lets the
    users of MicroVMs open these devices, and USB devices, by rules of udev.
  - A unit, C(microvm-fleet-devices.service), does the same with every start of the host, without Python.
  - A device is handed over with the whole of its IOMMU group, or refused. A device that the host needs, because its
    default route or somebody's connection leads there, or because it has mounted a disk of it, is refused in any case.
  - Devices that are handed over are recorded in C(/etc/microvm-fleet/devices.list), with the drivers that they had.
    The units of MicroVMs leave them handed over. Where another kind of device is at an address later, it is left to the
    host, and refused until the address is corrected or the former device is removed from the list by a run without it.
  - Everything that is known to fail is refused before anything is changed, in check mode too.
author:
  - microvm.fleet contributors (@microvm)
requirements:
  - A host with an IOMMU, switched on in the firmware and, for some kernels, on the command line (V(intel_iommu=on)).
  - C(ip) of iproute2, for virtual functions.
extends_documentation_fragment:
  - microvm.fleet.vfio
  - microvm.fleet.attributes
  - microvm.fleet.attributes.actiongroup_microvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: microvm.fleet.microvm_vms
"""

EXAMPLES = r"""
- name: Hand over a network card, two functions of another one, and a security key
  microvm.fleet.microvm_vfio:
    devices:
      - address: "0000:01:00.0"
        vm: router
      - address: "0000:05:00.0"
        functions:
          - mac: "02:00:00:00:05:01"
            vlan: 20
            vm: web
          - mac: "02:00:00:00:05:02"
            trust: true
            vm: router
      - usb:
          vendor: "1050"
          product: "0407"
        vm: vault
  register: handed

- name: Show what a hypervisor opens
  ansible.builtin.debug:
    msg: "{{ handed.devices[0].node }}"

- name: Hand over a card with all that is in its IOMMU group
  microvm.fleet.microvm_vfio:
    devices:
      - address: "0000:08:01.0"
        whole_group: true

- name: Hand everything back to the host
  microvm.fleet.microvm_vfio:
    devices: []
"""

RETURN = r"""
actions:
  description: Steps that were carried out, or would be in check mode, in order.
  returned: success
  type: list
  elements: str
  sample: [write /etc/microvm-fleet/devices.list, "hand over 0000:01:00.0"]
addresses:
  description: Addresses of all PCI devices and virtual functions that are handed over, whole groups included.
  returned: success
  type: list
  elements: str
vms:
  description:
    - MicroVMs whose users may open devices, by the addresses of PCI devices and of functions, and by the numbers of
      USB devices with the serial number if it is declared.
    - No other MicroVM can have such a device (O(microvm.fleet.microvm_vms#module:device_vms)).
  returned: success
  type: dict
  sample: {"0000:01:00.0": router, "1050:0407": vault}
devices:
  description: An entry for each element of O(devices), in the same order.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: Address of the PCI device.
      type: str
    usb:
      description: Numbers of the vendor and of the product of a USB device, and its serial number if it is declared.
      type: str
      sample: 1050:0407
    driver:
      description: Driver of the PCI device. V(null) if it has none.
      type: str
      sample: vfio-pci
    iommu_group:
      description: Number of the IOMMU group, which may be another one after the next start of the host.
      type: int
    group_devices:
      description: Addresses of the other devices of the group, without bridges.
      type: list
      elements: str
    node:
      description: File that a process opens to have the device. V(null) if the device is with the host.
      type: str
      sample: /dev/vfio/12
    functions:
      description: Virtual functions of a card, by their numbers.
      type: list
      elements: dict
      contains:
        address:
          description: Address of the function.
          type: str
          sample: "0000:05:10.0"
        driver:
          description: Driver of the function. V(null) if it has none.
          type: str
        iommu_group:
          description: Number of its IOMMU group. V(null) in check mode if the function does not exist yet.
          type: int
        node:
          description: File that a process opens to have the function. V(null) where the group is.
          type: str
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.vfio import run_vfio


def main() -> None:
    """Run the module."""
    run_vfio()


if __name__ == "__main__":
    main()
