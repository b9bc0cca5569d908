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
      - V(built) builds the image on this host unless it is there; in check mode says whether it would.
      - V(installed) verifies a copy in O(staging) by the sums in its manifest and moves it into the store.
      - V(absent) removes O(digest) from the store, and what killed runs have left of it.
    type: str
    default: built
    choices:
      - built
      - installed
      - absent
  image:
    description:
      - The image to build.
    type: dict
    suboptions:
      name:
        description:
          - Name of the image, to which O(microvm.fleet.microvm_vm#module:image) refers.
        type: str
        required: true
      suite:
        description:
          - Release of Debian.
        type: str
        default: trixie
        choices:
          - trixie
          - bookworm
      mirrors:
        description:
          - 'Package sources: URLs, or lines of sources.list(5).'
          - By default those that mmdebstrap chooses for the suite.
        type: list
        elements: str
      packages:
        description:
          - 'Packages beside those that every guest has: systemd, networkd, resolved, an SSH server.'
        type: list
        elements: str
      kernel_package:
        description:
          - Package of the kernel. By default Debian's generic one for the architecture.
          - The C(cloud) kernels are smaller, but know no 9p shares.
        type: str
      files:
        description:
          - Files to put into the guest.
        type: list
        elements: dict
        suboptions:
          path:
            description:
              - Where the file is in the guest.
            type: str
            required: true
          content:
            description:
              - 'What stands in it. Not for secrets: every guest of the image can read it.'
            type: str
            required: true
          mode:
            description:
              - Permissions, as octal digits.
            type: str
            default: '0644'
      commands:
        description:
          - Shell commands that are run in the guest's tree, after packages and files are there.
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
      - Directory that holds the images, one directory for each.
    type: path
    required: true
  cache:
    description:
      - Directory that keeps downloaded packages. By default none are kept.
    type: path
  digest:
    description:
      - Digest of the image to install or remove.
    type: str
  staging:
    description:
      - Directory of the copy to install.
    type: path
"""
