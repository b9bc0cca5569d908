# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of kvmtool of August 2024."""

from __future__ import annotations

from ..profile import ANY, Profile
from ..profile_parts import ASKED, BY_VSOCK, EXITS, EXTRA_ARGS, LINUX, ON_LINUX, group, package

PROFILE = Profile(
    name="kvmtool",
    order=50,
    group=group("kvmtool", "Options of kvmtool.", EXTRA_ARGS, package("lkvm")),
    honours={
        **ON_LINUX,
        "hugepage_mem": ANY,
        "balloon": ANY,
        "initial_balloon_mem": ANY,
        # Its device offers statistics only (get_host_features in its virtio/balloon.c).
        "deflate_on_oom": (False,),
        # The process goes on when the guest powers off.
        "on_reboot": ("restart", "stop"),
        "interfaces[].type": ("user", "tap", "macvtap"),
        # Its `vhost=1` passes no packet in either direction.
        "volumes[].direct": ANY,
        "shares[].proto": ("9p",),
        "devices[].bus": ("pci",),
    },
    systems=LINUX,
    vcpus=255,
    serials=False,
    credentials="initrd",
    # `lkvm debug --sysrq` reaches guests only where its console is a terminal (term.c), which a unit has not.
    stop=ASKED + ", to reboot.",
    ready=BY_VSOCK,
    on_poweroff="hangs (reboot instead)",
    on_reboot=EXITS,
    clean_end="reboot",
    # The directory of its control socket.
    leaves=(".lkvm",),
    makes_huge_page_files=True,
)
