# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of the setup of a host."""

    DOCUMENTATION = r"""
options:
  state_dir:
    description:
      - Directory that contains the state directories of the MicroVMs.
    type: path
    default: /var/lib/microvms
  ksm:
    description:
      - Whether the kernel merges equal memory pages of guests (KSM). This saves memory, but opens a side channel
        between guests.
    type: bool
    default: false
  boot_parallel:
    description:
      - Maximum number of MicroVMs that start at a time when the host boots. The others wait in the boot queue.
        V(0) means no limit.
    type: int
    default: 4
  boot_settle:
    description:
      - Number of seconds for which a MicroVM counts as starting while the host boots.
    type: int
    default: 10
  state:
    description:
      - V(present) prepares the host for MicroVMs.
      - V(absent) removes what that has created, and all packages and records of MicroVMs. Volumes stay, and so
        does the user C(microvm) as long as it owns files in O(state_dir). Remove MicroVMs, images and networks
        first.
    type: str
    default: present
    choices:
      - present
      - absent
"""
