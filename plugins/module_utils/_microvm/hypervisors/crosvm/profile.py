# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of crosvm of August 2026."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import FILE, PACKAGE, PROGRAM, Option, Options
from ..profile import ANY, Profile
from ..profile_parts import BY_VSOCK, EXITS, EXTRA_ARGS, LINUX, WITH_VIRTIOFSD, group, package

_GROUP = group(
    "crosvm",
    "Options of crosvm.",
    Option(
        "pivot_root",
        "path",
        (
            "Path of an empty directory that becomes the root directory of crosvm's device processes. The default of "
            "crosvm is C(/var/empty), which Debian does not have.",
            "Only with O(ignore:profile=compat). By default, the unit of the MicroVM is the sandbox instead, and that "
            "of crosvm is switched off.",
        ),
        check=checks.absolute_path,
        trust=FILE,
    ),
    EXTRA_ARGS,
    package("crosvm"),
)

_GRAPHICS: Options = (
    Option(
        "crosvm_package",
        "str",
        "Location of the crosvm whose GPU device Cloud Hypervisor and crosvm use, in the same notation as "
        "O(ignore:crosvm.package).",
        check=checks.package_path,
        honoured_by=PACKAGE,
        trust=PROGRAM,
    ),
)

PROFILE = Profile(
    name="crosvm",
    order=40,
    group=_GROUP,
    additions={"graphics": _GRAPHICS},
    honours={
        **WITH_VIRTIOFSD,
        "hugepage_mem": ANY,
        "balloon": ANY,
        "initial_balloon_mem": ANY,
        # crosvm always deflates the balloon.
        "deflate_on_oom": (True,),
        "on_reboot": ("restart", "stop"),
        "on_poweroff": ("restart", "stop"),
        "interfaces[].type": ("tap", "macvtap"),
        "interfaces[].tap.vhost": ANY,
        "volumes[].serial": ANY,
        "volumes[].direct": ANY,
        "volumes[].image_type": ("raw", "qcow2"),
        "shares[].proto": ("9p", "virtiofs"),
        "shares[].read_only": ANY,
        "devices[].bus": ("pci",),
        "graphics.enable": ANY,
    },
    reports_free_pages=True,
    systems=LINUX,
    vcpus=254,
    serials=True,
    credentials="initrd",
    stop="`crosvm powerbtn`; the guest needs the module `button`.",
    ready=BY_VSOCK,
    on_poweroff="exits; so it does after a triple fault, which is taken for a poweroff",
    on_reboot=EXITS,
    # CommandStatus in its src/main.rs, with --extended-status.
    statuses={32: "reboot", 34: "panic", 36: "watchdog"},
    asks_virtiofsd_for_tag=True,
    # `--hugepages` advises the kernel to use transparent ones (madvise(2)).
    huge_pages=None,
)
