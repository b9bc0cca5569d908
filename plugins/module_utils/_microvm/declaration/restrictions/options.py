# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of a host's restrictions: what declarations that are less trusted may not do there.

All keys are closed by default, so that a key of a later version closes what it is about.
"""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options
from ..names import IMAGE_STORE

RESTRICTION_OPTIONS: Options = (
    Option(
        "enable",
        "bool",
        (
            "Whether declarations are restricted on the host.",
            "If V(true), everything is refused that the other keys do not allow. If V(false), they have no effect.",
        ),
        default=True,
    ),
    Option(
        "path_prefixes",
        "list",
        (
            "Directories below which declarations may name files and directories by an absolute path: volumes, sources "
            "of shares, files of credentials, sockets and images.",
            "A path must not lead through a symbolic link, and every directory above it must belong to root and be "
            "writable by root only; the directory of a volume or a socket may belong to the user of the MicroVM. "
            f"Relative paths and images in C({IMAGE_STORE}) are always allowed.",
        ),
        elements="str",
        check=checks.file_path,
    ),
    Option(
        "bridges",
        "list",
        "Bridges, and networks with mode V(macvtap), to which declarations may attach interfaces.",
        elements="str",
        check=checks.interface_name,
    ),
    Option("scripts", "bool", "Whether declarations may contain shell commands that the host executes.", default=False),
    Option("programs", "bool", "Whether declarations may choose the programs that the host executes.", default=False),
    Option(
        "arguments",
        "bool",
        "Whether declarations may contain arguments of hypervisors, virtiofsd and mkfs, and use images of other "
        "formats than V(raw), which may name other files.",
        default=False,
    ),
    Option("devices", "bool", "Whether declarations may pass devices of the host through to guests.", default=False),
    Option(
        "host_network",
        "bool",
        "Whether declarations may use other interfaces than those of type V(tap) and of networks, which reach "
        "addresses, ports and interfaces of the host.",
        default=False,
    ),
    Option(
        "units",
        "bool",
        "Whether declarations may name units of the host, which are then started with the MicroVM, or which it starts "
        "after.",
        default=False,
    ),
    Option(
        "weaker_sandbox",
        "bool",
        "Whether declarations may weaken the sandbox of a MicroVM.",
        default=False,
    ),
    Option(
        "external_packages",
        "bool",
        "Whether external packages may be installed and rolled back to. They are executed, partly as root, and "
        "therefore completely trusted.",
        default=False,
    ),
)
