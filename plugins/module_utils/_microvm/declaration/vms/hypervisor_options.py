# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option tables of single hypervisors, graphics and virtiofsd."""

from __future__ import annotations

from ...hypervisors.profiles import PROFILES
from ...schema import checks
from ...schema.options import ARGUMENTS, FILE, PACKAGE, PLAIN, PROGRAM, SANDBOX, Option, Options


def additions(group: str) -> Options:
    """Return the options that single hypervisors add to a group, by the group's path."""
    return tuple(option for profile in PROFILES.values() for option in profile.additions.get(group, ()))


GRAPHICS: Options = (
    Option(
        "enable",
        "bool",
        (
            "Whether the guest has a display.",
            "With Cloud Hypervisor, this requires a build that has the option C(--gpu), which no release has.",
        ),
        default=False,
    ),
    Option(
        "backend",
        "str",
        "How QEMU presents the display on the host.",
        default="gtk",
        choices=("gtk", "headless", "cocoa"),
    ),
    Option(
        "vulkan",
        "str",
        "How QEMU provides Vulkan to the guest. By default the guest has no Vulkan.",
        choices=("venus", "drm_native_context"),
    ),
    Option(
        "hostmem",
        "str",
        "Size of the memory that QEMU shares with the guest for Vulkan.",
        default="256M",
        check=checks.byte_size,
        trust=PLAIN,
    ),
    Option(
        "socket",
        "str",
        (
            "Path of the socket between the hypervisor and crosvm's GPU device, absolute or relative to the MicroVM's "
            "working directory.",
            "In the default, C({name}) stands for O(ignore:name).",
        ),
        default="{name}-gpu.sock",
        check=checks.socket_path,
        honoured_by=PACKAGE,
        trust=FILE,
    ),
    *additions("graphics"),
)

VIRTIOFSD: Options = (
    Option(
        "inode_file_handles",
        "str",
        "Whether virtiofsd uses file handles instead of open file descriptors: V(never), V(prefer) or V(mandatory). "
        "V(null) means the default of virtiofsd.",
        default="prefer",
        choices=("never", "prefer", "mandatory"),
        nullable=True,
    ),
    Option(
        "thread_pool_size",
        "raw",
        "Number of threads of virtiofsd. V(nproc) means the number of CPUs of the host.",
        default="nproc",
        check=checks.threads,
    ),
    Option(
        "group",
        "str",
        (
            "Group that may connect to the sockets. V(null) means only the group of virtiofsd itself.",
            "In the default, C({group}) stands for the group of the MicroVM, see O(ignore:isolation).",
        ),
        default="{group}",
        nullable=True,
        check=checks.account_or_own,
        trust=SANDBOX,
    ),
    Option(
        "extra_args",
        "list",
        "Additional arguments of every virtiofsd.",
        elements="str",
        check=checks.argument,
        trust=ARGUMENTS,
    ),
    Option(
        "package",
        "str",
        "Location of virtiofsd, in the same notation as O(ignore:qemu.package).",
        check=checks.package_path,
        trust=PROGRAM,
    ),
)

HYPERVISOR_OPTIONS: Options = tuple(profile.group for profile in PROFILES.values())
"""Option groups of single hypervisors."""
