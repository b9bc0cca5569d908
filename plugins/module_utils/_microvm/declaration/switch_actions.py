# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Actions of a switch, and what they do in a running guest."""

from __future__ import annotations

ACTIONS = ("switch", "test", "boot", "dry-activate")
"""All of them, by the words of nixos-rebuild."""

ACTIVATING = ("switch", "test")
"""Actions of a switch after which the guest runs the new system."""

PROFILED = ("switch", "boot")
"""Actions that set the profile of the guest's system, as with nixos-rebuild; the others are for trials."""
