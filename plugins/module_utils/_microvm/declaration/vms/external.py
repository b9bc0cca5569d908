# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations of MicroVMs whose package was made elsewhere: the package decides what the guest is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Mapping, Optional, cast

from ...hypervisors.profiles import PROFILES
from ...schema.compaction import compact
from ...schema.errors import DeclarationError
from ...schema.validation import validate
from .. import identity
from ..types import PackagedVm, Vm
from .claims import reachable_addresses
from .host_options import HOST_OPTIONS
from .options import PACKAGE_OPTIONS
from .source_options import FLAKE_OPTIONS, is_service

_DECIDED = tuple(option for option in PACKAGE_OPTIONS if option.name != "name") + tuple(
    option for option in HOST_OPTIONS if option.name == "identity"
)
"""Options that a package decides; machine ID and MAC addresses, which an identity decides, are among them."""

_BESIDE = frozenset(option.name for option in HOST_OPTIONS if option.name != "identity")
"""Options that may be declared beside a package."""


@dataclass(frozen=True)
class PackageFacts:
    """Lists that a package of microvm.nix's layout has for hosts, by their contents."""

    taps: str = ""
    macvtaps: str = ""
    """Identifier, MAC address, link and mode of each."""
    pci_devices: str = ""
    context_identifier: str = ""


NO_FACTS = PackageFacts()


def source_option(vm: Mapping[Any, object]) -> str:
    """Return which option says where the package of a MicroVM is from; empty where the package is rendered here."""
    return next((option for option in ("runner", "flake") if vm.get(option)), "")


def applicable_defaults(vm: Mapping[object, object], defaults: Mapping[object, object]) -> Dict[object, object]:
    """Return those of the common options of MicroVMs that apply to one of them."""
    source = source_option({**defaults, **vm})
    if not source:
        return dict(defaults)
    omitted = FLAKE_OPTIONS if source == "runner" else ("runner_key",)
    return {key: value for key, value in defaults.items() if key in _BESIDE and key not in omitted}


def check_sources(declaration: Vm, common: Mapping[str, object], prefix: str) -> None:
    """Refuse options of where a package is from that contradict each other. Raises DeclarationError."""
    source, own = source_option(declaration), tuple(option for option in HOST_OPTIONS if option.name in FLAKE_OPTIONS)
    for name, value in compact(own, cast(Mapping[str, object], declaration)).items():
        is_common = value == common.get(name)
        if source == "runner" and not is_common:
            raise DeclarationError(f"{prefix}{name}", "is for packages of a flake; remove this option, or `runner`")
        if not source and not is_common:
            raise DeclarationError(f"{prefix}{name}", "requires `flake`; set that, or remove this option")
    if not source and declaration["manage"] != "always" and common.get("manage") != declaration["manage"]:
        raise DeclarationError(
            f"{prefix}manage", "is for packages that are made elsewhere; set `flake` or `runner`, or remove this option"
        )
    _check_service(declaration, common, prefix)
    if source == "flake" and declaration["require_lock"]:
        for index, argument in enumerate(declaration["nix_arguments"]):
            if argument in _PAST_LOCK:
                raise DeclarationError(
                    f"{prefix}nix_arguments[{index}]",
                    f"{argument} replaces what the lock file says, which require_lock requires; remove one of the two",
                )


def _check_service(declaration: Vm, common: Mapping[str, object], prefix: str) -> None:
    key, runner = declaration["runner_key"], declaration["runner"]
    if key is not None and not is_service(runner) and key != common.get("runner_key"):
        raise DeclarationError(
            f"{prefix}runner_key", "is for a `runner` that is the URL of a build service; remove this option"
        )
    if key is None and str(runner).startswith("http:"):
        raise DeclarationError(
            f"{prefix}runner",
            "is read without TLS, so that anybody on the way could name another package; write https, or set "
            "`runner_key`",
        )


_PAST_LOCK = (
    "--override-input",
    "--update-input",
    "--recreate-lock-file",
    "--no-write-lock-file",
    "--commit-lock-file",
    "--reference-lock-file",
    "--output-lock-file",
)
"""Arguments of Nix by which inputs are others than those of the lock file."""


def refuse_decided(declaration: Vm, common: Mapping[str, object], prefix: str) -> None:
    """Refuse options beside a package that decides them. Raises DeclarationError.

    ``common`` are the validated options that all MicroVMs have received: these do not apply here.
    """
    received, source = compact(_DECIDED, common) if common else {}, source_option(declaration)
    for name, value in compact(_DECIDED, cast(Mapping[str, object], declaration)).items():
        if value != received.get(name):
            raise DeclarationError(
                f"{prefix}{name}", f"is decided by the package that `{source}` names; remove this option, or `{source}`"
            )


def undeclared_package(name: str, facts: PackageFacts = NO_FACTS) -> PackagedVm:
    """Return what is known of a package that records no declaration: what it has of its host, and no more.

    Raises DeclarationError for lists that no package can have.
    """
    raw = {
        "name": name,
        "interfaces": [*_taps(facts), *_macvtaps(facts)],
        "devices": [{"bus": "pci", "path": path} for path in facts.pci_devices.split()],
        "vsock": {"cid": facts.context_identifier.strip() or None},
    }
    values = validate(PACKAGE_OPTIONS, raw, "")
    unknown = {"kernel": "", "socket": None, "mem": 0, "hotplugged_mem": 0, "store_disk": None}
    derived = {"machine_id": identity.machine_id(name), "store_on_disk": False, "system_symlink": False}
    values["guest"].update({"enable": False, "hostname": name})
    return cast(PackagedVm, {**values, **unknown, **derived})


def _taps(facts: PackageFacts) -> Iterator[Dict[str, object]]:
    return ({"type": "tap", "id": tap} for tap in facts.taps.split())


def _macvtaps(facts: PackageFacts) -> Iterator[Dict[str, object]]:
    for fields in map(str.split, facts.macvtaps.splitlines()):
        if len(fields) > 2:
            yield {"type": "macvtap", "id": fields[0], "mac": fields[1], "macvtap": {"link": fields[2]}}


def of_package(declaration: Vm, package: Optional[PackagedVm], prefix: str) -> Vm:
    """Return a declaration in which all that the package decides is as the package has it; ``None`` if nobody has
    looked at the package. Raises DeclarationError."""
    if package is None:
        return cast(Vm, {**declaration, **undeclared_package(declaration["name"])})
    decided = cast(Mapping[str, object], package)
    complete = cast(Vm, {**declaration, **{option.name: decided[option.name] for option in PACKAGE_OPTIONS}})
    _complete_readiness(complete, prefix)
    return complete


def _complete_readiness(declaration: Vm, prefix: str) -> None:
    """Choose the check of a guest, as far as its package says what the guest can be asked."""
    ready, guest = declaration["ready"], declaration["guest"]
    reports = PROFILES[declaration["hypervisor"]].reports_status and declaration["socket"] is not None
    if ready["address"] is None and guest["enable"]:
        ready["address"] = next((address for _place, address in reachable_addresses(declaration)), None)
    if ready["check"] == "auto":
        greets = ready["address"] and (guest["authorized_keys"] or guest["host_access"])
        ready["check"] = "ssh" if greets else "hypervisor" if reports else "none"
    if ready["check"] in ("ssh", "tcp") and ready["address"] is None:
        raise DeclarationError(
            f"{prefix}ready.address",
            f"is required for `ready.check: {ready['check']}` because the package names no static address; set it",
        )
    lacking = {
        "hypervisor": not reports and "a control socket of a hypervisor that reports the status of its guest",
        "vsock": declaration["vsock"]["cid"] is None and "a vsock (share/microvm/vsock-cid)",
        "notify": not declaration["use_notify_sockets"] and "a declaration with use_notify_sockets",
    }.get(ready["check"])
    if lacking:
        raise DeclarationError(
            f"{prefix}ready.check",
            f"{ready['check']} requires {lacking}, which the package lacks; use ssh, tcp or none",
        )
