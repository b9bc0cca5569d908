# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configuration of a guest without rebuilding its image: systemd credentials and kernel parameters.

The names and their effects are those of systemd.system-credentials(7). The initrd of our images does the same for a
systemd that is too old to know one of them.

Guests find a disk by its serial where the hypervisor has serials, else by its place (``by_serial``).
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional

from ...schema.quoting import fields, fstab_field, network_value, one_per_line, plain, section, setting
from ..identity import STORE_SERIAL, volume_serial
from ..names import NIX_STORE_CREDENTIAL
from ..types import GuestNetwork, GuestNetworkRoute, Interface, PackagedVm, Share, Volume
from .block_devices import is_block_device
from .guest_networks import is_on_link
from .guest_store import store_settings

NINE_P_MESSAGE_SIZE = 512 * 1024
"""Bytes of one 9p message: Linux' default (128 KiB at most) makes large reads slow."""


def credentials(declaration: PackagedVm, by_serial: bool) -> Dict[str, str]:
    """Return the contents of credentials by name; none where the guest is not configured by us."""
    guest = declaration["guest"]
    if not guest["enable"]:
        return {}
    texts = {
        "system.hostname": guest["hostname"],
        "system.machine_id": declaration["machine_id"],
        "ssh.authorized_keys.root": one_per_line(guest["authorized_keys"]),
        "fstab.extra": one_per_line(_mounts(declaration, by_serial)),
        NIX_STORE_CREDENTIAL: store_settings(declaration),
    }
    for index, (interface, network) in enumerate(zip(declaration["interfaces"], guest["networks"])):
        texts[f"network.link.10-if{index}"] = _link(interface, network)
        texts[f"network.network.10-if{index}"] = _network(interface, network)
    # A credential that the user declares under the same name has precedence.
    return {name: text for name, text in texts.items() if text and name not in declaration["credential_files"]}


def kernel_parameters(declaration: PackagedVm, by_serial: bool) -> List[str]:
    """Return the parameters by which the initrd of our images finds its disks, then the user's own."""
    own = _disk_parameters(declaration, by_serial) if declaration["image"] else []
    return own + list(declaration["kernel_params"])


def disk_serial(declaration: PackagedVm, volume: Volume) -> Optional[str]:
    """Return the serial of a volume: the declared one, or a derived one where the guest needs it to find the disk."""
    needed = declaration["guest"]["enable"] or (declaration["image"] and volume["mount_point"] == "/")
    return volume["serial"] or (volume_serial(volume["image"]) if needed else None)


def disk_names(declaration: PackagedVm) -> List[str]:
    """Return Linux' names of the volumes: in the order of the disks, the root disk first."""
    first = 1 if declaration["store_disk"] else 0
    return [_disk_name(first + index) for index in range(len(declaration["volumes"]))]


def _disk_name(index: int) -> str:
    """Return ``vda`` to ``vdz``, then ``vdaa``."""
    letters = ""
    index += 1
    while index:
        index, remainder = divmod(index - 1, 26)
        letters = chr(ord("a") + remainder) + letters
    return f"vd{letters}"


def _disk_parameters(declaration: PackagedVm, by_serial: bool) -> List[str]:
    store = STORE_SERIAL if by_serial else "/dev/vda"
    parameters = [f"microvm.store={store}", f"microvm.store_type={declaration['store_disk_type']}"]
    for volume, name in zip(declaration["volumes"], disk_names(declaration)):
        if volume["mount_point"] == "/":
            disk = disk_serial(declaration, volume) if by_serial else f"/dev/{name}"
            parameters.append(f"microvm.overlay={disk}")
    return parameters


def _mounts(declaration: PackagedVm, by_serial: bool) -> List[str]:
    """Return lines of fstab(5)."""
    lines = []
    for volume, name in zip(declaration["volumes"], disk_names(declaration)):
        if volume["mount_point"] not in (None, "/"):
            options = "ro" if volume["read_only"] else "defaults"
            # An image that has grown: its file system follows, where the host could not do it.
            options += ",x-systemd.growfs" if _grows_in_guest(volume) else ""
            serial = disk_serial(declaration, volume)
            device = f"/dev/disk/by-id/virtio-{serial}" if by_serial else f"/dev/{name}"
            lines.append(_mount(device, volume["mount_point"], volume["fs_type"], options, 2))
    shares = ((share, share["mount_point"]) for share in declaration["shares"])
    return lines + [_share_mount(share, mount_point) for share, mount_point in shares if mount_point is not None]


def _grows_in_guest(volume: Volume) -> bool:
    """Return whether the guest lets a file system grow, since the host can only do that for ext4 in an image."""
    kinds = ("ext4", "xfs", "btrfs") if is_block_device(volume) else ("xfs", "btrfs")
    return volume["fs_type"] in kinds and not volume["read_only"]


def _share_mount(share: Share, mount_point: str) -> str:
    options = "ro" if share["read_only"] else "defaults"
    if share["proto"] == "9p":
        options += f",trans=virtio,version=9p2000.L,msize={NINE_P_MESSAGE_SIZE}"
    return _mount(share["tag"], mount_point, share["proto"], options, 0)


def _mount(device: str, mount_point: Optional[str], kind: str, options: str, check: int) -> str:
    return fields(*map(fstab_field, (device, mount_point or "", kind, options)), plain(0), plain(check))


def _match(interface: Interface) -> str:
    """Return the section by which udev and networkd recognise an interface.

    The type is that of devices only: a VLAN that the guest makes on the interface has its address too.
    """
    return section("Match", [setting("MACAddress", plain(interface["mac"])), setting("Type", plain("ether"))])


def _link(interface: Interface, network: GuestNetwork) -> str:
    """Return a systemd.link(5) file, which names the interface; names by its place remain as alternative ones."""
    names = [
        setting("Name", network_value(network["name"])),
        setting("AlternativeNamesPolicy", *map(plain, ("database", "onboard", "slot", "path"))),
    ]
    return "\n".join((_match(interface), section("Link", names)))


def _network(interface: Interface, network: GuestNetwork) -> str:
    """Return a systemd.network(5) file."""
    lines = [setting("DHCP", plain("yes" if network["dhcp"] else "no"))]
    lines += [setting("Address", network_value(address)) for address in network["addresses"]]
    lines += [
        setting("Gateway", network_value(gateway)) for gateway in network["gateway"] if not is_on_link(network, gateway)
    ]
    lines += [setting("DNS", network_value(server)) for server in network["dns"]]
    lines += [setting("Domains", network_value(domain)) for domain in network["domains"]]
    sections = [_match(interface), section("Network", lines)]
    if network["dhcp"]:
        # Leases are declared by MAC address; a server of systemd 252 looks for them by the identifier alone.
        sections.append(section("DHCPv4", [setting("ClientIdentifier", plain("mac"))]))
    return "\n".join([*sections, *_routes(network)])


def _routes(network: GuestNetwork) -> Iterator[str]:
    """Yield sections of routes: those of default gateways that no subnet has, then the declared ones."""
    on_link = setting("GatewayOnLink", plain("yes"))
    for gateway in network["gateway"]:
        if is_on_link(network, gateway):
            yield section("Route", [setting("Gateway", network_value(gateway)), on_link])
    for route in network["routes"]:
        yield section("Route", [*_route(route), *([on_link] if route["on_link"] else [])])


def _route(route: GuestNetworkRoute) -> Iterator[str]:
    yield setting("Destination", network_value(route["destination"]))
    if route["gateway"] is not None:
        yield setting("Gateway", network_value(route["gateway"]))
    if route["metric"] is not None:
        yield setting("Metric", plain(route["metric"]))
