#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_info
short_description: Gather information about the MicroVMs of a host
version_added: 0.1.0
description:
  - Returns for each MicroVM its declaration, its installed packages, the state of its unit, and whether a restart is
    pending.
  - Reads only files, the state of systemd units and the addresses that the host knows. It does not contact guests or
    hypervisors.
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
- name: Gather information about all MicroVMs of the host
  microvm.fleet.microvm_info:
  register: microvms

- name: Show the MicroVMs with a pending restart
  ansible.builtin.debug:
    msg: "{{ microvms.vms | selectattr('restart_pending') | map(attribute='name') | list }}"

- name: Show the MicroVMs with a tag
  ansible.builtin.debug:
    msg: "{{ microvms.vms | selectattr('tags', 'contains', 'frontend') | map(attribute='name') | list }}"

- name: Fail if a MicroVM is down
  ansible.builtin.assert:
    that: microvms.condition not in ['down', 'failed']
    fail_msg: "{{ microvms.vms | map(attribute='reasons') | flatten | join('; ') }}"

- name: Gather information about one MicroVM
  microvm.fleet.microvm_info:
    names: [web]
"""

RETURN = r"""
condition:
  description: Worst RV(vms[].condition) of the returned MicroVMs, V(ok) if there are none.
  returned: always
  type: str
  sample: pending
vms:
  description: Information about each MicroVM, sorted by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the MicroVM.
      type: str
      sample: web
    tags:
      description: Tags of its last declaration, see O(microvm.fleet.microvm_vms#module:vms[].tags).
      type: list
      elements: str
      sample: [frontend]
    condition:
      description:
        - Whether the MicroVM is as it was declared, as far as the host knows. C(microvm list) has the exit status 2 for
          V(pending) and V(refused), and 3 for V(down) and V(failed).
        - V(ok) if it is. V(pending) if its next start would run a different package. V(refused) if the declared package
          is not installed because a rollback has marked it bad. V(down) if it should run and does not. V(failed) if
          its unit or one of its helper units has failed. The worst of them counts.
      type: str
      sample: pending
    reasons:
      description: What is not as it was declared, and what to do about it, the worst first.
      type: list
      elements: str
      sample: ["a restart is pending: microvm restart web"]
    foreign:
      description:
        - Whether the MicroVM was not installed by this collection, which then leaves it alone and does not know its
          generations.
      type: bool
    state:
      description:
        - Active state of its unit, as reported by systemd. V(failed) also if it does not run and a helper unit has
          failed, see RV(vms[].failed_helpers).
      type: str
      sample: active
    failed_helpers:
      description: Helper units that have failed while the MicroVM does not run.
      type: list
      elements: str
      sample: [microvm-virtiofsd@web.service]
    sub_state:
      description: Substate of its unit, as reported by systemd.
      type: str
      sample: running
    result:
      description: Result of its unit, as reported by systemd. V(success) unless the last run has failed.
      type: str
      sample: success
    autostart:
      description: Whether it is started when the host boots.
      type: bool
    restarts:
      description: Number of automatic restarts since it was started or stopped by somebody.
      type: int
      sample: 0
    process:
      description: Process ID of the unit's main process, or V(null) if there is none.
      type: int
      sample: 4711
    memory:
      description: Memory of the host that its processes use in bytes, or V(null) if memory accounting is not available.
      type: int
      sample: 287309824
    active_since:
      description: Time at which it became active, in the time zone of the host, or V(null) if it is not active.
      type: str
      sample: Tue 2026-11-24 17:56:33 UTC
    current:
      description: Package that the next start runs, by its name in the store, or by its path if it is elsewhere.
      type: str
      sample: 8036e47c17d40a1f21eb16074a649559-web
    booted:
      description: Package that is running, or V(null) if it is not running.
      type: str
      sample: 8036e47c17d40a1f21eb16074a649559-web
    old:
      description: Package that was current before.
      type: str
      sample: 5b0f4b6f3c0e1d8e6f2a7c9b8d7e6f5a-web
    switched:
      description:
        - Package to whose system the running guest was switched since it was booted.
        - V(null) if it runs the system that it was booted from, and also while a switch has not succeeded.
      type: str
      sample: null
    generation:
      description: Generation number of the current package.
      type: int
      sample: 7
    booted_generation:
      description: Generation number of the running package, or V(null) if it is not running.
      type: int
      sample: 7
    restart_pending:
      description:
        - Whether it is running a different package than its next start would run.
        - A guest that was switched to that package has a pending restart only if more than its system differs. One that
          was switched to another package than that has a pending restart, whichever it was booted from.
      type: bool
    refused_package:
      description: Declared package, if it is not installed because a rollback has marked it bad.
      type: str
    generations:
      description: Packages that are kept for rollbacks, oldest first.
      type: list
      elements: dict
      contains:
        number:
          description: Number of the generation. Numbers are never reused.
          type: int
          sample: 6
        package:
          description: Package of the generation, as in RV(vms[].current).
          type: str
          sample: 5b0f4b6f3c0e1d8e6f2a7c9b8d7e6f5a-web
        bad:
          description: Whether it was marked bad by a rollback. It is not installed again.
          type: bool
        current:
          description: Whether the next start runs this generation.
          type: bool
        booted:
          description: Whether this generation is running.
          type: bool
        installed:
          description: Whether the package exists on the host.
          type: bool
    bad_generations:
      description: Numbers of the generations that are marked bad.
      type: list
      elements: int
      sample: [6]
    unit:
      description: Name of the systemd unit that runs it.
      type: str
      sample: microvm@web.service
    state_directory:
      description: Path of its state directory.
      type: str
      sample: /var/lib/microvms/web
    volumes:
      description: Volumes, as recorded and as declared.
      type: list
      elements: dict
      contains:
        image:
          description: Image of the volume, as declared.
          type: str
          sample: data.img
        path:
          description: Absolute path of the image.
          type: str
          sample: /var/lib/microvms/web/work/data.img
        size:
          description: Apparent size of the image in bytes, or V(null) if it does not exist yet or is a device.
          type: int
          sample: 10737418240
    hypervisor:
      description: Hypervisor of the current package, if the package records it.
      type: str
      sample: qemu
    accelerator:
      description:
        - Whether the processor (V(kvm)) or an emulator (V(tcg)) executes the guest's instructions. V(null) if the
          package was not rendered by this collection.
      type: str
      sample: kvm
    guest_memory:
      description: Memory of the guest in MiB, as declared in the current package, or V(null) as above.
      type: int
      sample: 512
    processors:
      description: Number of virtual CPUs of the guest, as declared in the current package, or V(null) as above.
      type: int
      sample: 2
    user:
      description: User that the hypervisor runs as.
      type: str
      sample: microvm
    addresses:
      description: Static addresses of the guest that the host can reach.
      type: list
      elements: str
      sample: [10.66.1.11]
    dhcp_addresses:
      description:
        - Other addresses of the running guest on bridges, as far as the host knows them from the leases of
          systemd-networkd's DHCP server and from its neighbour table.
      type: list
      elements: str
      sample: [10.66.1.130]
    vsock_cid:
      description: Context identifier of the guest's vsock, or V(null) if it has none.
      type: int
      sample: 4242
    declaration:
      description:
        - Declaration of the current package, including default values but without host options. V(null) if the package
          was not rendered by this collection.
      type: dict
    error:
      description:
        - What is wrong with the record or the current package of the MicroVM, and what to do; it is a warning of the
          module too. V(null) if both can be read.
      type: str
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.vms import run_info


def main() -> None:
    """Run the module."""
    run_info()


if __name__ == "__main__":
    main()
