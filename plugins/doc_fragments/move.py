# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of one host's part in a move."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the MicroVM.
    type: str
    required: true
  state:
    description:
      - Stage of the move on this host. V(examined) only returns what is there.
      - V(held) stops the MicroVM on the source and keeps it from starting there. V(released) takes that back and
        starts the MicroVM if it was running.
      - V(incoming) keeps the MicroVM from starting on the target and creates the directory for its volumes; volumes
        that were in place already are moved there. V(accepted) puts the volumes into place and lets it start.
      - V(discarded) deletes what has arrived on the target of a move that was taken back.
      - V(finished) removes what a complete move has left on either host.
    type: str
    default: examined
    choices:
      - examined
      - held
      - incoming
      - accepted
      - released
      - discarded
      - finished
  peer:
    description:
      - Name of the other host. Required unless O(state=examined).
    type: str
  images:
    description:
      - Volumes that must have arrived if O(state=accepted).
    type: list
    elements: str
  renamed_from:
    description:
      - Former name in the declaration. With O(state=incoming), the module fails if this host has a MicroVM of that
        name, whose place the moved one would take.
    type: str
  guest_keys:
    description:
      - Types and public SSH host keys of the guest, which the source has returned. With O(state=accepted), this
        host records them, so that its users and C(microvm ssh) know the guest as before.
    type: list
    elements: str
  digests:
    description:
      - Whether to return the SHA-256 of each volume, which reads all of them.
    type: bool
    default: false
  state_dir:
    description:
      - Directory that contains the state directories of the MicroVMs. Defaults to that of the host, which role
        P(microvm.fleet.host#role) has recorded in C(/etc/microvm-fleet/host.json), or else to C(/var/lib/microvms).
      - If the host has recorded another one, the module fails, because its units run MicroVMs from there.
    type: path
"""
