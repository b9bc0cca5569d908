# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in /dev by which processes open PCI devices that are handed over, and USB devices; and who may."""

from __future__ import annotations

import contextlib
import glob
import os
from typing import Iterable, Iterator, Optional

from . import files
from .device_users import vfio_node

_SYS = "/sys"


def group_nodes(address: str, sys: str = _SYS) -> Iterator[str]:
    """Yield the file of the IOMMU group of a PCI device, which is there while vfio-pci has a device of the group."""
    group = os.path.basename(files.link_target(f"{sys}/bus/pci/devices/{address}/iommu_group") or "")
    if group.isdecimal():
        yield vfio_node(int(group))


def usb_nodes(vendor: str, product: str, serial: Optional[str], sys: str = _SYS) -> Iterator[str]:
    """Yield the files of plugged in USB devices by what they say of themselves; ``None`` is for any serial number."""
    for path in sorted(glob.glob(f"{sys}/bus/usb/devices/*")):
        said = [(files.read_text(f"{path}/{name}") or "").strip() for name in ("idVendor", "idProduct", "serial")]
        if said == [vendor, product, said[2] if serial is None else serial]:
            bus, device = ((files.read_text(f"{path}/{name}") or "").strip() for name in ("busnum", "devnum"))
            if bus.isdecimal() and device.isdecimal():
                yield f"/dev/bus/usb/{int(bus):03}/{int(device):03}"


def leave_to_root(nodes: Iterable[str], mode: int) -> None:
    """Make files root's, with a mode, as far as they are there."""
    for node in nodes:
        with contextlib.suppress(FileNotFoundError):
            os.chown(node, 0, 0)
            os.chmod(node, mode)
