# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of the devices that a host hands over."""

    DOCUMENTATION = r"""
options:
  devices:
    description:
      - All devices that the host hands over. A device that is no longer listed is handed back to the host's driver,
        which is refused while a process uses it.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description:
          - Address of a PCI device with its domain, such as V(0000:01:00.0), as C(lspci -D) shows it. Either this
            or C(usb) is required.
        type: str
      usb:
        description:
          - USB device, by what it says of itself, so that it may be unplugged and plugged in again, anywhere.
          - The device keeps its place on the host; only the users of C(vm) or C(owner), one of which is required,
            may open it, beside root.
        type: dict
        suboptions:
          vendor:
            description:
              - Number of the vendor, four hexadecimal digits in quotes.
            type: str
            required: true
          product:
            description:
              - Number of the product, four hexadecimal digits in quotes.
            type: str
            required: true
          serial:
            description:
              - Serial number, as C(lsusb -v) shows it, to tell one of several devices of a product.
            type: str
      state:
        description:
          - Whether the device is handed over. V(absent) hands it back to the host, as does an element that is left
            out. It then needs only its C(address) or C(usb).
        type: str
        default: present
        choices:
          - present
          - absent
      vm:
        description:
          - Name of the MicroVM whose user may open the device, beside root. It may be declared later; until it
            is installed, the device is root's alone.
        type: str
      owner:
        description:
          - Name or number of a user of the host who may open the device, for a hypervisor that something else runs.
        type: str
      driver:
        description:
          - Driver of the host that gets the device back. Defaults to the one that it had before; a device that
            had none is left to the kernel's choice.
        type: str
      whole_group:
        description:
          - 'Whether the other devices of the IOMMU group are taken from the host too. Without it, a device is refused
            while the host has a driver on another one of its group, unless that is declared too: a guest that has
            one of them reaches all.'
        type: bool
        default: false
      restore:
        description:
          - When the host's driver gets the device back. With V(absent), not before the device is no longer declared;
            the driver does not touch it while MicroVMs stop and start. When the host starts, the driver has it
            until the unit takes it, which is before MicroVMs start.
          - With V(stop), whenever the MicroVM stops that has it in its C(devices). Its units take it at the start,
            and not this module.
        type: str
        default: absent
        choices:
          - absent
          - stop
      functions:
        description:
          - Virtual functions (SR-IOV) that a card is to have, an element for each, in the order of their numbers.
            An empty mapping is a function with the defaults. The functions are handed over, and the card itself
            stays with its driver.
          - Other options than C(address) and C(state) cannot be set with it. To change the number of functions,
            all of them are made anew, which is refused while one is in use.
        type: list
        elements: dict
        suboptions:
          mac:
            description:
              - MAC address that the card gives to the function, and that its guest cannot change unless it is trusted.
                Without it, the address stays as it is, which the guest may choose.
            type: str
          vlan:
            description:
              - VLAN that the card puts the function into, so that its guest sees no tags. V(0) is for none.
            type: int
            default: 0
          trust:
            description:
              - Whether the guest may change its MAC address and receive packets for others.
            type: bool
            default: false
          spoof_check:
            description:
              - Whether the card drops packets that the guest sends from other addresses than its own.
            type: bool
            default: true
          vm:
            description:
              - Name of the MicroVM whose user may open the device, beside root. It may be declared later; until
                it is installed, the device is root's alone.
            type: str
          owner:
            description:
              - Name or number of a user of the host who may open the device, for a hypervisor that something else
                runs.
            type: str
  state_dir:
    description:
      - Directory that contains the state directories of the MicroVMs. Defaults to that of the host, which role
        P(microvm.fleet.host#role) has recorded in C(/etc/microvm-fleet/host.json), or else to C(/var/lib/microvms).
      - If the host has recorded another one, the module fails, because its units run MicroVMs from there.
    type: path
"""
