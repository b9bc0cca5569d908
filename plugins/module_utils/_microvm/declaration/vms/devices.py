# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check a MicroVM's interfaces, ports, disks, shares and devices together; fill in what follows from others."""

from __future__ import annotations

import posixpath
from typing import Dict, Mapping, Optional, Sequence, Union

from ...schema.checks import new_interface_name, pci_address, socket_path
from ...schema.errors import DeclarationError
from ...schema.options import defaults
from .. import identity
from ..accounts import ROOT_NAMES, account
from ..names import PARTIAL_SUFFIX, WORK_ENTRIES
from ..types import ForwardPort, Interface, Share, Vm, Volume
from .block_devices import complete_block_device, is_formatted
from .device_identity import device_identity, usb_problem
from .device_options import SHARES
from .disks import spelt_once
from .hypervisor_options import VIRTIOFSD

LABEL_LENGTHS = {"ext2": 16, "ext3": 16, "ext4": 16, "xfs": 12, "btrfs": 255, "vfat": 11}
"""File systems that are created, and how many bytes their labels have at most (the manuals of their mkfs)."""

LEAST_MEBIBYTES = {"xfs": 300, "btrfs": 109}
"""Smallest sizes in MiB that mkfs.xfs (xfsprogs 6) and mkfs.btrfs format; the others format 1 MiB."""

_MIXED = ("--mixed", "-M")
"""Arguments of mkfs.btrfs with which 16 MiB are enough."""

_LEAST_MIXED = 16

TAG_LENGTHS = {"9p": 31, "virtiofs": 36}
"""Bytes of a tag (QEMU's hw/9pfs/9p.h; the virtio specification, 5.11.4)."""


def complete_interfaces(declaration: Vm, prefix: str) -> None:
    """Derive names and addresses; refuse what does not fit a type. Raises DeclarationError, as all of this file."""
    owners: Dict[str, str] = {}
    for index, interface in enumerate(declaration["interfaces"]):
        path = f"{prefix}interfaces[{index}]"
        interface["id"] = interface["id"] or identity.tap_name(declaration["identity"], index)
        interface["mac"] = (interface["mac"] or identity.mac_address(declaration["identity"], index)).lower()
        _check_interface(interface, path)
        _refuse_repetition(owners, path, interface, ("id", "mac"))
    _check_ports(declaration, prefix)


def _check_interface(interface: Interface, path: str) -> None:
    kind = interface["type"]
    problem = new_interface_name(interface["id"]) if kind != "user" else None
    if problem:
        raise DeclarationError(f"{path}.id", problem)
    if interface["bridge"] and kind == "user":
        raise DeclarationError(
            f"{path}.bridge", "is not supported by interfaces of type user; remove it or change the type"
        )
    if kind == "bridge" and not interface["bridge"]:
        raise DeclarationError(f"{path}.bridge", "is required for an interface of type bridge; set it")
    for key in ("link", "mode"):
        if kind == "macvtap" and interface["bridge"] and interface["macvtap"][key]:
            raise DeclarationError(
                f"{path}.macvtap.{key}",
                f"is what the network {interface['bridge']!r} has for all interfaces; remove it, or remove bridge",
            )
        if kind == "macvtap" and not interface["bridge"] and not interface["macvtap"][key]:
            raise DeclarationError(
                f"{path}.macvtap.{key}",
                "is required for an interface of type macvtap; set it, or name a network with mode macvtap in bridge",
            )
        if kind != "macvtap" and interface["macvtap"][key]:
            raise DeclarationError(
                f"{path}.macvtap.{key}", "is supported only by interfaces of type macvtap; remove it"
            )
    if interface["tap"]["vhost"] and kind not in ("tap", "macvtap"):
        raise DeclarationError(f"{path}.tap.vhost", "is supported only by interfaces of type tap or macvtap; remove it")


def _check_ports(declaration: Vm, prefix: str) -> None:
    users = [interface for interface in declaration["interfaces"] if interface["type"] == "user"]
    if declaration["forward_ports"] and not users:
        raise DeclarationError(f"{prefix}forward_ports", "requires an interface of type user; declare one")
    owners: Dict[str, str] = {}
    for index, port in enumerate(declaration["forward_ports"]):
        # Ports of the host are compared with those of all MicroVMs, see claims.py.
        if port["from"] == "guest":
            path = f"{prefix}forward_ports[{index}]"
            _check_guest_port(port, path)
            end = port["guest"]
            _refuse_second(owners, f"{path}.guest.port", f"{end['address']}:{end['port']}", str(end["port"]))


def _check_guest_port(port: ForwardPort, path: str) -> None:
    if port["proto"] != "tcp":
        raise DeclarationError(
            f"{path}.proto", "only tcp can be forwarded from the guest to the host; set `proto: tcp`"
        )
    for end in ("guest", "host"):
        if not port[end]["address"]:
            raise DeclarationError(
                f"{path}.{end}.address", "is required for a port that is forwarded from the guest to the host; set it"
            )


def complete_volumes(declaration: Vm, prefix: str) -> None:
    """Refuse names that are taken, and what mkfs would refuse."""
    owners: Dict[str, str] = {}
    reserved = (*WORK_ENTRIES, declaration["socket"], declaration["graphics"]["socket"])
    for index, volume in enumerate(declaration["volumes"]):
        path = f"{prefix}volumes[{index}]"
        if posixpath.normpath(volume["image"]) in reserved or volume["image"].endswith(PARTIAL_SUFFIX):
            raise DeclarationError(f"{path}.image", f"{volume['image']!r} is a reserved name; choose a different one")
        complete_block_device(volume, path)
        if volume["auto_create"]:
            _check_image(volume, path)
        if volume["auto_create"] or is_formatted(volume):
            _check_created(volume, path)
        if volume["mount_point"] == "/" and volume["read_only"]:
            raise DeclarationError(f"{path}.read_only", "the volume mounted at / must be writable; remove this option")
        _refuse_second(owners, f"{path}.image", f"image {posixpath.normpath(volume['image'])}", volume["image"], path)
        _refuse_repetition(owners, path, volume, ("serial",))


def _check_image(volume: Volume, path: str) -> None:
    if not volume["size"]:
        raise DeclarationError(f"{path}.size", "is required to create the image; set it or `auto_create: false`")
    if is_kernels(volume["image"]):
        raise DeclarationError(
            f"{path}.image",
            f"{volume['image']!r} is below a directory of the kernel's, where a new file would be lost with the next "
            "boot of the host; create the image elsewhere, or set `auto_create: false` for a block device",
        )
    if volume["image_type"] != "raw":
        raise DeclarationError(
            f"{path}.image_type",
            f"{volume['image_type']} images cannot be created; provide the image and set `auto_create: false`",
        )


def _check_created(volume: Volume, path: str) -> None:
    kind = volume["fs_type"]
    if kind not in LABEL_LENGTHS:
        kinds = ", ".join(LABEL_LENGTHS)
        raise DeclarationError(
            f"{path}.fs_type", f"{kind!r} cannot be created, only {kinds}; use one of them or set `auto_create: false`"
        )
    least = _least_size(volume)
    if volume["auto_create"] and volume["size"] is not None and volume["size"] < least:
        raise DeclarationError(
            f"{path}.size", f"{volume['size']} MiB are too small for {kind}; set {least} or more, or another fs_type"
        )
    if volume["label"] is not None and len(volume["label"].encode()) > LABEL_LENGTHS[kind]:
        raise DeclarationError(
            f"{path}.label", f"{kind} labels have at most {LABEL_LENGTHS[kind]} bytes; use a shorter label"
        )


def _least_size(volume: Volume) -> int:
    is_mixed = volume["fs_type"] == "btrfs" and any(word in _MIXED for word in volume["mkfs_extra_args"])
    return _LEAST_MIXED if is_mixed else LEAST_MEBIBYTES.get(volume["fs_type"], 1)


def is_kernels(path: str) -> bool:
    """Return whether a path is below a directory that the kernel provides, whose files are devices or in memory."""
    absolute = f"/{posixpath.normpath(path).lstrip('/')}" if path.startswith("/") else ""
    return absolute.startswith(("/dev/", "/proc/", "/sys/"))


_SOCKET = defaults(SHARES)["socket"]
_OWN_GROUP = defaults(VIRTIOFSD)["group"]


def complete_shares(declaration: Vm, prefix: str) -> None:
    """Name the sockets; refuse what one protocol has and the other has not."""
    owners: Dict[str, str] = {}
    if declaration["socket"]:
        owners[f"socket {declaration['socket']}"] = "the hypervisor's control socket"
    for index, share in enumerate(declaration["shares"]):
        path = f"{prefix}shares[{index}]"
        share["source"] = share["source"].rstrip("/") or "/"
        if len(share["tag"].encode()) > TAG_LENGTHS[share["proto"]]:
            most = TAG_LENGTHS[share["proto"]]
            raise DeclarationError(f"{path}.tag", f"{share['proto']} tags have at most {most} bytes; use a shorter tag")
        if share["proto"] == "virtiofs":
            _complete_virtiofs(declaration, share, path)
        else:
            _refuse_virtiofs_only(share, path)
        _refuse_repetition(owners, path, share, ("tag", "socket"))


def _complete_virtiofs(declaration: Vm, share: Share, path: str) -> None:
    if declaration["virtiofsd"]["group"] == _OWN_GROUP:
        declaration["virtiofsd"]["group"] = account(declaration).group
    if share["socket"] == _SOCKET:
        share["socket"] = _SOCKET.format(name=declaration["name"], tag=share["tag"])
    if share["socket"] is None:
        raise DeclarationError(f"{path}.socket", "is required for a virtiofs share; remove the key to use the default")
    problem = socket_path(share["socket"])
    if problem:
        raise DeclarationError(f"{path}.socket", problem)
    if share["security_model"] != "none":
        raise DeclarationError(f"{path}.security_model", "is supported only by 9p shares; remove it")
    arguments = declaration["virtiofsd"]["extra_args"] + share["extra_args"]
    if share["user"] in ROOT_NAMES:
        share["user"] = None
    if share["user"]:
        _check_user(declaration["virtiofsd"]["inode_file_handles"], arguments, path)
    is_translated = share["translate_uid"] or share["translate_gid"] or share["user"]
    if share["posix_acl"] and (is_translated or any(argument.startswith(_TRANSLATIONS) for argument in arguments)):
        raise DeclarationError(
            f"{path}.posix_acl",
            "virtiofsd cannot translate identities (user, translate_uid, translate_gid, or --translate-uid, "
            "--translate-gid in extra_args) of a share with access control lists; set `posix_acl: false`",
        )


_TRANSLATIONS = ("--translate-uid", "--translate-gid")

SANDBOX_ARGUMENTS = ("--sandbox", "--uid-map", "--gid-map", "-o")
"""Arguments of virtiofsd, or how they begin, that determine its sandbox."""

CAPABILITY_ARGUMENTS = ("--modcaps", "-o")
"""Arguments of virtiofsd, or how they begin, that determine its capabilities."""


def _check_user(inode_file_handles: Optional[str], arguments: Sequence[str], path: str) -> None:
    """Refuse what takes privileges that the daemon of a user other than root does not have."""
    if inode_file_handles == "mandatory":
        raise DeclarationError(
            f"{path}.user",
            "only root can use file handles, which virtiofsd.inode_file_handles makes mandatory; remove one of both",
        )
    unusable = [word for word in arguments if word.startswith((*SANDBOX_ARGUMENTS, *CAPABILITY_ARGUMENTS))]
    if unusable:
        raise DeclarationError(
            f"{path}.user",
            f"a daemon without root's privileges has no use for {unusable[0]} of extra_args; remove one of both",
        )


def _refuse_virtiofs_only(share: Share, path: str) -> None:
    standard = defaults(SHARES)
    for key in ("cache", "posix_acl", "user", "translate_uid", "translate_gid", "extra_args"):
        if share[key] not in ([], standard[key]):
            raise DeclarationError(
                f"{path}.{key}", "is supported only by virtiofs shares; remove it, or set `proto: virtiofs`"
            )
    for option in ("source_owner", "source_group"):
        if share[option] is not None and not share["source"].startswith("/"):
            raise DeclarationError(
                f"{path}.{option}",
                "a directory that a 9p share has in the working directory is created by the MicroVM's user, who cannot "
                "give it to others; remove it, name an absolute source, or set `proto: virtiofs`",
            )
    share["socket"] = None


def check_mount_points(declaration: Vm, prefix: str) -> None:
    """Refuse a mount point of two volumes or shares. One below another is right: systemd mounts the upper one first."""
    owners: Dict[str, str] = {}
    for kind in ("volumes", "shares"):
        entries: Sequence[Union[Volume, Share]] = declaration[kind]
        for index, entry in enumerate(entries):
            mount_point, path = entry["mount_point"], f"{prefix}{kind}[{index}].mount_point"
            if mount_point is not None:
                _refuse_second(owners, path, spelt_once(mount_point), mount_point)


def check_devices(declaration: Vm, prefix: str) -> None:
    """Check addresses, and what one kind of device has and the other has not."""
    owners: Dict[str, str] = {}
    for index, device in enumerate(declaration["devices"]):
        path = f"{prefix}devices[{index}]"
        if device["bus"] == "pci":
            problem = pci_address(device["path"])
            if problem:
                raise DeclarationError(f"{path}.path", problem)
            device["path"] = device["path"].lower()
        else:
            problem = usb_problem(device["path"])
            if problem:
                raise DeclarationError(f"{path}.path", problem)
        _refuse_second(owners, f"{path}.path", device_identity(device), device["path"])
    if declaration["vsock"]["ssh"]["enable"] and declaration["vsock"]["cid"] is None:
        raise DeclarationError(f"{prefix}vsock.cid", "is required for vsock.ssh; set it to auto, or to 3 or greater")


def _refuse_repetition(owners: Dict[str, str], path: str, entry: Mapping[str, object], keys: Sequence[str]) -> None:
    for key in keys:
        if entry[key] is not None:
            _refuse_second(owners, f"{path}.{key}", f"{key} {entry[key]}", str(entry[key]), path)


def _refuse_second(owners: Dict[str, str], path: str, name: str, value: str, owner: Optional[str] = None) -> None:
    other = owners.setdefault(name, owner or path)
    if other != (owner or path):
        raise DeclarationError(path, f"{value!r} is already used by {other}; choose a different value")
