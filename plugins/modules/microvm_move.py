#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_move
short_description: Do one host's part in the move of a MicroVM to another host
version_added: 0.1.0
description:
  - Stops a MicroVM on the host that it leaves, receives its volumes on the other one, and ensures that at no point both
    can start it. As long as a host keeps a MicroVM from starting, neither a boot nor P(microvm.fleet.vms#role) starts
    it there.
  - The playbook C(microvm.fleet.move) calls this module on both hosts in the right order and copies the volumes. Use
    the playbook instead of this module.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.move
  - microvm.fleet.attributes
  - microvm.fleet.attributes.actiongroup_microvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: microvm.fleet.microvm_vms
"""

EXAMPLES = r"""
- name: Return the volumes of a MicroVM with their sizes
  microvm.fleet.microvm_move:
    name: web
  register: web

- name: Stop a MicroVM and keep it from starting on this host
  microvm.fleet.microvm_move:
    name: web
    state: held
    peer: host2
"""

RETURN = r"""
actions:
  description: Steps that were carried out, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: ["keep from starting: web", systemctl disable microvm@web.service, systemctl stop microvm@web.service]
installed:
  description: Whether the MicroVM is installed on this host.
  returned: success
  type: bool
running:
  description: Whether its unit is active.
  returned: success
  type: bool
side:
  description: V(source) or V(target) during a move, V(null) otherwise.
  returned: success
  type: str
  sample: source
peer:
  description: Name of the other host during a move.
  returned: success
  type: str
  sample: host2
received:
  description: Whether the volumes are in place on the target, which may start the MicroVM.
  returned: success
  type: bool
volumes:
  description: Volumes in the working directory that a move takes along.
  returned: success
  type: list
  elements: dict
  contains: &contents
    image:
      description: Path relative to the working directory.
      type: str
      sample: data.img
    size:
      description: Size in bytes.
      type: int
      sample: 1073741824
    allocated:
      description: Bytes that the image occupies on the disk. A copy transfers this many bytes at most.
      type: int
      sample: 52428800
    digest:
      description: SHA-256 of the content; V(null) unless O(digests=true).
      type: str
      sample: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
incoming:
  description: Volumes that have arrived on the target and are not in place yet. They may be incomplete.
  returned: success
  type: list
  elements: dict
  contains: *contents
directory:
  description: Working directory of the MicroVM.
  returned: success
  type: str
  sample: /var/lib/microvms/web/work
incoming_directory:
  description: Directory in which volumes arrive.
  returned: success
  type: str
  sample: /var/lib/microvms/.web.incoming
access_directory:
  description: Directory for the key by which one host reaches the other during a move.
  returned: success
  type: str
  sample: /run/microvm-fleet/move-web
guest_key_file:
  description: File of the private SSH host key that this host gives the guest; V(null) if it gives none.
  returned: success
  type: str
  sample: /var/lib/microvm-fleet/host-keys/web
guest_keys:
  description: Types and public SSH host keys of the guest that this host has recorded.
  returned: success
  type: list
  elements: str
  sample: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1bGsgb2YgYSBrZXkgdGhhdCBvcGVucyBub3RoaW5n]
host_keys:
  description: Public SSH host keys of this host.
  returned: success
  type: list
  elements: str
  sample: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1bGsgb2YgYSBrZXkgdGhhdCBvcGVucyBub3RoaW5n root@host2]
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.move import run_move


def main() -> None:
    """Run the module."""
    run_move()


if __name__ == "__main__":
    main()
