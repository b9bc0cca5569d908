# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a guest image: of one that is built, and of one that a host was given."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options

_FILES: Options = (
    Option("path", "str", "Where the file is in the guest.", required=True, check=checks.file_path),
    Option(
        "content", "str", "What stands in it. Not for secrets: every guest of the image can read it.", required=True
    ),
    Option("mode", "str", "Permissions, as octal digits.", default="0644", check=checks.mode),
)

IMAGE_OPTIONS: Options = (
    Option(
        "name",
        "str",
        "Name of the image, to which O(microvm.fleet.microvm_vm#module:image) refers.",
        required=True,
        check=checks.name,
    ),
    Option("suite", "str", "Release of Debian.", default="trixie", choices=("trixie", "bookworm")),
    Option(
        "mirrors",
        "list",
        (
            "Package sources: URLs, or lines of sources.list(5).",
            "By default those that mmdebstrap chooses for the suite.",
        ),
        elements="str",
        check=checks.mirror,
    ),
    Option(
        "packages",
        "list",
        "Packages beside those that every guest has: systemd, networkd, resolved, an SSH server.",
        elements="str",
        check=checks.package,
    ),
    Option(
        "kernel_package",
        "str",
        (
            "Package of the kernel. By default Debian's generic one for the architecture.",
            "The C(cloud) kernels are smaller, but know no 9p shares.",
        ),
        check=checks.package,
        derived=True,
    ),
    Option("files", "list", "Files to put into the guest.", elements="dict", suboptions=_FILES),
    Option(
        "commands",
        "list",
        "Shell commands that are run in the guest's tree, after packages and files are there.",
        elements="str",
    ),
    Option(
        "store_disk_type",
        "str",
        "File system of the root disk.",
        default="erofs",
        choices=("erofs", "squashfs"),
    ),
)

HOST_IMAGE_OPTIONS: Options = (
    Option("name", "str", "Name by which O(ignore:image) refers to the image.", required=True, check=checks.name),
    Option("path", "path", "Directory of the image on the host. Not set while it is not known."),
    Option(
        "store_disk_type",
        "str",
        "File system of the image's root disk.",
        default="erofs",
        choices=("erofs", "squashfs"),
    ),
)
"""An image that a host was given, as MicroVMs refer to it."""
