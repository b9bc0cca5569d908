# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices that are attached to the machine."""

from __future__ import annotations

from typing import List, Sequence

from ...declaration.identity import STORE_SERIAL
from ...declaration.types import ForwardPort, Interface, Share
from ...declaration.vms.guest import disk_names, disk_serial
from ...declaration.vms.parse import Declaration
from ..descriptors import Descriptors
from .machine import Machine, escape, switch

FORMATS = {"raw": "raw", "qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx"}
DISPLAYS = {
    "gtk": ("gtk,gl=on", "virtio-vga-gl"),
    "headless": ("egl-headless", "virtio-gpu-gl"),
    "cocoa": ("cocoa", "virtio-gpu"),
}


def _aio(target: Machine) -> str:
    return "io_uring" if target.facts.system == "linux" else "threads"


def store_disk(target: Machine) -> List[str]:
    """Return the read-only root disk."""
    declaration = target.declaration
    if declaration["store_disk"] is None:
        return []
    file = escape(declaration["store_disk"])
    legacy = ",disable-legacy=on" if target.has_pci else ""
    # Our images look for the serial; others know their disk by its position.
    serial = f",serial={STORE_SERIAL}" if declaration["image"] else ""
    return [
        *("-drive", f"id=store,format=raw,read-only=on,file={file},if=none,aio={_aio(target)}"),
        *("-device", f"virtio-blk-{target.bus},drive=store{legacy}{serial}"),
    ]


def volumes(target: Machine) -> List[str]:
    """Return the disks in the order of the declaration, called as Linux calls them."""
    arguments: List[str] = []
    for volume, drive in zip(target.declaration["volumes"], disk_names(target.declaration)):
        options = [f"id={drive},format={FORMATS[volume['image_type']]},file={escape(_file(volume['image']))}"]
        options += [f"if=none,aio={_aio(target)},discard=unmap"]
        options += ["cache=none"] if volume["direct"] else []
        options += [f"read-only={switch(volume['read_only'])}"]
        serial = disk_serial(target.declaration, volume)
        device = f"virtio-blk-{target.bus},drive={drive}" + (f",serial={serial}" if serial else "")
        arguments += ["-drive", ",".join(options), "-device", device]
    return arguments


def _file(image: str) -> str:
    """Return a path whose part before a colon, if it has one, is no protocol to QEMU."""
    return image if image.startswith("/") or ":" not in image else f"./{image}"


def share_device(target: Machine, index: int, share: Share) -> List[str]:
    """Return a directory of the host: QEMU's own 9p server, or a virtiofsd behind a socket."""
    identity = f"fs{index}"
    if share["proto"] == "virtiofs":
        return [
            *("-chardev", f"socket,id={identity},path={escape(share['socket'] or '')}"),
            *("-device", f"vhost-user-fs-{target.bus},chardev={identity},tag={escape(share['tag'])}"),
        ]
    options = [
        f"local,id={identity},path={escape(share['source'])},security_model={share['security_model']}",
        f"readonly={'true' if share['read_only'] else 'false'}",
    ]
    device = f"virtio-9p-{target.bus},fsdev={identity},mount_tag={escape(share['tag'])}"
    return ["-fsdev", ",".join(options), "-device", device]


def user_network(declaration: Declaration, interface: Interface) -> List[str]:
    """Return the ports of a user network; the first network has them, since only one can have a port of the host."""
    first = next((other for other in declaration["interfaces"] if other["type"] == "user"), None)
    return [_port(port) for port in declaration["forward_ports"]] if interface is first else []


def _port(port: ForwardPort) -> str:
    host, guest = port["host"], port["guest"]
    if port["from"] == "guest":
        return f"guestfwd=tcp:{guest['address']}:{guest['port']}-cmd:nc {host['address']} {host['port']}"
    return f"hostfwd={port['proto']}:{host['address'] or ''}:{host['port']}-{guest['address'] or ''}:{guest['port']}"


def network_device(target: Machine, interface: Interface, ports: Sequence[str], descriptors: Descriptors) -> List[str]:
    """Return a network interface: its end on the host, and the guest's device."""
    identity, vcpu = interface["id"], target.declaration["vcpu"]
    own = [str(descriptor) for descriptor in descriptors.get(identity, [])]
    backends = {
        "user": ["user", f"id={identity}", *ports],
        "tap": ["tap", f"id={identity}", f"ifname={identity}", "script=no", "downscript=no"],
        "macvtap": ["tap", f"id={identity}", f"fd={own[0]}" if len(own) == 1 else f"fds={':'.join(own)}"]
        if own
        else [],
        "bridge": ["bridge", f"id={identity}", f"br={interface['bridge']}"],
    }
    backend = backends[interface["type"]]
    backend += ["vhost=on"] if interface["tap"]["vhost"] else []
    backend += [f"queues={vcpu}"] if interface["type"] == "tap" and vcpu > 1 else []
    device = f"virtio-net-{target.bus},netdev={identity},mac={interface['mac']}"
    device += ",romfile=" if target.has_pci else ""
    if vcpu > 1 and interface["type"] in ("tap", "macvtap"):
        # Without it, the guest uses one of the tap's queues, also where the device is not on PCI.
        device += ",mq=on"
        # One vector for each queue in either direction, one for changes, one for control (QEMU's manual).
        device += f",vectors={2 * vcpu + 2}" if target.has_pci else ""
    return ["-netdev", ",".join(backend), "-device", device]


def balloon_device(target: Machine) -> List[str]:
    """Return the balloon, which also reports to the host the pages that the guest has freed."""
    if not target.declaration["balloon"]:
        return []
    deflate = ",deflate-on-oom=on" if target.declaration["deflate_on_oom"] else ""
    return ["-device", f"virtio-balloon-{target.bus},free-page-reporting=on,id=balloon0{deflate}"]


def display(target: Machine) -> List[str]:
    """Return a display with a tablet and a keyboard, or none."""
    graphics = target.declaration["graphics"]
    if not graphics["enable"]:
        return ["-nographic", *_usb_controller(target)]
    shown, device = DISPLAYS[graphics["backend"]]
    if graphics["vulkan"]:
        device += f",blob=true,hostmem={graphics['hostmem']},{graphics['vulkan']}=on"
    controller = ["-device", "qemu-xhci", "-device", "usb-tablet", "-device", "usb-kbd"]
    return ["-display", shown, "-device", device, *controller]


def _usb_controller(target: Machine) -> List[str]:
    return ["-device", "qemu-xhci"] if target.uses_usb else []


def root_ports(declaration: Declaration) -> List[str]:
    """Return the ports of PCI Express, before the devices that are put on them."""
    arguments: List[str] = []
    for port in declaration["qemu"]["pcie_root_ports"]:
        options = [f"{key}={port[key]}" for key in ("bus", "chassis", "slot", "addr") if port[key] is not None]
        arguments += ["-device", ",".join(["pcie-root-port", f"id={port['id']}", *options])]
    return arguments


def passthrough(target: Machine) -> List[str]:
    """Return the devices of the host, after the controllers that they are on."""
    arguments: List[str] = []
    for device in target.declaration["devices"]:
        name = (
            f"vfio-pci,host={device['path']},multifunction=on"
            if device["bus"] == "pci"
            else f"usb-host,{device['path']}"
        )
        options = [f"{key}={device['qemu'][key]}" for key in ("id", "bus") if device["qemu"][key]]
        options += [device["qemu"]["device_extra_args"]] if device["qemu"]["device_extra_args"] else []
        arguments += ["-device", ",".join([name, *options])]
    return arguments
