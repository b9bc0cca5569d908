# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of vfkit 0.6."""

from __future__ import annotations

from ...schema.options import Option, Options
from ..profile import ANY, Profile
from ..profile_parts import BASICS, EXITS, EXTRA_ARGS, group, package

_ROSETTA: Options = (
    Option("enable", "bool", "Let the guest run x86_64 programs by Rosetta.", default=False),
    Option("install", "bool", "Install Rosetta at the start where it is missing.", default=False),
    Option("ignore_if_missing", "bool", "Start without Rosetta where it is missing.", default=False),
)

_GROUP = group(
    "vfkit",
    "vfkit, for hosts with macOS: only packages are made for it.",
    EXTRA_ARGS,
    Option(
        "log_level",
        "str",
        "How much vfkit says: V(debug), V(info) or V(error). V(null) is vfkit's own default.",
        default="info",
        choices=("debug", "info", "error"),
        nullable=True,
    ),
    Option("rosetta", "dict", "Programs for x86_64.", suboptions=_ROSETTA),
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
    systems=("aarch64-darwin",),
    vcpus=255,
    serials=True,
    credentials=None,
    stop="`Stop` over the REST API's socket.",
    ready="the REST API's `/vm/state`",
    on_poweroff=EXITS,
    on_reboot="as the guest asks",
    needs_virtiofsd=False,
)
