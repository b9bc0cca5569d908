#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_host
short_description: Prepare a host for MicroVMs
version_added: 0.1.0
description:
  - Creates what MicroVMs need on a host, except for packages. That is the user C(microvm) and the group C(kvm),
    directories, systemd units and the scripts that they run, settings, kernel modules, and the target
    C(microvms.target).
  - Installs the manual page and the completion of the command C(microvm). Role P(microvm.fleet.host#role) installs the
    command itself.
  - O(state=absent) is refused while MicroVMs are installed; remove them first.
  - Compares the wanted setup with the actual state of the host, so that a run completes an earlier interrupted run and
    repairs manual changes. Files of earlier versions are removed.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.host
  - microvm.fleet.attributes
  - microvm.fleet.attributes.actiongroup_microvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: microvm.fleet.microvm_vms
"""

EXAMPLES = r"""
- name: Prepare the host, and let two MicroVMs at a time start when it boots
  microvm.fleet.microvm_host:
    boot_parallel: 2

- name: Remove all MicroVMs, except their volumes
  microvm.fleet.microvm_vms:
    vms: []
    purge: remove

- name: Remove the setup of the host
  microvm.fleet.microvm_host:
    state: absent
"""

RETURN = r"""
actions:
  description: Steps that were carried out, or would be in check mode, in order.
  returned: success
  type: list
  elements: str
  sample:
    - write /etc/systemd/system/microvm@.service
    - systemctl daemon-reload for the units of MicroVMs
    - systemctl start microvms.target
missing:
  description:
    - Features that the host's kernel lacks, and what does not work without them. The module warns about them.
    - Also Nix, and users whom it shall trust. Not in check mode, where an earlier task may be going to bring these.
  returned: success
  type: list
  elements: str
  sample: [kernel module vhost_vsock is missing; vsock will not work]
kept:
  description:
    - Directories and users that O(state=absent) has kept, with the reason.
  returned: success
  type: list
  elements: str
  sample: ["user microvm: it owns files in /var/lib/microvms"]
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.host_setup import run_host


def main() -> None:
    """Run the module."""
    run_host()


if __name__ == "__main__":
    main()
