#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_image
short_description: Build and install guest images
version_added: 0.1.0
description:
  - Builds a Debian guest image with mmdebstrap, or verifies and installs a copy of one.
  - An image is identified by the digest of its declaration, so that an unchanged declaration is not built again.
  - An interrupted run never leaves a partial image that is considered complete. A directory that lacks its manifest, or
    a file listed there, is replaced.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.image
  - microvm.fleet.attributes
  - microvm.fleet.attributes.actiongroup_microvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Build an image
  microvm.fleet.microvm_image:
    image:
      name: web
      packages: [nginx-light]
    store: /var/cache/microvm-fleet/images
    cache: /var/cache/microvm-fleet/archives
"""

RETURN = r"""
actions:
  description: Steps that were carried out, or would be in check mode, in order.
  returned: success
  type: list
  elements: str
  sample: [build image 49ff6815245f546fb08486d2e3452b0a]
digest:
  description: Digest of the image, which is its name in the store.
  returned: success
  type: str
  sample: 49ff6815245f546fb08486d2e3452b0a
path:
  description: Directory of the image.
  returned: success
  type: str
  sample: /var/cache/microvm-fleet/images/49ff6815245f546fb08486d2e3452b0a
files:
  description: Files of the image.
  returned: when O(state=built)
  type: list
  elements: str
  sample: [kernel, initrd, root.erofs, manifest.json]
name:
  description: Name of the image.
  returned: when O(state=built)
  type: str
  sample: web
store_disk_type:
  description: File system of the root disk.
  returned: when O(state=built)
  type: str
  sample: erofs
kernel_lacks:
  description:
    - Settings of the kernel's configuration that are off, of those that MicroVMs may need.
    - Of an image that is not yet built, those that Debian's kernels are known to lack.
  returned: when O(state=built)
  type: list
  elements: str
  sample: [CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES]
uses_host_key:
  description: Whether guests of the image use the SSH host key that their host gives them.
  returned: when O(state=built)
  type: bool
  sample: true
nix:
  description: Whether guests of the image have Nix and can mount the store of their host.
  returned: when O(state=built)
  type: bool
  sample: false
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.images import run_image


def main() -> None:
    """Run the module."""
    run_image()


if __name__ == "__main__":
    main()
