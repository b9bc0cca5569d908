# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what users wrote to declarations that the later layers can rely on."""

from __future__ import annotations

import ipaddress
import posixpath
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from . import identity
from .checks import mebibytes
from .errors import DeclarationError
from .names import BOOTED_LINK, CURRENT_LINK, IMAGE_STORE, OLD_LINK
from .validation import validate
from .vm_options import VM_OPTIONS

Declaration = Dict[str, Any]
"""A validated mapping with the keys of ``VM_OPTIONS``: defaults, derived identities and resolved images filled in.
Sizes are in MiB, lists are never ``None``."""


def parse_vms(
    raw: Sequence[Mapping[str, Any]],
    images: Sequence[Mapping[str, Any]] = (),
    path: str = "vms",
    installed: Sequence[Mapping[str, Any]] = (),
) -> List[Declaration]:
    """Validate and complete the MicroVMs of one host.

    ``images`` are the images that the host was given: ``name``, ``path`` of the image directory (``None`` while it is
    not known) and ``store_disk_type``; ``installed`` the recorded declarations of other MicroVMs that are on the host
    already. Raises DeclarationError with the path of what is wrong.
    """
    declarations = [parse_vm(element, images, f"{path}[{index}]") for index, element in enumerate(raw)]
    _refuse_clashes(declarations, path, installed)
    return declarations


def parse_vm(raw: Mapping[str, Any], images: Sequence[Mapping[str, Any]] = (), path: str = "") -> Declaration:
    """Validate and complete one MicroVM; see parse_vms."""
    prefix = f"{path}." if path else ""
    declaration = validate(VM_OPTIONS, raw, path)
    declaration["mem"] = mebibytes(declaration["mem"])
    for key in ("kernel_params", "interfaces", "volumes", "shares"):
        declaration[key] = declaration[key] or []
    declaration["machine_id"] = declaration["machine_id"] or identity.machine_id(declaration["name"])
    declaration["socket"] = declaration["socket"] or f"{declaration['name']}.sock"
    _complete_interfaces(declaration, prefix)
    _complete_guest(declaration, prefix)
    _resolve_image(declaration, images, prefix)
    _complete_volumes(declaration, prefix)
    _complete_shares(declaration, prefix)
    _complete_ready(declaration, prefix)
    return declaration


def _complete_interfaces(declaration: Declaration, prefix: str) -> None:
    seen: Dict[str, str] = {}
    for index, interface in enumerate(declaration["interfaces"]):
        interface["id"] = interface["id"] or identity.tap_name(declaration["name"], index)
        interface["mac"] = (interface["mac"] or identity.mac_address(declaration["name"], index)).lower()
        if interface["bridge"] and interface["type"] != "tap":
            raise DeclarationError(
                f"{prefix}interfaces[{index}].bridge", "is for interfaces of type tap; remove it or change the type"
            )
        _refuse_repetition(seen, f"{prefix}interfaces[{index}]", interface, ("id", "mac"))


def _complete_guest(declaration: Declaration, prefix: str) -> None:
    guest = declaration["guest"]
    if guest["enable"] is None:
        guest["enable"] = declaration["image"] is not None
    if guest["hostname"] is None:
        guest["hostname"] = declaration["name"].replace("_", "-").rstrip(".-")
    guest["authorized_keys"] = [key.strip() for key in guest["authorized_keys"] or []]
    guest["networks"] = _networks(declaration, f"{prefix}guest.networks")


def _networks(declaration: Declaration, path: str) -> List[Dict[str, Any]]:
    """One entry for each interface, in the interfaces' order."""
    interfaces = [interface["id"] for interface in declaration["interfaces"]]
    networks: Dict[str, Dict[str, Any]] = {}
    for index, network in enumerate(declaration["guest"]["networks"] or []):
        if network["interface"] is None and index < len(interfaces):
            network["interface"] = interfaces[index]
        if network["interface"] not in interfaces:
            known = ", ".join(interfaces) or "none is declared"
            raise DeclarationError(f"{path}[{index}].interface", f"names no interface of this MicroVM ({known})")
        if network["interface"] in networks:
            raise DeclarationError(f"{path}[{index}].interface", "is configured twice; join the two entries")
        networks[network["interface"]] = network
    return [_complete_network(networks.get(interface, {"interface": interface})) for interface in interfaces]


def _complete_network(network: Dict[str, Any]) -> Dict[str, Any]:
    # In one way of writing: 10.0.0.2/255.255.255.0 is 10.0.0.2/24.
    addresses = [str(ipaddress.ip_interface(address)) for address in network.get("addresses") or []]
    dhcp = network.get("dhcp")
    return {
        "interface": network["interface"],
        "addresses": addresses,
        "gateway": network.get("gateway"),
        "dns": network.get("dns") or [],
        "dhcp": not addresses if dhcp is None else dhcp,
    }


def _resolve_image(declaration: Declaration, images: Sequence[Mapping[str, Any]], prefix: str) -> None:
    """Fill in kernel, initrd and root disk from the image."""
    if declaration["state"] == "absent":
        # What is removed needs no more than its name.
        return
    if declaration["image"] is None:
        if declaration["kernel"] is None:
            raise DeclarationError(f"{prefix}kernel", "is required without an image; set `image` or `kernel`")
        return
    directory, store_disk_type = _image_directory(declaration, images, prefix)
    declaration["store_disk_type"] = store_disk_type
    files = {"kernel": "kernel", "initrd_path": "initrd", "store_disk": f"root.{store_disk_type}"}
    for key, file in files.items():
        declaration[key] = declaration[key] or f"{directory}/{file}"


def _image_directory(declaration: Declaration, images: Sequence[Mapping[str, Any]], prefix: str) -> Tuple[str, str]:
    image = declaration["image"]
    if image.startswith("/"):
        return image.rstrip("/"), declaration["store_disk_type"]
    for known in images:
        if known["name"] == image:
            return image_path(known), known.get("store_disk_type") or "erofs"
    names = ", ".join(sorted(known["name"] for known in images)) or "none"
    raise DeclarationError(
        f"{prefix}image", f"there is no image {image!r} (declared: {names}); declare it or give an absolute path"
    )


def image_path(known: Mapping[str, Any]) -> str:
    """Directory of an image that the host was given, also while it is not known."""
    return str(known.get("path") or f"{IMAGE_STORE}/{known['name']}")


def _complete_volumes(declaration: Declaration, prefix: str) -> None:
    seen: Dict[str, str] = {}
    reserved = (CURRENT_LINK, BOOTED_LINK, OLD_LINK, declaration["socket"])
    for index, volume in enumerate(declaration["volumes"]):
        path = f"{prefix}volumes[{index}]"
        if posixpath.normpath(volume["image"]) in reserved or volume["image"].endswith(".partial"):
            raise DeclarationError(
                f"{path}.image", f"{volume['image']!r} is a name that we need ourselves; use another"
            )
        if volume["auto_create"] and volume["size"] is None:
            raise DeclarationError(f"{path}.size", "is required to create the image; set it or `auto_create: false`")
        if volume["size"] is not None:
            volume["size"] = mebibytes(volume["size"])
        if volume["serial"] is None and (declaration["guest"]["enable"] or volume["mount_point"] == "/"):
            volume["serial"] = identity.volume_serial(volume["image"])
        if volume["mount_point"] == "/" and volume["read_only"]:
            raise DeclarationError(f"{path}.read_only", "the volume under / keeps the guest's changes; remove this")
        _refuse_repetition(seen, path, volume, ("image", "serial", "mount_point"))


def _complete_shares(declaration: Declaration, prefix: str) -> None:
    seen: Dict[str, str] = {}
    for index, share in enumerate(declaration["shares"]):
        share["source"] = share["source"].rstrip("/") or "/"
        _refuse_repetition(seen, f"{prefix}shares[{index}]", share, ("tag", "mount_point"))


def _refuse_repetition(seen: Dict[str, str], path: str, entry: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in keys:
        if entry[key] is None:
            continue
        other = seen.setdefault(f"{key} {entry[key]}", path)
        if other != path:
            raise DeclarationError(f"{path}.{key}", f"{entry[key]!r} is already that of {other}; use another one")


def _complete_ready(declaration: Declaration, prefix: str) -> None:
    ready, guest = declaration["ready"], declaration["guest"]
    if ready["address"] is None and guest["enable"]:
        ready["address"] = next((address for _place, address in _reachable_addresses(declaration)), None)
    if ready["check"] == "auto":
        ready["check"] = "ssh" if ready["address"] and guest["authorized_keys"] else "hypervisor"
    if ready["check"] in ("ssh", "tcp") and ready["address"] is None:
        raise DeclarationError(
            f"{prefix}ready.address", f"is required for the check {ready['check']}, since no static address is known"
        )


def _reachable_addresses(declaration: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    """Static addresses that the host reaches, each with the key that says it; user networks are each by itself."""
    for index, (interface, network) in enumerate(zip(declaration["interfaces"], declaration["guest"]["networks"])):
        if interface["type"] != "user":
            for position, address in enumerate(network["addresses"]):
                yield f"guest.networks[{index}].addresses[{position}]", str(ipaddress.ip_interface(address).ip)


def _identities(declaration: Mapping[str, Any], path: str) -> Iterator[Tuple[str, str, str]]:
    """What no two MicroVMs of a host may share: (what, value, path)."""
    yield "name", declaration["name"], f"{path}.name"
    if declaration.get("state") == "absent":
        return
    yield "machine id", declaration["machine_id"], f"{path}.machine_id"
    for index, interface in enumerate(declaration["interfaces"]):
        if interface["type"] != "user":
            yield "interface", interface["id"], f"{path}.interfaces[{index}].id"
            yield "MAC address", interface["mac"], f"{path}.interfaces[{index}].mac"
    for index, volume in enumerate(declaration["volumes"]):
        if volume["image"].startswith("/") and not volume["read_only"]:
            yield "writable image", volume["image"], f"{path}.volumes[{index}].image"
    for place, address in _reachable_addresses(declaration):
        yield "address", address, f"{path}.{place}"


def _refuse_clashes(declarations: Sequence[Declaration], path: str, installed: Sequence[Mapping[str, Any]]) -> None:
    owners: Dict[Tuple[str, str], str] = {}
    for one in installed:
        for what, value, _place in _identities(one, ""):
            owners.setdefault((what, value), f"the MicroVM {one['name']!r}, which is on the host")
    for index, declaration in enumerate(declarations):
        for what, value, place in _identities(declaration, f"{path}[{index}]"):
            other = owners.setdefault((what, value), place)
            if other != place:
                raise DeclarationError(
                    place, f"the {what} {value!r} is already that of {other}; no two MicroVMs of a host may share it"
                )
