# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Render a declaration to a runner package, in microvm.nix's layout."""

from __future__ import annotations

import json
import posixpath
from typing import Dict, Iterator, List, Optional, Tuple

from ..declaration.accounts import account
from ..declaration.names import HUGE_PAGES_PREFIX
from ..declaration.types import Interface, Share
from ..declaration.vms.block_devices import access, block_devices, is_formatted
from ..declaration.vms.guest import credentials
from ..declaration.vms.options import PACKAGE_OPTIONS
from ..declaration.vms.parse import Declaration
from ..declaration.vms.share_sources import declares_ownership, ownership
from ..hypervisors.command import Command
from ..hypervisors.facts import HostFacts
from ..hypervisors.programs import SOCAT
from ..hypervisors.registry import command, profile, program
from ..hypervisors.requests import Shutdown
from ..schema.compaction import compact
from ..schema.quoting import one_per_line
from .package import SHARE, File, Package
from .scripts import control, interfaces, machined, pci, run, shell, virtiofsd
from .units import UNIT_FILES, packaged_drop_ins

OWN_SCRIPT = "#!/usr/bin/env bash\nset -euo pipefail\n"
"""Begins a script that is the user's own."""


def render(declaration: Declaration, facts: HostFacts, path: str = "") -> Package:
    """Make the command line, and the package around it.

    Raises DeclarationError, with a path below ``path``, for what the hypervisor cannot do.
    """
    return runner_package(declaration, command(declaration, facts, path), facts)


def runner_package(declaration: Declaration, built: Command, facts: HostFacts) -> Package:
    """Return the package around a command line that the hypervisor has made for the declaration."""
    texts = packaged_drop_ins(declaration, built, facts) if facts.system == "linux" else {}
    units = {f"{UNIT_FILES}/{template}.conf": File(text.encode()) for template, text in texts.items()}
    files = {**_scripts(declaration, built), **_share(declaration, built), **units}
    return Package(
        declaration["name"],
        {name: files[name] for name in sorted(files)},
        executed_programs(declaration, built, facts),
        built.live_options,
    )


def executed_programs(declaration: Declaration, built: Command, facts: HostFacts) -> Tuple[str, ...]:
    """Return the programs of the host that the package of a declaration executes."""
    names = [program(declaration, facts), *built.programs]
    names += [shell.readable(built.sidecar[0])] if built.sidecar else []
    names += [shell.readable(virtiofsd.arguments(declaration, 0)[0])] if _daemons(declaration) else []
    names += [SOCAT] if built.terminal else []
    names += ["cpio"] if built.initrd_credentials else []
    names += ["setfacl"] if block_devices(declaration) else []
    names += ["machinectl"] if declaration["register_with_machined"] else []
    return tuple(dict.fromkeys([*names, *_mkfs(declaration)]))


def _mkfs(declaration: Declaration) -> List[str]:
    formatted = [volume for volume in declaration["volumes"] if volume["auto_create"] or is_formatted(volume)]
    return [f"mkfs.{volume['fs_type']}" for volume in formatted]


def _interfaces(declaration: Declaration, kind: str) -> List[Interface]:
    return [interface for interface in declaration["interfaces"] if interface["type"] == kind]


def _devices(declaration: Declaration, bus: str) -> List[str]:
    return [device["path"] for device in declaration["devices"] if device["bus"] == bus]


def _huge_pages(declaration: Declaration) -> List[str]:
    """Return the directory that the hypervisor makes its file of huge pages in, if it does."""
    makes_file = declaration["hugepage_mem"] and profile(declaration).makes_huge_page_files
    return [HUGE_PAGES_PREFIX + declaration["name"]] if makes_file else []


def _daemons(declaration: Declaration) -> List[Share]:
    """Return the shares that a virtiofsd serves."""
    needed = profile(declaration).needs_virtiofsd
    return virtiofsd.daemons(declaration) if needed else []


def _tap_flags(built: Command) -> Tuple[str, ...]:
    return ("vnet_hdr", "multi_queue") if built.multi_queue else ("vnet_hdr",)


def _scripts(declaration: Declaration, built: Command) -> Dict[str, File]:
    name = declaration["name"]
    texts = {"microvm-run": run.microvm_run(declaration, built), **_interface_scripts(declaration, built)}
    texts.update(_shutdown_scripts(name, built))
    if built.balloon is not None:
        texts["microvm-balloon"] = control.microvm_balloon(name, built.balloon, declaration["mem"], built.needs_home)
    addresses = _devices(declaration, "pci")
    if addresses:
        texts["pci-setup"] = pci.pci_setup(name, addresses, account(declaration))
        texts["pci-teardown"] = pci.pci_teardown(name, addresses)
    if _daemons(declaration):
        texts["virtiofsd-run"] = virtiofsd.virtiofsd_run(declaration)
    if declaration["register_with_machined"]:
        texts["microvm-register"] = machined.microvm_register(declaration)
        texts["microvm-unregister"] = machined.microvm_unregister(declaration)
    for script, text in declaration["bin_scripts"].items():
        texts[script] = f"{texts.get(script, OWN_SCRIPT)}{text.rstrip()}\n"
    return {f"bin/{script}": File(text.encode(), executable=True) for script, text in texts.items()}


def _shutdown_scripts(name: str, built: Command) -> Dict[str, str]:
    shutdown = built.shutdown
    if isinstance(shutdown, Shutdown):
        return {"microvm-shutdown": control.microvm_shutdown(name, shutdown)}
    if shutdown is None:
        return {}
    return {
        "microvm-shutdown": control.microvm_end(name, shutdown),
        control.ASK_GUEST: control.microvm_ask_guest(name, shutdown.guest),
    }


def _interface_scripts(declaration: Declaration, built: Command) -> Dict[str, str]:
    name, taps, macvtaps = declaration["name"], _interfaces(declaration, "tap"), _interfaces(declaration, "macvtap")
    owner = account(declaration)
    texts = {}
    if taps:
        texts["tap-up"] = interfaces.tap_up(name, taps, _tap_flags(built), owner)
        texts["tap-down"] = interfaces.tap_down(name, taps, owner)
    if macvtaps:
        texts["macvtap-up"] = interfaces.macvtap_up(name, macvtaps, owner)
        texts["macvtap-down"] = interfaces.macvtap_down(name, macvtaps)
    return texts


def _guest_addresses(declaration: Declaration) -> Iterator[Tuple[Interface, List[str]]]:
    """Yield each interface with its guest's MAC and IP addresses, and ``dhcp`` if the guest gets or chooses others."""
    guest = declaration["guest"]
    for interface, network in zip(declaration["interfaces"], guest["networks"]):
        addresses = [address.partition("/")[0] for address in network["addresses"]] if guest["enable"] else []
        others = ["dhcp"] if network["dhcp"] or not addresses else []
        yield interface, [interface["mac"], *addresses, *others]


def _tap_guests(declaration: Declaration) -> Iterator[str]:
    """Yield for each tap the addresses of its guest."""
    for interface, addresses in _guest_addresses(declaration):
        if interface["type"] == "tap":
            yield " ".join([interface["id"], *addresses])


def _macvtap_guests(declaration: Declaration) -> Iterator[str]:
    """Yield for each macvtap that joins a network of the host that network, and the addresses of its guest."""
    for interface, addresses in _guest_addresses(declaration):
        if interface["type"] == "macvtap" and interface["bridge"]:
            yield " ".join([interface["id"], interface["bridge"], *addresses])


def _share(declaration: Declaration, built: Command) -> Dict[str, File]:
    macvtaps = [
        f"{interface['id']} {interface['mac']} {interface['macvtap']['link']} {interface['macvtap']['mode']}"
        for interface in _interfaces(declaration, "macvtap")
        if not interface["bridge"]
    ]
    texts: Dict[str, Optional[str]] = {
        "hypervisor": one_per_line([declaration["hypervisor"]]),
        "tap-flags": one_per_line(_tap_flags(built)),
        "command-line": shell.command_line(built.argv),
        "declaration.json": json.dumps(recorded_declaration(declaration), indent=2, sort_keys=True) + "\n",
        "tap-interfaces": one_per_line(tap["id"] for tap in _interfaces(declaration, "tap")),
        "tap-guests": one_per_line(_tap_guests(declaration)),
        "macvtap-interfaces": one_per_line(macvtaps),
        "macvtap-guests": one_per_line(_macvtap_guests(declaration)),
        "pci-devices": one_per_line(_devices(declaration, "pci")),
        "block-devices": one_per_line(f"{access(device)} {device['image']}" for device in block_devices(declaration)),
        "huge-pages": one_per_line(_huge_pages(declaration)),
        "usb-devices": one_per_line(_devices(declaration, "usb")),
        "vsock-cid": one_per_line([declaration["vsock"]["cid"]] if declaration["vsock"]["cid"] is not None else []),
        # Where the guest's vsock is a Unix socket of the hypervisor: `ssh vsock-mux/PATH` reaches it.
        "vsock-socket": one_per_line([built.notify.socket] if built.notify else []),
        "notify-port": one_per_line([built.notify_port] if built.notify_port is not None else []),
        **built.files,
    }
    for number, share in enumerate(_daemons(declaration)):
        texts[f"virtiofs/{share['tag']}/socket"] = one_per_line([share["socket"]])
        texts[f"virtiofs/{share['tag']}/source"] = one_per_line([share["source"]])
        # Where the sandbox of the daemons has it.
        texts[f"virtiofs/{share['tag']}/number"] = one_per_line([number])
        if declares_ownership(share):
            created = ownership(share, account(declaration))
            texts[f"virtiofs/{share['tag']}/created"] = one_per_line([" ".join(created)])
    for credential, text in credentials(declaration, profile(declaration).serials).items():
        texts[f"credentials/{credential}"] = text
    files = {f"{SHARE}/{name}": File(text.encode()) for name, text in texts.items() if text}
    return {**files, **_system(declaration)}


def _system(declaration: Declaration) -> Dict[str, File]:
    """A link to where the guest is from."""
    if not declaration["system_symlink"]:
        return {}
    directory = posixpath.dirname(declaration["store_disk"] or declaration["kernel"])
    return {f"{SHARE}/system": File(directory.encode(), is_link=True)}


def recorded_declaration(declaration: Declaration) -> Dict[str, object]:
    """Return the part of a declaration that determines its package, without default values."""
    return compact(PACKAGE_OPTIONS, declaration)
