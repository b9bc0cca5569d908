# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what users wrote to declarations that the later layers can rely on."""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ...schema.checks import mebibytes
from ...schema.errors import DeclarationError
from ...schema.options import defaults
from ...schema.validation import validate
from .. import identity
from ..names import IMAGE_STORE, QMP_HYPERVISORS
from .clashes import clashes, reachable_addresses
from .devices import check_devices, complete_interfaces, complete_shares, complete_volumes
from .options import VM_OPTIONS

Declaration = Dict[str, Any]
"""A validated mapping with the keys of ``VM_OPTIONS``: defaults, derived identities and resolved images filled in.
Sizes are in MiB; lists, and mappings of texts, are never ``None``."""

LISTS = tuple(option.name for option in VM_OPTIONS if option.type == "list")
_TEMPLATES = {value for key, value in defaults(VM_OPTIONS).items() if key in ("socket", "graphics.socket")}


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


def _refuse_clashes(declarations: Sequence[Declaration], path: str, installed: Sequence[Mapping[str, Any]]) -> None:
    for index, error in clashes(declarations, lambda index: f"{path}[{index}]", installed):
        raise DeclarationError(f"{path}[{index}].{error.path}", error.message)


def parse_vm(raw: Mapping[str, Any], images: Sequence[Mapping[str, Any]] = (), path: str = "") -> Declaration:
    """Validate and complete one MicroVM; see parse_vms."""
    prefix = f"{path}." if path else ""
    declaration = validate(VM_OPTIONS, raw, path)
    for key in LISTS:
        declaration[key] = declaration[key] or []
    for key in ("credential_files", "bin_scripts"):
        declaration[key] = declaration[key] or {}
    _complete_memory(declaration, prefix)
    declaration["machine_id"] = _machine_id(declaration)
    declaration["socket"] = _fill_in(declaration["socket"], declaration)
    declaration["graphics"]["socket"] = _fill_in(declaration["graphics"]["socket"], declaration)
    complete_interfaces(declaration, prefix)
    _complete_guest(declaration, prefix)
    _resolve_image(declaration, images, prefix)
    complete_volumes(declaration, prefix)
    complete_shares(declaration, prefix)
    check_devices(declaration, prefix)
    _complete_ready(declaration, prefix)
    _check_host_options(declaration, prefix)
    return declaration


def _complete_memory(declaration: Declaration, prefix: str) -> None:
    if declaration["hotplugged_mem"] is None:
        declaration["hotplugged_mem"] = declaration["hotplug_mem"]
    for key in ("mem", "hotplug_mem", "hotplugged_mem", "initial_balloon_mem"):
        declaration[key] = mebibytes(declaration[key])
    for key in ("hotplug_mem", "hotplugged_mem", *(["mem"] if declaration["hugepage_mem"] else [])):
        if declaration[key] % 2:
            raise DeclarationError(
                f"{prefix}{key}", f"{declaration[key]} MiB are not a number of pages of 2 MiB; round it"
            )
    if declaration["hotplugged_mem"] > declaration["hotplug_mem"]:
        raise DeclarationError(
            f"{prefix}hotplugged_mem", f"is more than the {declaration['hotplug_mem']} MiB of hotplug_mem; set that too"
        )
    if declaration["initial_balloon_mem"] and not declaration["balloon"]:
        raise DeclarationError(
            f"{prefix}initial_balloon_mem", "there is no balloon; set `balloon: true`, or remove this"
        )
    if declaration["initial_balloon_mem"] >= declaration["mem"]:
        raise DeclarationError(
            f"{prefix}initial_balloon_mem", f"leaves nothing of the {declaration['mem']} MiB of mem; write less"
        )


def _machine_id(declaration: Declaration) -> str:
    given = declaration["machine_id"]
    return given.replace("-", "").lower() if given else identity.machine_id(declaration["name"])


def _fill_in(template: Optional[str], declaration: Declaration) -> Optional[str]:
    """The defaults of the option table name the MicroVM in braces; what users write is taken as it is."""
    if template is None or template not in _TEMPLATES:
        return template
    return template.format(name=declaration["name"])


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
    """Fill in what depends on the image: kernel, initrd, root disk."""
    _fill_in_image(declaration, images, prefix)
    of_nix = any(share["source"].rstrip("/") == "/nix/store" for share in declaration["shares"])
    if declaration["store_on_disk"] is None:
        declaration["store_on_disk"] = declaration["image"] is not None or not of_nix
    if not declaration["store_on_disk"]:
        declaration["store_disk"] = None
    if declaration["system_symlink"] is None:
        declaration["system_symlink"] = declaration["image"] is not None


def _fill_in_image(declaration: Declaration, images: Sequence[Mapping[str, Any]], prefix: str) -> None:
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


def _complete_ready(declaration: Declaration, prefix: str) -> None:
    ready, guest = declaration["ready"], declaration["guest"]
    if ready["address"] is None and guest["enable"]:
        ready["address"] = next((address for _place, address in reachable_addresses(declaration)), None)
    if ready["check"] == "auto":
        can_tell = declaration["hypervisor"] in QMP_HYPERVISORS and declaration["socket"] is not None
        greets = ready["address"] and guest["authorized_keys"]
        ready["check"] = "ssh" if greets else "hypervisor" if can_tell else "none"
    if ready["check"] == "vsock" and declaration["vsock"]["cid"] is None:
        raise DeclarationError(f"{prefix}vsock.cid", "is required for the check vsock; set it, 3 or more")
    if ready["check"] == "notify" and not declaration["use_notify_sockets"]:
        raise DeclarationError(f"{prefix}use_notify_sockets", "is required for the check notify; set it to true")
    if ready["check"] in ("ssh", "tcp") and ready["address"] is None:
        raise DeclarationError(
            f"{prefix}ready.address", f"is required for the check {ready['check']}, since no static address is known"
        )


def _check_host_options(declaration: Declaration, prefix: str) -> None:
    if declaration["restart_policy"] == "window" and declaration["restart_window"] is None:
        raise DeclarationError(f"{prefix}restart_window", "is required for the policy window; write it as 22:00-04:30")
    window = declaration["restart_window"]
    if window is not None and window[:5] == window[6:]:
        raise DeclarationError(f"{prefix}restart_window", f"{window!r} is no time at all; write another end")
    if declaration["use_notify_sockets"] and declaration["vsock"]["cid"] is None:
        raise DeclarationError(f"{prefix}vsock.cid", "is required for use_notify_sockets; set it, 3 or more")
    declaration["on_absent"]["confirm"] = declaration["on_absent"]["confirm"] or []
    if declaration["limits"]["memory_max"] is not None:
        declaration["limits"]["memory_max"] = mebibytes(declaration["limits"]["memory_max"])
