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
      - Directory with one state directory for each MicroVM.
    type: path
    default: /var/lib/microvms
  ksm:
    description:
      - Let the kernel merge equal pages of guests (KSM). Saves memory, and opens a side channel between guests.
    type: bool
    default: false
  boot_parallel:
    description:
      - How many MicroVMs start at once with the host; the others wait in the boot queue. V(0) for all of them.
    type: int
    default: 4
  boot_settle:
    description:
      - 'For how many seconds a MicroVM that has started with the host counts as starting: within these seconds,
        no more start than may start at once.'
    type: int
    default: 10
  state:
    description:
      - V(present) prepares the host for MicroVMs.
      - V(absent) takes away what that has made, and all packages and records of MicroVMs. Volumes stay, and the
        user C(microvm) as long as files in O(state_dir) are its. Remove MicroVMs, images and networks first.
    type: str
    default: present
    choices:
      - present
      - absent
"""
