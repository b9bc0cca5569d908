# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths of a host as docs/architecture.md documents them; the tests verify that the product uses them."""

from __future__ import annotations

STATE = "/var/lib/microvms"
"""Parent of the state directories."""
FLEET = "/var/lib/microvm-fleet"
"""Parent of the stores and records."""
STORE = f"{FLEET}/packages"
"""Runner packages."""
RECORDS = f"{FLEET}/vms"
"""Records of MicroVMs."""
SSH_KEY = f"{FLEET}/ssh/id_ed25519"
"""The host's own key for SSH."""
CONFIGURATION = "/etc/microvm-fleet"
"""Settings of the collection's units."""
SETTINGS = f"{CONFIGURATION}/vms"
"""Settings of single MicroVMs."""
UNITS = "/etc/systemd/system"
"""Units and their drop-ins."""
TARGET = "microvms.target"
"""Pulls in the MicroVMs that start with the host."""
CONSOLES = "/run/microvms"
"""Parent of the running MicroVMs' consoles."""
RUNTIME = "/run/microvm-fleet"
"""Locks and the boot queue."""
SCRIPTS = "/usr/local/lib/microvm-fleet"
"""Scripts that the units run."""
NETWORK_UNIT = "microvm-fleet-network.service"
"""Loads the rules of the networks."""
NETWORK_WATCH_UNIT = "microvm-fleet-network-watch.service"
"""Loads them again when somebody has deleted them."""
SHARES = f"{RUNTIME}/shares"
"""What the daemons of shares see."""
