# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make declarations that the later layers can rely on from what users write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Mapping, Optional, Sequence, TypeVar, cast

from ...hypervisors.profiles import PROFILES
from ...schema.checks import AUTOMATIC_CONTEXT
from ...schema.errors import DeclarationError
from ...schema.options import defaults
from ...schema.validation import validate
from .. import identity
from ..huge_pages import HUGE_PAGE_SIZES
from ..names import IMAGE_STORE, NIX_STORE, unit_names
from ..types import HostImage, PackagedVm, Vm
from .claims import reachable_addresses
from .clashes import clashes
from .devices import check_devices, check_mount_points, complete_interfaces, complete_shares, complete_volumes
from .disks import BY_SPELLING, Disks
from .external import check_sources, of_package, refuse_decided, source_option
from .guest_networks import complete_networks
from .guest_store import complete_store
from .host_key import complete_host_key
from .options import VM_OPTIONS

Declaration = Vm
"""A validated mapping with the keys of ``VM_OPTIONS``: defaults, derived identities and resolved images filled in."""


@dataclass(frozen=True)
class ExternalDeclarations:
    """Declarations that external packages record, which are not rendered here."""

    packages: Mapping[int, PackagedVm] = field(default_factory=dict)
    """What the package of a MicroVM decides, by the position of the MicroVM."""
    common: Mapping[str, object] = field(default_factory=dict)
    """Validated options that all MicroVMs have received."""


NO_EXTERNAL_DECLARATIONS = ExternalDeclarations()

_T = TypeVar("_T")
_TEMPLATES = {value for key, value in defaults(VM_OPTIONS).items() if key in ("socket", "graphics.socket")}


def parse_vms(
    raw: Sequence[object],
    images: Sequence[HostImage] = (),
    path: str = "vms",
    installed: Sequence[PackagedVm] = (),
    disks: Disks = BY_SPELLING,
    external: ExternalDeclarations = NO_EXTERNAL_DECLARATIONS,
) -> List[Declaration]:
    """Validate and complete the MicroVMs of one host.

    ``images`` are the images that the host was given, ``installed`` the recorded declarations of other MicroVMs that
    are on the host already, ``disks`` says where images are, ``external`` what packages decide.
    Raises DeclarationError with the path of what is wrong.
    """
    declarations = [
        parse_vm(element, images, f"{path}[{index}]", external.packages.get(index), external.common)
        for index, element in enumerate(raw)
    ]
    for index, error in clashes(declarations, lambda index: f"{path}[{index}]", installed, disks):
        raise DeclarationError(f"{path}[{index}].{error.path}", error.message)
    return declarations


def parse_vm(
    raw: object,
    images: Sequence[HostImage] = (),
    path: str = "",
    package: Optional[PackagedVm] = None,
    common: Optional[Mapping[str, object]] = None,
) -> Declaration:
    """Validate and complete one MicroVM; see parse_vms and ExternalDeclarations."""
    prefix = f"{path}." if path else ""
    # Derived options that are not declared are still ``None``; the functions below fill them in.
    declaration = cast(Vm, validate(VM_OPTIONS, raw, path))
    check_sources(declaration, common or {}, prefix)
    is_external = source_option(declaration) != ""
    if is_external:
        refuse_decided(declaration, common or {}, prefix)
    if package is not None or is_external:
        _complete_identity(declaration, prefix)
        declaration = of_package(declaration, package, prefix)
        _check_host_options(declaration, prefix)
        return declaration
    _refuse_switch(declaration, common or {}, prefix)
    _complete_memory(declaration, prefix)
    _complete_identity(declaration, prefix)
    declaration["machine_id"] = _machine_id(declaration)
    if declaration["socket"] is not None:
        declaration["socket"] = _fill_in(declaration["socket"], declaration)
    declaration["graphics"]["socket"] = _fill_in(declaration["graphics"]["socket"], declaration)
    complete_interfaces(declaration, prefix)
    _complete_guest(declaration, prefix)
    complete_host_key(declaration, images, prefix)
    _resolve_image(declaration, images, prefix)
    complete_volumes(declaration, prefix)
    complete_shares(declaration, prefix)
    complete_store(declaration, images, prefix)
    check_mount_points(declaration, prefix)
    check_devices(declaration, prefix)
    _complete_ready(declaration, prefix)
    _check_host_options(declaration, prefix)
    return declaration


def _refuse_switch(declaration: Declaration, common: Mapping[str, object], prefix: str) -> None:
    """Refuse to switch guests whose package is rendered here: it has no system; values for all MicroVMs do nothing."""
    action = declaration["ssh_switch"]
    if action not in ("none", common.get("ssh_switch")):
        raise DeclarationError(
            f"{prefix}ssh_switch",
            f"{action} requires a package with a system in /nix/store, as Nix builds it (flake, runner); remove it",
        )


def _check_huge_pages(declaration: Declaration, prefix: str) -> None:
    size = declaration["hugepage_size"]
    if size is None:
        return
    if not declaration["hugepage_mem"]:
        raise DeclarationError(f"{prefix}hugepage_mem", "is required for hugepage_size; set it to true")
    for key in ("mem", "hotplug_mem", "hotplugged_mem"):
        memory = declaration[key]
        if memory * 1024 % HUGE_PAGE_SIZES[size]:
            raise DeclarationError(
                f"{prefix}{key}", f"{memory} MiB are no multiple of huge pages of {size}; declare a multiple"
            )


def _complete_memory(declaration: Declaration, prefix: str) -> None:
    declaration["hotplugged_mem"] = _unless_given(declaration["hotplugged_mem"], declaration["hotplug_mem"])
    _refuse_odd(declaration["hotplug_mem"], f"{prefix}hotplug_mem")
    _refuse_odd(declaration["hotplugged_mem"], f"{prefix}hotplugged_mem")
    if declaration["hugepage_mem"]:
        _refuse_odd(declaration["mem"], f"{prefix}mem")
    _check_huge_pages(declaration, prefix)
    if declaration["hotplugged_mem"] > declaration["hotplug_mem"]:
        raise DeclarationError(
            f"{prefix}hotplugged_mem",
            f"is more than the {declaration['hotplug_mem']} MiB of hotplug_mem; increase hotplug_mem",
        )
    if declaration["initial_balloon_mem"] and not declaration["balloon"]:
        raise DeclarationError(
            f"{prefix}initial_balloon_mem", "requires a balloon; set `balloon: true` or remove this option"
        )
    if declaration["initial_balloon_mem"] >= declaration["mem"]:
        raise DeclarationError(
            f"{prefix}initial_balloon_mem", f"would take all {declaration['mem']} MiB of mem; set a smaller size"
        )


def _unless_given(value: Optional[_T], derived: _T) -> _T:
    return derived if value is None else value


def _refuse_odd(size: int, path: str) -> None:
    if size % 2:
        raise DeclarationError(path, f"{size} MiB is not a multiple of 2 MiB; round it")


def _complete_identity(declaration: Declaration, prefix: str) -> None:
    former = declaration["renamed_from"]
    if former == declaration["name"]:
        raise DeclarationError(f"{prefix}renamed_from", "is the name of the MicroVM itself; remove it")
    declaration["identity"] = declaration["identity"] or former or declaration["name"]
    if declaration["vsock"]["cid"] == AUTOMATIC_CONTEXT:
        declaration["vsock"]["cid"] = identity.derived_context(declaration["identity"])


def _machine_id(declaration: Declaration) -> str:
    declared = declaration["machine_id"]
    return declared.replace("-", "").lower() if declared else identity.machine_id(declaration["identity"])


def _fill_in(template: str, declaration: Declaration) -> str:
    """Return a socket's path. The defaults of the table name the MicroVM in braces; users' paths are taken as they
    are."""
    return template.format(name=declaration["name"]) if template in _TEMPLATES else template


def _complete_guest(declaration: Declaration, prefix: str) -> None:
    guest = declaration["guest"]
    guest["enable"] = _unless_given(guest["enable"], declaration["image"] is not None)
    guest["hostname"] = _unless_given(guest["hostname"], _hostname(declaration["name"]))
    guest["authorized_keys"] = [key.strip() for key in guest["authorized_keys"]]
    guest["networks"] = complete_networks(declaration, f"{prefix}guest.networks")


def _hostname(name: str) -> str:
    """Return the name of a MicroVM as a host name: labels have no underscores, and no hyphens at their ends."""
    labels = (label.strip("-") for label in name.replace("_", "-").split("."))
    return ".".join(label for label in labels if label)


def _resolve_image(declaration: Declaration, images: Sequence[HostImage], prefix: str) -> None:
    """Fill in what depends on the image: kernel, initrd, root disk."""
    _fill_in_image(declaration, images, prefix)
    of_nix = any(share["source"].rstrip("/") == NIX_STORE for share in declaration["shares"])
    has_image = declaration["image"] is not None
    declaration["store_on_disk"] = _unless_given(declaration["store_on_disk"], has_image or not of_nix)
    if not declaration["store_on_disk"]:
        declaration["store_disk"] = None
    declaration["system_symlink"] = _unless_given(declaration["system_symlink"], has_image)


def _fill_in_image(declaration: Declaration, images: Sequence[HostImage], prefix: str) -> None:
    if declaration["state"] == "absent":
        # A MicroVM that is removed needs only a name.
        return
    if declaration["image"] is None:
        if not declaration["kernel"]:
            raise DeclarationError(f"{prefix}kernel", "is required without an image; set `image` or `kernel`")
        return
    if declaration["image"].startswith("/"):
        directory = declaration["image"].rstrip("/")
    else:
        image = _named(declaration["image"], images, prefix)
        directory, declaration["store_disk_type"] = image_path(image), image["store_disk_type"]
    declaration["kernel"] = declaration["kernel"] or f"{directory}/kernel"
    declaration["initrd_path"] = declaration["initrd_path"] or f"{directory}/initrd"
    declaration["store_disk"] = declaration["store_disk"] or f"{directory}/root.{declaration['store_disk_type']}"


def _named(name: str, images: Sequence[HostImage], prefix: str) -> HostImage:
    for image in images:
        if image["name"] == name:
            return image
    names = ", ".join(sorted(image["name"] for image in images)) or "none"
    raise DeclarationError(
        f"{prefix}image", f"there is no image {name!r} (declared: {names}); declare it or set an absolute path"
    )


def image_path(image: HostImage) -> str:
    """Directory of an image that the host was given; the place that it will have while that is not known."""
    return image["path"] or f"{IMAGE_STORE}/{image['name']}"


def _complete_ready(declaration: Declaration, prefix: str) -> None:
    ready, guest = declaration["ready"], declaration["guest"]
    if ready["address"] is None and guest["enable"]:
        ready["address"] = next((address for _place, address in reachable_addresses(declaration)), None)
    if ready["check"] == "auto":
        can_tell = PROFILES[declaration["hypervisor"]].reports_status and declaration["socket"] is not None
        greets = ready["address"] and (guest["authorized_keys"] or guest["host_access"])
        ready["check"] = "ssh" if greets else "hypervisor" if can_tell else "none"
    if ready["check"] == "vsock" and declaration["vsock"]["cid"] is None:
        raise DeclarationError(
            f"{prefix}vsock.cid", "is required for `ready.check: vsock`; set it to auto, or to 3 or greater"
        )
    if ready["check"] == "notify" and not declaration["use_notify_sockets"]:
        raise DeclarationError(f"{prefix}use_notify_sockets", "is required for `ready.check: notify`; set it to true")
    if ready["check"] in ("ssh", "tcp") and ready["address"] is None:
        raise DeclarationError(
            f"{prefix}ready.address",
            f"is required for `ready.check: {ready['check']}` because the guest has no static address; set it",
        )


def _check_host_options(declaration: Declaration, prefix: str) -> None:
    if declaration["restart_policy"] == "window" and declaration["restart_window"] is None:
        raise DeclarationError(
            f"{prefix}restart_window", "is required for `restart_policy: window`; write it as 22:00-04:30"
        )
    window = declaration["restart_window"]
    if window is not None and window[:5] == window[6:]:
        raise DeclarationError(
            f"{prefix}restart_window", f"{window!r} is empty because it ends when it starts; write a different end"
        )
    own_units = unit_names(declaration["name"])
    for key, units in (("after", declaration["after"]), ("requires", declaration["requires"])):
        for index, unit in enumerate(units):
            if unit in own_units:
                raise DeclarationError(
                    f"{prefix}{key}[{index}]", f"{unit!r} is a unit of the MicroVM itself; remove it"
                )
    if declaration["use_notify_sockets"] and declaration["vsock"]["cid"] is None:
        raise DeclarationError(
            f"{prefix}vsock.cid", "is required for use_notify_sockets; set it to auto, or to 3 or greater"
        )
