# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each hypervisor can do, as data: checks, documentation and tests read it, and nothing repeats it.

Facts are from the hypervisors' documentation and sources of 2026: QEMU 11.1, Cloud Hypervisor 53, Firecracker 1.16,
crosvm of August 2026, kvmtool of August 2024, StratoVirt 2.5, alioth 0.12, vfkit 0.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple, Union

from ..declaration.names import HYPERVISORS, QMP_HYPERVISORS

QEMU, CLOUD_HYPERVISOR, FIRECRACKER, CROSVM, KVMTOOL, STRATOVIRT, ALIOTH, VFKIT = HYPERVISORS

Names = Tuple[str, ...]

ON_LINUX = HYPERVISORS[:-1]
WITH_CREDENTIALS = ON_LINUX

SUPPORT: Dict[str, Union[Names, Mapping[Any, Names]]] = {
    "accel": {"tcg": (QEMU,)},
    "cpu": (QEMU,),
    "hugepage_mem": (QEMU, CLOUD_HYPERVISOR, FIRECRACKER, CROSVM, KVMTOOL, STRATOVIRT),
    "hotplug_mem": (QEMU, CLOUD_HYPERVISOR),
    "hotplugged_mem": (QEMU, CLOUD_HYPERVISOR),
    "balloon": (QEMU, CLOUD_HYPERVISOR, FIRECRACKER, CROSVM, KVMTOOL, STRATOVIRT),
    "initial_balloon_mem": (QEMU, CLOUD_HYPERVISOR, FIRECRACKER, CROSVM),
    # crosvm's balloon always deflates, kvmtool's never does.
    "deflate_on_oom": {False: (QEMU, CLOUD_HYPERVISOR, FIRECRACKER, KVMTOOL, STRATOVIRT)},
    "user": (QEMU,),
    "vsock.cid": ON_LINUX,
    "register_with_machined": ON_LINUX,
    "credential_files": WITH_CREDENTIALS,
    "guest.enable": {True: WITH_CREDENTIALS},
    "ready.check": {"hypervisor": QMP_HYPERVISORS, "vsock": ON_LINUX, "notify": (CLOUD_HYPERVISOR, FIRECRACKER)},
    "use_notify_sockets": (CLOUD_HYPERVISOR, FIRECRACKER),
    # Who does not end when the guest reboots, or does not tell, cannot be kept from starting again, and so on.
    "on_reboot": {"stop": (QEMU, FIRECRACKER, KVMTOOL, STRATOVIRT)},
    "on_poweroff": {"restart": (QEMU, CLOUD_HYPERVISOR, CROSVM, ALIOTH, VFKIT)},
    "interfaces[].type": {
        "user": (QEMU, KVMTOOL, VFKIT),
        "tap": ON_LINUX,
        "macvtap": (QEMU, CLOUD_HYPERVISOR, CROSVM, KVMTOOL, STRATOVIRT, ALIOTH),
        "bridge": (QEMU,),
    },
    "interfaces[].tap.vhost": (QEMU, CROSVM, KVMTOOL, STRATOVIRT),
    "forward_ports": (QEMU,),
    "volumes[].serial": (QEMU, CLOUD_HYPERVISOR, CROSVM, STRATOVIRT, VFKIT),
    "volumes[].direct": {True: (QEMU, CLOUD_HYPERVISOR, CROSVM, KVMTOOL, STRATOVIRT)},
    "volumes[].image_type": {
        "qcow2": (QEMU, CLOUD_HYPERVISOR, CROSVM),
        "vhd": (QEMU, CLOUD_HYPERVISOR),
        "vhdx": (QEMU, CLOUD_HYPERVISOR),
    },
    "shares[].proto": {
        "9p": (QEMU, CROSVM, KVMTOOL),
        "virtiofs": (QEMU, CLOUD_HYPERVISOR, CROSVM, STRATOVIRT, ALIOTH, VFKIT),
    },
    "shares[].read_only": (QEMU, CLOUD_HYPERVISOR, CROSVM, STRATOVIRT, ALIOTH),
    "shares[].security_model": (QEMU,),
    # vfkit has the protocol built in, without the daemon and its options.
    "shares[].cache": ON_LINUX,
    "shares[].posix_acl": ON_LINUX,
    "shares[].extra_args": ON_LINUX,
    "devices[].bus": {"pci": (QEMU, CLOUD_HYPERVISOR, CROSVM, KVMTOOL), "usb": (QEMU,)},
    "devices[].qemu.id": (QEMU,),
    "devices[].qemu.bus": (QEMU,),
    "devices[].qemu.device_extra_args": (QEMU,),
    "graphics.enable": (QEMU, CLOUD_HYPERVISOR, CROSVM, VFKIT),
    "graphics.backend": (QEMU,),
    "graphics.vulkan": (QEMU,),
    "graphics.hostmem": (QEMU,),
}
"""Who honours an option that is not its default; or, by value, who honours that value. All others are honoured by all,
but for the groups that are called after a hypervisor, and the groups of ``SWITCHED`` while they are off."""

SWITCHED = {"graphics.": "graphics.enable", "deflate_on_oom": "balloon"}
"""Options that have no effect, and need no support, while the other option is off."""


@dataclass(frozen=True)
class Capabilities:
    """What is not an option: how a hypervisor is stopped, when it says that it is up, how secrets reach its guest."""

    systems: Names
    """Of hosts, as Nix calls them."""
    vcpus: int
    """Number of virtual processors that its machine has place for."""
    serials: bool
    """Guests can find disks by their serial."""
    credentials: Optional[str]
    """The channel of systemd credentials: ``fw_cfg`` (read from files) or ``initrd`` (appended to it in memory)."""
    stop: str
    """How a guest is asked to end, and what it needs for that."""
    ready: str
    """What tells the host that the guest is up."""
    on_poweroff: str
    on_reboot: str
    """What the hypervisor's process does when the guest powers off or reboots."""
    clean_end: str = "poweroff"
    """What it counts as when the process ends without failing and does not say why: ``poweroff`` or ``reboot``."""
    needs_virtiofsd: bool = True
    """Whether virtiofs shares are served by virtiofsd, not by the hypervisor itself."""
    asks_virtiofsd_for_tag: bool = False
    """Whether the tag of a virtiofs share is an argument of virtiofsd, not of the hypervisor."""
    needs_internet_sockets: bool = True
    """Whether an Internet socket is opened to configure a tap, not the tap's own file."""


_LINUX = ("x86_64-linux", "aarch64-linux")
_EXITS = "exits"
_BY_VSOCK = "a listener on vsock(7) that the guest's systemd notifies"

CAPABILITIES: Dict[str, Capabilities] = {
    QEMU: Capabilities(
        systems=(*_LINUX, "aarch64-darwin"),
        vcpus=288,
        serials=True,
        credentials="fw_cfg",
        stop="ACPI power button over QMP; the guest needs the module `button`. On aarch64 without UEFI it needs "
        "`gpio_keys` and `evdev`, which Debian's cloud kernel has not: stop such guests from inside.",
        ready="QMP says that the guest runs; " + _BY_VSOCK,
        on_poweroff=_EXITS,
        on_reboot=_EXITS,
        needs_internet_sockets=False,
    ),
    CLOUD_HYPERVISOR: Capabilities(
        systems=_LINUX,
        vcpus=254,
        serials=True,
        credentials="initrd",
        stop="`vm.power-button` over the API's socket; the guest needs the module `button`.",
        ready="the guest's systemd notifies over the vsock, if `vsock.cid` is set",
        on_poweroff=_EXITS,
        on_reboot="reboots in place",
    ),
    FIRECRACKER: Capabilities(
        systems=_LINUX,
        vcpus=32,
        serials=False,
        credentials="initrd",
        stop="On x86_64, Ctrl-Alt-Del over the API's socket, at which the guest reboots; it needs i8042 and atkbd. On "
        "aarch64 only from inside.",
        ready="the guest's systemd notifies over the vsock, if `vsock.cid` is set",
        on_poweroff="stays on x86_64 (reboot instead), exits on aarch64",
        on_reboot=_EXITS,
        clean_end="reboot",
    ),
    CROSVM: Capabilities(
        systems=_LINUX,
        vcpus=254,
        serials=True,
        credentials="fw_cfg",
        stop="`crosvm powerbtn`; the guest needs the module `button`.",
        asks_virtiofsd_for_tag=True,
        ready=_BY_VSOCK,
        on_poweroff=_EXITS,
        on_reboot=_EXITS,
    ),
    KVMTOOL: Capabilities(
        systems=_LINUX,
        vcpus=255,
        serials=False,
        credentials="initrd",
        stop="Only from inside, by reboot.",
        ready=_BY_VSOCK,
        on_poweroff="hangs (reboot instead)",
        on_reboot=_EXITS,
        clean_end="reboot",
    ),
    STRATOVIRT: Capabilities(
        systems=_LINUX,
        vcpus=254,
        serials=True,
        credentials="initrd",
        stop="Only from inside, by reboot.",
        ready="QMP says that the guest runs; " + _BY_VSOCK,
        on_poweroff="stays (reboot instead)",
        on_reboot=_EXITS,
        clean_end="reboot",
    ),
    ALIOTH: Capabilities(
        systems=_LINUX,
        vcpus=255,
        serials=False,
        credentials="fw_cfg",
        stop="Only from inside.",
        ready=_BY_VSOCK,
        on_poweroff=_EXITS,
        on_reboot="exits with our `reboot=k`, reboots in place where the guest reboots by ACPI",
    ),
    VFKIT: Capabilities(
        systems=("aarch64-darwin",),
        vcpus=255,
        serials=True,
        credentials=None,
        needs_virtiofsd=False,
        stop="`Stop` over the REST API's socket.",
        ready="the REST API's `/vm/state`",
        on_poweroff=_EXITS,
        on_reboot="as the guest asks",
    ),
}


def able(key: str, value: Any) -> Names:
    """Who honours a value, other than the default, of the option with this path."""
    support = SUPPORT.get(key)
    if support is None:
        return HYPERVISORS
    if isinstance(support, tuple):
        return support
    return support.get(value, HYPERVISORS)
