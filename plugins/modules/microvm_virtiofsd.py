#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_virtiofsd
short_description: Serve directories of a host by virtiofs
version_added: 0.1.0
description:
  - Serves directories of a host to virtual machines by virtiofs, a list of them in one call.
  - MicroVMs of this collection do not need it, because their units serve their
    O(microvm.fleet.microvm_vm#module:shares). It is for virtual machines that something else runs, such as libvirt or a
    hypervisor that is started by hand.
  - Each share is a socket unit of systemd, which listens as soon as the share exists and after each start of the host.
    The first hypervisor that connects starts the daemon, which ends with the connection; the next one starts another.
  - virtiofs serves one virtual machine for each socket. For a directory that several of them use, declare a share for
    each.
  - The hypervisor needs memory that it shares with the daemon, such as C(memory-backend-memfd,share=on) of QEMU.
  - Everything that is known to fail is refused before anything is changed, in check mode too.
author:
  - microvm.fleet contributors (@microvm)
requirements:
  - virtiofsd 1.13 or newer, which Debian 13 has as package C(virtiofsd).
extends_documentation_fragment:
  - microvm.fleet.virtiofsd
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
  - module: microvm.fleet.microvm_tap
  - module: microvm.fleet.microvm_vms
"""

EXAMPLES = r"""
- name: Serve a directory read-only to a virtual machine of libvirt
  microvm.fleet.microvm_virtiofsd:
    shares:
      - name: media
        source: /srv/media
        read_only: true
        group: libvirt-qemu
  register: served

- name: Show what the hypervisor connects to
  ansible.builtin.debug:
    msg: "{{ served.shares[0].socket }}"

- name: Serve a directory of a user's, without privileges
  microvm.fleet.microvm_virtiofsd:
    shares:
      - name: project
        source: /home/alice/project
        user: alice
        group: alice

- name: Let the guest own a range of numbers on the host
  microvm.fleet.microvm_virtiofsd:
    shares:
      - name: data
        source: /srv/data
        source_owner: "100000"
        source_mode: "0700"
        translate_uid: ["map:0:100000:65536"]
        translate_gid: ["map:0:100000:65536"]

- name: Serve it no longer
  microvm.fleet.microvm_virtiofsd:
    shares:
      - {name: media, state: absent}
"""

RETURN = r"""
shares:
  description: An entry for each element of O(shares), in the same order.
  returned: success, and failure after something was changed
  type: list
  elements: dict
  contains:
    name:
      description: Name of the share.
      type: str
    changed:
      description: Whether the share was changed, or would be in check mode.
      type: bool
    actions:
      description: Steps that were carried out, or would be in check mode, in order.
      type: list
      elements: str
      sample:
        - create directory /srv/media
        - write microvm-fleet-share-media.socket
        - write microvm-fleet-share-media.service
        - enable microvm-fleet-share-media.socket
        - reload systemd for media
        - start microvm-fleet-share-media.socket
    socket:
      description: Path of the socket that the hypervisor connects to. V(null) for a share that is removed.
      type: str
      sample: /run/microvm-fleet/virtiofsd/media.sock
    in_use:
      description: Whether a hypervisor is connected, and stays so.
      type: bool
    lacking:
      description: What the guest may ask for and the file system of the directory does not have.
      type: list
      elements: str
      sample: [access control lists]
    failed:
      description: Whether a step failed. Other shares are not affected.
      type: bool
    msg:
      description: Reason of the failure.
      type: str
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.virtiofsd import run_virtiofsd


def main() -> None:
    """Run the module."""
    run_virtiofsd()


if __name__ == "__main__":
    main()
