# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Table of cells: the life cycle, then options, in the order in which they are examined."""

from __future__ import annotations

from _microvm.hypervisors.profile import Profile
from _microvm.hypervisors.profile_parts import EXITS

from . import life, options
from .cells import Cell

VIRTIOFS, NINE_P = ("shares[].proto", "virtiofs"), ("shares[].proto", "9p")
VSOCK = ("vsock.cid", True)
DEVICES, MEMORY, FORMATS = "devices", "memory", "formats"
"""Boots that options share."""


def _powers_off_for_good(profile: Profile) -> bool:
    """Return whether the hypervisor ends when its guest powers off, so that a restart then is claimed."""
    return profile.claims("on_poweroff", "restart")


def _exits_at_reboot(profile: Profile) -> bool:
    """Return whether the hypervisor ends when a guest of the examination's image reboots."""
    return profile.on_reboot == EXITS


def _has_read_only_9p(profile: Profile) -> bool:
    """Return whether 9p shares can be read-only: crosvm refuses it, with `virtiofs` as the way out."""
    return profile.name != "crosvm"


def _disk_of_type(image_type: str, title: str, mebibytes: int) -> Cell:
    """Return the cell of a format of disks; sizes differ, so that a guest cannot take one for another."""
    return Cell(
        f"disk {image_type}",
        f"The guest reads a disk in a {title} image.",
        options.disk_has_size(mebibytes),
        claims=(("volumes[].image_type", image_type),),
        prepare=options.disk_of_type(image_type, mebibytes),
        boot=FORMATS,
        rows=(f"volumes[].image_type: {image_type}",),
    )


LIFE_CYCLE = (
    Cell(
        "parse",
        "The hypervisor's parser accepts all command lines of the parity cases.",
        life.parser_accepts,
        is_bootless=True,
    ),
    Cell("boot", "The guest boots, and no unit of it has failed.", life.boots, is_short=True),
    Cell("unchanged", "A second run changes nothing.", life.is_unchanged),
    Cell(
        "configured",
        "Name, machine ID, address, keys and mounts are the declared ones.",
        life.is_configured,
        claims=(("guest.enable", True), ("interfaces[].type", "tap")),
        rows=("guest.enable: true", "interfaces[].type: tap"),
        is_short=True,
    ),
    Cell(
        "secrets",
        "A file of `credential_files` is a credential in the guest.",
        life.has_secrets,
        claims=(("credential_files", True),),
        applies=life.has_credentials,
        rows=("credential_files",),
        is_short=True,
    ),
    Cell(
        "vsock",
        "SSH reaches the guest by its vsock.",
        life.answers_by_vsock,
        claims=(VSOCK,),
        rows=("vsock.cid",),
        is_short=True,
    ),
    Cell("reboot", "The guest reboots itself and is back.", life.reboots),
    Cell("update", "A changed declaration restarts the guest.", life.updates),
    Cell("rollback", "A rollback starts the package before.", life.rolls_back),
    Cell("kill", "A killed hypervisor is started again.", life.survives_kill),
    Cell("panic", "A guest whose kernel panics is back.", life.survives_panic),
    Cell(
        "graceful stop",
        "A guest that is stopped is asked to end, and ends by itself.",
        life.ends_gracefully,
        is_short=True,
    ),
    Cell(
        "ready by vsock",
        "A start waits for `ready.check: vsock`.",
        life.is_ready_by("vsock"),
        claims=(("ready.check", "vsock"),),
        rows=("ready.check: vsock",),
    ),
    Cell("flushed", "The volume has what the guest wrote while it was stopped.", life.keeps_data),
    Cell(
        "ready by hypervisor",
        "A start waits for `ready.check: hypervisor`.",
        life.is_ready_by("hypervisor"),
        claims=(("ready.check", "hypervisor"),),
        rows=("ready.check: hypervisor",),
    ),
    Cell(
        "ready by notify",
        "With `use_notify_sockets`, a start waits for the guest's notification.",
        life.is_ready_by("notify"),
        claims=(("ready.check", "notify"), ("use_notify_sockets", True)),
        rows=("ready.check: notify", "use_notify_sockets"),
    ),
    Cell("deaf stop", "A guest that does not react is ended after `stop_timeout`.", life.ends_deaf),
    Cell("power-off", "A guest that powers off stays down.", life.powers_off, applies=_powers_off_for_good),
    Cell(
        "power-off restarts",
        "With `on_poweroff: restart`, a guest that powers off is started again.",
        life.starts_after_power_off,
        claims=(("on_poweroff", "restart"),),
        rows=("on_poweroff: restart",),
    ),
    Cell(
        "reboot stops",
        "With `on_reboot: stop`, a guest that reboots stays down.",
        life.stays_down_after_reboot,
        claims=(("on_reboot", "stop"),),
        applies=_exits_at_reboot,
        rows=("on_reboot: stop",),
    ),
    Cell("removal", "A removal leaves nothing.", life.is_removed, is_short=True),
)

OPTIONS = (
    Cell(
        "initial balloon",
        "The balloon begins with `initial_balloon_mem`.",
        options.balloon_begins,
        claims=(("balloon", True), ("initial_balloon_mem", True)),
        prepare=options.balloon(initial_balloon_mem=32),
        boot=MEMORY,
        rows=("initial_balloon_mem",),
    ),
    Cell(
        "balloon",
        "The balloon takes memory from the guest and returns it.",
        options.balloon_moves,
        claims=(("balloon", True),),
        prepare=options.balloon(),
        boot=MEMORY,
        rows=("balloon",),
    ),
    Cell(
        "free pages",
        "With `balloon`, memory that the guest has freed goes back to the host by itself.",
        options.free_pages_return,
        claims=(("balloon", True),),
        applies=options.reports_free_pages,
        prepare=options.balloon(),
        boot=MEMORY,
    ),
    Cell(
        "balloon without deflation",
        "With `deflate_on_oom: false`, the balloon keeps its memory when the guest runs out of it.",
        options.balloon_keeps,
        claims=(("balloon", True), ("deflate_on_oom", False)),
        prepare=options.options(balloon=True, deflate_on_oom=False),
        boot=MEMORY,
        rows=("deflate_on_oom: false",),
    ),
    Cell(
        "balloon with deflation",
        "With `deflate_on_oom: true`, the balloon returns memory when the guest runs out of it.",
        options.balloon_gives,
        claims=(("balloon", True), ("deflate_on_oom", True)),
        prepare=options.balloon(),
        boot=DEVICES,
        rows=("deflate_on_oom: true",),
    ),
    Cell(
        "processors",
        "Two processors, and packets pass.",
        options.has_processors,
        prepare=options.options(vcpu=2),
        boot=DEVICES,
    ),
    Cell(
        "volume",
        "A further volume is written and read.",
        options.volume_is_written("plain"),
        prepare=options.volume("plain"),
        boot=DEVICES,
    ),
    Cell(
        "volume serial",
        "The guest finds a volume by its serial.",
        options.volume_has_serial,
        claims=(("volumes[].serial", True),),
        prepare=options.volume("named", serial="examined-serial"),
        boot=DEVICES,
        rows=("volumes[].serial",),
    ),
    Cell(
        "volume direct",
        "A volume bypasses the page cache of the host.",
        options.volume_is_open_direct,
        claims=(("volumes[].direct", True),),
        prepare=options.volume("direct", direct=True),
        boot=DEVICES,
        rows=("volumes[].direct: true",),
    ),
    Cell(
        "machined",
        "systemd-machined knows the MicroVM.",
        options.is_registered,
        claims=(("register_with_machined", True),),
        prepare=options.with_machined,
        boot="machined",
        rows=("register_with_machined",),
    ),
    _disk_of_type("qcow2", "qcow2", 48),
    _disk_of_type("vhd", "VHD", 56),
    _disk_of_type("vhdx", "VHDX", 40),
    Cell(
        "9p",
        "Guest and host see each other's files in a 9p share.",
        options.share_goes_both_ways("both9p"),
        claims=(NINE_P,),
        prepare=options.share("9p", "both9p"),
        boot="9p",
        rows=("shares[].proto: 9p",),
    ),
    Cell(
        "9p read-only",
        "The guest cannot write to a 9p share with `read_only`.",
        options.share_is_read_only("still9p"),
        claims=(NINE_P, ("shares[].read_only", True)),
        applies=_has_read_only_9p,
        prepare=options.share("9p", "still9p", read_only=True),
        boot="9p",
        rows=("shares[].read_only",),
    ),
    Cell(
        "9p security model",
        "Owners that the guest sets are kept as `security_model: mapped-xattr` says.",
        options.owners_are_mapped,
        claims=(NINE_P, ("shares[].security_model", "mapped-xattr")),
        prepare=options.share("9p", "mapped", security_model="mapped-xattr"),
        boot="9p",
        rows=("shares[].security_model",),
    ),
    Cell(
        "virtiofs",
        "Guest and host see each other's files in a virtiofs share, also after the guest has rebooted.",
        options.share_survives_reboot("bothfs"),
        claims=(VIRTIOFS,),
        prepare=options.share("virtiofs", "bothfs"),
        boot="virtiofs",
        rows=("shares[].proto: virtiofs",),
    ),
    Cell(
        "virtiofs read-only",
        "The guest cannot write to a virtiofs share with `read_only`.",
        options.share_is_read_only("stillfs"),
        claims=(VIRTIOFS, ("shares[].read_only", True)),
        prepare=options.share("virtiofs", "stillfs", read_only=True),
        boot="virtiofs",
        rows=("shares[].read_only",),
    ),
    Cell(
        "virtiofs options",
        "A virtiofs share works with other options of its daemon.",
        options.share_goes_both_ways("optionfs"),
        claims=(VIRTIOFS, ("shares[].cache", "never"), ("shares[].posix_acl", False), ("shares[].extra_args", True)),
        prepare=options.share("virtiofs", "optionfs", cache="never", posix_acl=False, extra_args=["--log-level=debug"]),
        boot="virtiofs",
        rows=("shares[].cache", "shares[].posix_acl: false", "shares[].extra_args"),
    ),
    Cell(
        "virtiofs translation",
        "Owners of a virtiofs share are others on the host than in the guest.",
        options.owners_are_translated,
        claims=(VIRTIOFS, ("shares[].translate_uid", True), ("shares[].translate_gid", True)),
        prepare=options.share("virtiofs", "movedfs", posix_acl=False, **options.TRANSLATION),
        boot="virtiofs",
        rows=("shares[].translate_uid", "shares[].translate_gid"),
    ),
    Cell(
        "hotplugged memory",
        "The guest has the part of `hotplug_mem` that `hotplugged_mem` names.",
        options.memory_is_plugged,
        claims=(("hotplug_mem", True), ("hotplugged_mem", True)),
        prepare=options.with_plugged_memory,
        boot="hotplugged memory",
        rows=("hotplug_mem", "hotplugged_mem"),
    ),
    Cell(
        "huge pages",
        "The guest's memory is taken from the huge pages of the host.",
        options.pages_are_huge,
        claims=(("hugepage_mem", True),),
        prepare=options.with_huge_pages,
        boot="huge pages",
        rows=("hugepage_mem",),
    ),
    Cell(
        "vhost",
        "Packets pass through a tap with `tap.vhost`.",
        options.reaches(options.VHOST_HOST),
        claims=(("interfaces[].type", "tap"), ("interfaces[].tap.vhost", True)),
        prepare=options.with_vhost,
        boot="interfaces",
        rows=("interfaces[].tap.vhost",),
    ),
    Cell(
        "macvtap",
        "Packets pass through a macvtap.",
        options.reaches(options.MACVTAP_HOST),
        claims=(("interfaces[].type", "macvtap"),),
        prepare=options.with_macvtap,
        boot="interfaces",
        rows=("interfaces[].type: macvtap",),
    ),
    Cell(
        "user network",
        "The guest has an address of the hypervisor's own network.",
        options.has_user_network,
        claims=(("interfaces[].type", "user"),),
        prepare=options.user_network(),
        boot="user network",
        rows=("interfaces[].type: user",),
    ),
    Cell(
        "forwarded port",
        "A port of the host leads to the guest.",
        options.is_forwarded,
        claims=(("interfaces[].type", "user"), ("forward_ports", True)),
        prepare=options.options(forward_ports=[options.FORWARDED]),
        boot="user network",
        rows=("forward_ports",),
    ),
    Cell(
        "PCI device",
        "A network card of the host is in the guest, and returns.",
        options.has_device,
        claims=(("devices[].bus", "pci"),),
        prepare=options.with_device,
        boot="PCI device",
        rows=("devices[].bus: pci",),
    ),
)

TABLE = LIFE_CYCLE + OPTIONS
"""All cells. Those of one boot are neighbours."""

_PARSED = "the parser reads it (tests/integration/targets/qemu_parser); what it does is the hypervisor's own"
_SIZES = "hosts of the test bed have one size of huge pages"
_DISPLAY = "a display, which hosts of the test bed lack"

WITHOUT_CELL = {
    "accel: tcg": "guests of `make molecule` run so",
    "cpu": "the target cpu_emulation of tests/integration boots such guests",
    "user": _PARSED,
    "hugepage_size: 2M": _SIZES,
    "hugepage_size: 1G": _SIZES,
    "interfaces[].type: bridge": "needs a setuid helper of the distribution",
    "shares[].user": "a guest of `tests/hosts/test_guest_shares.py` has one; it concerns virtiofsd alone",
    "devices[].bus: usb": "a guest of `tests/hosts/test_vfio.py` has one, unplugged and plugged in again",
    "devices[].qemu.id": _PARSED,
    "devices[].qemu.bus": _PARSED,
    "devices[].qemu.device_extra_args": _PARSED,
    "graphics.enable": _DISPLAY,
    "graphics.backend": _DISPLAY,
    "graphics.vulkan": _DISPLAY,
    "graphics.hostmem": _DISPLAY,
}
"""Rows of docs/hypervisors.md that no cell shows, and why."""
