#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_package_lock
short_description: Wait for the locks of dpkg and apt, and finish an interrupted installation
version_added: 0.1.0
description:
  - Waits until no other process changes the packages of a Debian or Ubuntu host. That may be C(unattended-upgrades) or
    C(apt-daily) on a new host, or an C(apt) that keeps running after its run of Ansible was interrupted.
  - Then configures packages that an interrupted C(dpkg) has left unfinished, while it holds the lock.
  - Fails if other processes still hold the locks after O(timeout) seconds, and reports them with their command lines.
  - Role P(microvm.fleet.host#role) uses it before it installs packages.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.package_lock
  - microvm.fleet.attributes
  - microvm.fleet.attributes.actiongroup_microvm
attributes:
  check_mode:
    support: full
    details:
      - Check mode does not wait.
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: ansible.builtin.apt
"""

EXAMPLES = r"""
- name: Wait for 20 minutes at most
  microvm.fleet.microvm_package_lock:
    timeout: 1200

- name: Report the processes that hold the locks, and change nothing
  microvm.fleet.microvm_package_lock:
  check_mode: true
  register: package_lock
"""

RETURN = r"""
holders:
  description: Processes that were waited for. In check mode, processes that currently hold locks.
  returned: success
  type: list
  elements: dict
  contains:
    process:
      description: Process ID; V(0) or less if the process is not visible, for example outside of a container.
      type: int
      sample: 812
    command:
      description: Command line of the process.
      type: str
      sample: /usr/bin/python3 /usr/bin/unattended-upgrade
    locks:
      description: Lock files that the process held.
      type: list
      elements: str
      sample: [/var/lib/dpkg/lock-frontend]
configured:
  description: Packages that were configured, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [socat]
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.package_lock import run_package_lock


def main() -> None:
    """Run the module."""
    run_package_lock()


if __name__ == "__main__":
    main()
