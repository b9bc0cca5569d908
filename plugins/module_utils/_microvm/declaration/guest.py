# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest is told without rebuilding its image: systemd credentials and kernel parameters.

The names and their effects are those of systemd.system-credentials(7). The initrd of our images does the same for a
systemd that is too old to know one of them.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from .identity import STORE_SERIAL
from .parse import Declaration

NINE_P_MESSAGE_SIZE = 512 * 1024
"""Bytes of one 9p message: Linux' default (128 KiB at most) makes large reads slow."""


def credentials(declaration: Declaration) -> Dict[str, str]:
    """Credential names and texts; empty where the guest is not configured by us."""
    guest = declaration["guest"]
    if not guest["enable"]:
        return {}
    texts = {
        "system.hostname": guest["hostname"],
        "system.machine_id": declaration["machine_id"],
        "ssh.authorized_keys.root": _lines(guest["authorized_keys"]),
        "fstab.extra": _lines(_mounts(declaration)),
    }
    for index, (interface, network) in enumerate(zip(declaration["interfaces"], guest["networks"])):
        texts[f"network.network.10-if{index}"] = _network(interface, network)
    return {name: text for name, text in texts.items() if text}


def kernel_parameters(declaration: Declaration) -> List[str]:
    """How the initrd of our images finds its disks; then the user's own parameters."""
    own = _disk_parameters(declaration) if declaration["image"] else []
    return own + list(declaration["kernel_params"])


def root_volume(declaration: Declaration) -> Optional[Mapping[str, Any]]:
    """The volume that keeps the changes to the read-only root, if there is one."""
    return next((volume for volume in declaration["volumes"] if volume["mount_point"] == "/"), None)


def _disk_parameters(declaration: Declaration) -> List[str]:
    parameters = [f"microvm.store={STORE_SERIAL}", f"microvm.store_type={declaration['store_disk_type']}"]
    volume = root_volume(declaration)
    return parameters + ([f"microvm.overlay={volume['serial']}"] if volume else [])


def _mounts(declaration: Declaration) -> List[str]:
    """Lines of fstab(5)."""
    lines = []
    for volume in declaration["volumes"]:
        if volume["mount_point"] not in (None, "/"):
            options = "ro" if volume["read_only"] else "defaults"
            device = f"/dev/disk/by-id/virtio-{volume['serial']}"
            lines.append(f"{device} {_escape(volume['mount_point'])} {volume['fs_type']} {options} 0 2")
    for share in declaration["shares"]:
        if share["mount_point"] is not None:
            options = f"trans=virtio,version=9p2000.L,msize={NINE_P_MESSAGE_SIZE}"
            options += ",ro" if share["read_only"] else ""
            lines.append(f"{share['tag']} {_escape(share['mount_point'])} 9p {options} 0 0")
    return lines


def _escape(path: str) -> str:
    """Blanks and backslashes as fstab(5) writes them."""
    return path.replace("\\", "\\134").replace(" ", "\\040").replace("#", "\\043")


def _network(interface: Mapping[str, Any], network: Mapping[str, Any]) -> str:
    """A systemd.network(5) file; the interface is told by its address, since its name is the guest's affair."""
    lines = ["[Match]", f"MACAddress={interface['mac']}", "", "[Network]"]
    lines += [f"DHCP={'yes' if network['dhcp'] else 'no'}"]
    lines += [f"Address={address}" for address in network["addresses"]]
    lines += [f"Gateway={network['gateway']}"] if network["gateway"] else []
    lines += [f"DNS={server}" for server in network["dns"]]
    if network["dhcp"]:
        # Leases are declared by MAC address; a server of systemd 252 looks for them by the identifier alone.
        lines += ["", "[DHCPv4]", "ClientIdentifier=mac"]
    return _lines(lines)


def _lines(lines: List[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
