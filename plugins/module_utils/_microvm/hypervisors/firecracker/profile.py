# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of Firecracker 1.16."""

from __future__ import annotations

from ...schema.options import ARGUMENTS, Option
from ..profile import ANY, Profile
from ..profile_parts import EXITS, EXTRA_ARGS, LINUX, NOTIFIES, ON_LINUX, group, package

_GROUP = group(
    "firecracker",
    "Options of Firecracker.",
    Option("cpu", "dict", "Custom CPU template, as described in Firecracker's documentation.", trust=ARGUMENTS),
    Option(
        "drive_io_engine",
        "str",
        "I/O engine for disks. V(Async) is faster, but Firecracker still considers it a developer preview.",
        default="Async",
        choices=("Async", "Sync"),
    ),
    EXTRA_ARGS,
    Option(
        "extra_config",
        "dict",
        "Configuration that is merged recursively into the generated configuration and takes precedence over it.",
        trust=ARGUMENTS,
    ),
    package("firecracker"),
)

PROFILE = Profile(
    name="firecracker",
    order=30,
    group=_GROUP,
    honours={
        **ON_LINUX,
        "hugepage_mem": ANY,
        "hugepage_size": ("2M",),
        "balloon": ANY,
        "initial_balloon_mem": ANY,
        "deflate_on_oom": ANY,
        # The process goes on when the guest powers off.
        "on_reboot": ("restart", "stop"),
        "interfaces[].type": ("tap",),
        "shares[].proto": (),
    },
    systems=LINUX,
    vcpus=32,
    serials=False,
    credentials="initrd",
    stop="On x86_64, Ctrl-Alt-Del over the API socket, which makes the guest reboot; the guest needs i8042 and atkbd. "
    "On aarch64 only from inside the guest.",
    ready=NOTIFIES,
    has_kernel_vsock=False,
    on_poweroff="keeps running on x86_64 (reboot instead), exits on aarch64",
    on_reboot=EXITS,
    clean_end="reboot",
    # `huge_pages: 2M` of its configuration.
    huge_pages=2048,
    # From 1.14 on.
    reports_free_pages=True,
)
