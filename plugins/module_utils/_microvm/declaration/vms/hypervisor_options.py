# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of single hypervisors, and of the programs beside them."""

from __future__ import annotations

from ...hypervisors.profiles import PROFILES
from ...schema import checks
from ...schema.options import PACKAGE, Option, Options


def additions(group: str) -> Options:
    """Return the options that single hypervisors add to a group, by the group's path."""
    return tuple(option for profile in PROFILES.values() for option in profile.additions.get(group, ()))


GRAPHICS: Options = (
    Option("enable", "bool", "Give the guest a display.", default=False),
    Option(
        "backend",
        "str",
        "Where QEMU shows the display.",
        default="gtk",
        choices=("gtk", "headless", "cocoa"),
    ),
    Option(
        "vulkan",
        "str",
        "How QEMU's guest gets Vulkan. By default not at all.",
        choices=("venus", "drm_native_context"),
    ),
    Option(
        "hostmem", "str", "Memory that QEMU shares with the guest for Vulkan.", default="256M", check=checks.byte_size
    ),
    Option(
        "socket",
        "str",
        (
            "Socket between the hypervisor and crosvm's GPU device.",
            "In the default, C({name}) stands for O(ignore:name).",
        ),
        default="{name}-gpu.sock",
        check=checks.socket_path,
        honoured_by=PACKAGE,
    ),
    *additions("graphics"),
)

VIRTIOFSD: Options = (
    Option(
        "inode_file_handles",
        "str",
        "Whether virtiofsd uses file handles in place of open files: V(never), V(prefer) or V(mandatory). V(null) is "
        "virtiofsd's own default.",
        default="prefer",
        choices=("never", "prefer", "mandatory"),
        nullable=True,
    ),
    Option(
        "thread_pool_size",
        "raw",
        "Threads of virtiofsd. V(nproc) is the number of the host's processors.",
        default="nproc",
        check=checks.threads,
    ),
    Option(
        "group",
        "str",
        (
            "Group that may connect to the sockets. V(null) is virtiofsd's own only.",
            "In the default, C({group}) stands for the MicroVM's own group, see O(ignore:isolation).",
        ),
        default="{group}",
        nullable=True,
        check=checks.account_or_own,
    ),
    Option("extra_args", "list", "More arguments of each virtiofsd.", elements="str", check=checks.argument),
    Option("package", "str", "virtiofsd; see O(ignore:qemu.package).", check=checks.package_path),
)

HYPERVISOR_OPTIONS: Options = tuple(profile.group for profile in PROFILES.values())
"""A group for each hypervisor."""
