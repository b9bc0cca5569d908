#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_info
short_description: Tell what is known of the MicroVMs of a host
version_added: 0.1.0
description:
  - Tells of each MicroVM what was declared, what is installed, what runs, and whether a restart is pending.
  - Reads links, records and units; asks no guest and no hypervisor, and changes nothing.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.info
  - microvm.fleet.attributes
  - microvm.fleet.attributes.actiongroup_microvm
attributes:
  check_mode:
    support: full
    details:
      - This module does not modify state.
  diff_mode:
    support: N/A
    details:
      - This module does not modify state.
  idempotent:
    support: full
seealso:
  - module: microvm.fleet.microvm_vms
"""

EXAMPLES = r"""
- name: Ask for all MicroVMs of the host
  microvm.fleet.microvm_info:
  register: microvms

- name: Say which of them wait for a restart
  ansible.builtin.debug:
    msg: "{{ microvms.vms | selectattr('restart_pending') | map(attribute='name') | list }}"

- name: Ask for one
  microvm.fleet.microvm_info:
    names: [web]
"""

RETURN = r"""
vms:
  description: What is known of each MicroVM, sorted by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the MicroVM.
      type: str
      sample: web
    foreign:
      description:
        - Whether it was not installed by this collection, which leaves it alone. Its generations are not known then.
      type: bool
    state:
      description: State of its unit, in systemd's words.
      type: str
      sample: active
    sub_state:
      description: The same in more detail.
      type: str
      sample: running
    result:
      description: How it ended the last time; V(success) also while it has not.
      type: str
      sample: success
    autostart:
      description: Whether it starts with the host.
      type: bool
    restarts:
      description: How often systemd has started it again since somebody started it.
      type: int
      sample: 0
    process:
      description: Number of the unit's main process; V(null) where there is none.
      type: int
      sample: 4711
    memory:
      description: Bytes of the host that its processes have; V(null) where nobody counts.
      type: int
      sample: 287309824
    active_since:
      description: When it became active, in the host's time; V(null) while it is not.
      type: str
      sample: Tue 2026-11-24 17:56:33 UTC
    current:
      description: The package that the next start runs, by its name in the store, or its path where it is not there.
      type: str
      sample: 8036e47c17d40a1f21eb16074a649559-web
    booted:
      description: The package that runs; V(null) while none does.
      type: str
      sample: 8036e47c17d40a1f21eb16074a649559-web
    old:
      description: The package that was current before.
      type: str
      sample: 5b0f4b6f3c0e1d8e6f2a7c9b8d7e6f5a-web
    generation:
      description: Number of the current package's generation.
      type: int
      sample: 7
    booted_generation:
      description: Number of the generation that runs; V(null) while none does.
      type: int
      sample: 7
    restart_pending:
      description: Whether it runs another package than its next start would.
      type: bool
    generations:
      description: Packages that are kept, oldest first.
      type: list
      elements: dict
      contains:
        number:
          description: Number of the generation. Numbers only grow.
          type: int
          sample: 6
        package:
          description: The package, as in RV(vms[].current).
          type: str
          sample: 5b0f4b6f3c0e1d8e6f2a7c9b8d7e6f5a-web
        bad:
          description: Whether it was rolled back from; it is not installed again.
          type: bool
        current:
          description: Whether the next start runs it.
          type: bool
        booted:
          description: Whether it runs.
          type: bool
        installed:
          description: Whether the package is there.
          type: bool
    bad_generations:
      description: Numbers of those that are marked bad.
      type: list
      elements: int
      sample: [6]
    unit:
      description: The systemd unit that runs it.
      type: str
      sample: microvm@web.service
    state_directory:
      description: Its state directory.
      type: str
      sample: /var/lib/microvms/web
    volumes:
      description: Images that its starts make.
      type: list
      elements: dict
      contains:
        image:
          description: The image, as it was declared.
          type: str
          sample: data.img
        path:
          description: Where it is.
          type: str
          sample: /var/lib/microvms/web/data.img
        size:
          description: Its size in bytes, holes included; V(null) while it has not been made.
          type: int
          sample: 10737418240
    hypervisor:
      description: The hypervisor of the current package, where that says it.
      type: str
      sample: qemu
    user:
      description: The user that runs the hypervisor.
      type: str
      sample: microvm
    addresses:
      description: Static addresses of the guest that the host can reach.
      type: list
      elements: str
      sample: [10.66.1.11]
    vsock_cid:
      description: Context identifier of the guest's vsock; V(null) where it has none.
      type: int
      sample: 4242
    declaration:
      description:
        - What was declared, as far as it determines the package, with all defaults. V(null) for a package that was not
          rendered by this collection.
      type: dict
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.vms import run_info


def main() -> None:
    """Run the module."""
    run_info()


if __name__ == "__main__":
    main()
