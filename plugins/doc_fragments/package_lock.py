# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of waiting for the package manager."""

    DOCUMENTATION = r"""
options:
  timeout:
    description:
      - Maximum number of seconds to wait for other processes that change the packages of the host.
    type: int
    default: 600
"""
