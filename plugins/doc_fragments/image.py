# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of a guest image."""

    DOCUMENTATION = r"""
options:
  state:
    description:
      - V(built) builds the image on this host unless O(store) already contains it.
      - V(installed) verifies a copy in O(staging) by the checksums in its manifest and moves it to O(store).
      - V(absent) removes the image with this O(digest) from O(store), including incomplete copies.
    type: str
    default: built
    choices:
      - built
      - installed
      - absent
  image:
    description:
      - Image to build. Required if O(state=built).
    type: dict
    suboptions:
      name:
        description:
          - Name of the image, by which O(microvm.fleet.microvm_vm#module:image) refers to it.
        type: str
        required: true
      suite:
        description:
          - Debian release.
        type: str
        default: trixie
        choices:
          - trixie
          - bookworm
      mirrors:
        description:
          - 'Package sources: URLs, or lines in the format of sources.list(5).'
          - Defaults to the sources that mmdebstrap chooses for O(ignore:suite).
        type: list
        elements: str
      packages:
        description:
          - 'Packages to install in addition to those of every guest: systemd, networkd, resolved and an SSH server.'
        type: list
        elements: str
      kernel_package:
        description:
          - Package of the kernel. Defaults to Debian's generic kernel for the architecture.
          - The C(cloud) kernels are smaller, but do not support 9p shares.
        type: str
      nix:
        description:
          - Whether guests of the image have Nix, and can mount the store of their host.
          - See O(microvm.fleet.microvm_vm#module:writable_store_overlay). Installs C(nix-bin) and C(nix-setup-systemd).
        type: bool
        default: false
      files:
        description:
          - Files to create in the guest.
        type: list
        elements: dict
        suboptions:
          path:
            description:
              - Absolute path of the file in the guest.
            type: str
            required: true
          content:
            description:
              - Content of the file. Do not put secrets here, since every guest of the image can read it.
            type: str
            required: true
          mode:
            description:
              - Permissions of the file in octal notation.
            type: str
            default: '0644'
      commands:
        description:
          - Shell commands to run in the guest's root file system after its packages and files have been installed.
        type: list
        elements: str
      store_disk_type:
        description:
          - File system of the root disk.
        type: str
        default: erofs
        choices:
          - erofs
          - squashfs
  store:
    description:
      - Directory that contains the images, each in a directory of its own.
      - By default, a build host has it in C(/var/cache/microvm-fleet/images) if root builds, and in C(~/.cache/microvm-fleet/images)
        of any other user. Images are installed to, and removed from, the store of the host, by default C(/var/lib/microvm-fleet/images).
    type: path
  cache:
    description:
      - Directory in which downloaded packages are cached. Defaults to C(/var/cache/microvm-fleet/archives) if root
        builds, and to C(~/.cache/microvm-fleet/archives) of any other user.
    type: path
  digest:
    description:
      - Digest of the image to install or remove. Required if O(state) is V(installed) or V(absent).
    type: str
  staging:
    description:
      - Directory of the copy to install. Required if O(state=installed).
    type: path
"""
