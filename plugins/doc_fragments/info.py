# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of what is known of MicroVMs."""

    DOCUMENTATION = r"""
options:
  names:
    description:
      - Names of the MicroVMs to return. Names that do not exist on the host are ignored. Defaults to all MicroVMs
        in O(state_dir).
    type: list
    elements: str
  state_dir:
    description:
      - Directory that contains the state directories of the MicroVMs. Defaults to that of the host, which role
        P(microvm.fleet.host#role) has recorded in C(/etc/microvm-fleet/host.json), or else to C(/var/lib/microvms).
      - If the host has recorded another one, the module fails, because its units run MicroVMs from there.
    type: path
"""
