# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of vfkit 0.6."""

from __future__ import annotations

from ...schema.options import Option, Options
from ..profile import ANY, Profile
from ..profile_parts import BASICS, EXITS, EXTRA_ARGS, group, package

_ROSETTA: Options = (
    Option("enable", "bool", "Whether the guest can run x86_64 programs by Rosetta.", default=False),
    Option("install", "bool", "Whether to install Rosetta at the start if it is missing.", default=False),
    Option("ignore_if_missing", "bool", "Whether to start without Rosetta if it is missing.", default=False),
)

_GROUP = group(
    "vfkit",
    "Options of vfkit. It runs on macOS, for which packages can be rendered but not run by this collection.",
    EXTRA_ARGS,
    Option(
        "log_level",
        "str",
        "Log level of vfkit: V(debug), V(info) or V(error). V(null) means the default of vfkit.",
        default="info",
        choices=("debug", "info", "error"),
        nullable=True,
    ),
    Option("rosetta", "dict", "Translation of x86_64 programs in the guest.", suboptions=_ROSETTA),
    package("vfkit"),
)

PROFILE = Profile(
    name="vfkit",
    order=80,
    group=_GROUP,
    honours={
        **BASICS,
        "on_poweroff": ("restart", "stop"),
        "interfaces[].type": ("user",),
        "volumes[].serial": ANY,
        # The protocol is built in, without the daemon and its options.
        "shares[].proto": ("virtiofs",),
        "graphics.enable": ANY,
    },
    has_kernel_vsock=False,
    systems=("aarch64-darwin",),
    vcpus=255,
    serials=True,
    credentials=None,
    stop="`Stop` over the socket of the REST API.",
    ready="`/vm/state` of the REST API reports it",
    on_poweroff=EXITS,
    on_reboot="as the guest requests",
    needs_virtiofsd=False,
)
