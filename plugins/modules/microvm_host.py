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
  - Makes what MicroVMs need on a host, but for packages. That is the user C(microvm) and the group C(kvm), directories,
    systemd units and the scripts that they run, settings, kernel modules, and the target C(microvms.target).
  - Installs the manual page and the completion of the command C(microvm). Role P(microvm.fleet.host#role) installs the
    command itself.
  - Looks at what is there, so a run completes what an earlier one that was killed has begun, and mends what somebody
    has taken away. Files of earlier versions are removed.
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
- name: Prepare the host, and let two MicroVMs start at once with it
  microvm.fleet.microvm_host:
    boot_parallel: 2

- name: Take away all but volumes
  microvm.fleet.microvm_host:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be, step by step.
  returned: success
  type: list
  elements: str
  sample:
    - write /etc/systemd/system/microvm@.service
    - systemctl daemon-reload for the units of MicroVMs
    - systemctl start microvms.target
missing:
  description: What the host's kernel lacks, and what does not work without it. The module warns of the same.
  returned: success
  type: list
  elements: str
  sample: [kernel module vhost_vsock is missing; vsock will not work]
kept:
  description:
    - With O(state=absent), directories and the user where they were kept, with the reason.
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
