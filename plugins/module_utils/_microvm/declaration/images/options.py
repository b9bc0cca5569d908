# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option tables of guest images: of those that are built, and of those that are installed on a host."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options

_FILES: Options = (
    Option("path", "str", "Absolute path of the file in the guest.", required=True, check=checks.file_path),
    Option(
        "content",
        "str",
        "Content of the file. Do not put secrets here, since every guest of the image can read it.",
        required=True,
    ),
    Option("mode", "str", "Permissions of the file in octal notation.", default="0644", check=checks.mode),
)

IMAGE_OPTIONS: Options = (
    Option(
        "name",
        "str",
        "Name of the image, by which O(microvm.fleet.microvm_vm#module:image) refers to it.",
        required=True,
        check=checks.name,
    ),
    Option("suite", "str", "Debian release.", default="trixie", choices=("trixie", "bookworm")),
    Option(
        "mirrors",
        "list",
        (
            "Package sources: URLs, or lines in the format of sources.list(5).",
            "Defaults to the sources that mmdebstrap chooses for O(ignore:suite).",
        ),
        elements="str",
        check=checks.mirror,
    ),
    Option(
        "packages",
        "list",
        "Packages to install in addition to those of every guest: systemd, networkd, resolved and an SSH server.",
        elements="str",
        check=checks.package,
    ),
    Option(
        "kernel_package",
        "str",
        (
            "Package of the kernel. Defaults to Debian's generic kernel for the architecture.",
            "The C(cloud) kernels are smaller, but do not support 9p shares.",
        ),
        check=checks.package,
        derived=True,
    ),
    Option(
        "nix",
        "bool",
        (
            "Whether guests of the image have Nix, and can mount the store of their host.",
            "See O(microvm.fleet.microvm_vm#module:writable_store_overlay). Installs C(nix-bin) and "
            "C(nix-setup-systemd).",
        ),
        default=False,
    ),
    Option("files", "list", "Files to create in the guest.", elements="dict", suboptions=_FILES),
    Option(
        "commands",
        "list",
        "Shell commands to run in the guest's root file system after its packages and files have been installed.",
        elements="str",
        check=checks.shell_commands,
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
    Option(
        "path",
        "path",
        "Directory of the image on the host. Leave it unset while the directory is not yet known.",
        check=checks.optional_path,
    ),
    Option(
        "store_disk_type",
        "str",
        "File system of the image's root disk.",
        default="erofs",
        choices=("erofs", "squashfs"),
    ),
    Option(
        "kernel_lacks",
        "list",
        "Settings of the kernel's configuration that are known to be off, such as C(CONFIG_NET_9P_VIRTIO). MicroVMs "
        "that need one of them are refused. What the image itself says on the host takes precedence.",
        elements="str",
        check=checks.kernel_setting,
    ),
    Option(
        "uses_host_key",
        "bool",
        "Whether the guests of the image use the SSH host key that their host gives them, see C(guest.host_key).",
        default=False,
    ),
    Option("nix", "bool", "Whether guests of the image have Nix and can mount the store of their host.", default=False),
)
"""Options of an image that is installed on a host, to which MicroVMs refer."""
