# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modes of what is declared, as it lies on a host: root and the MicroVM's own account read it, and nobody else."""

from __future__ import annotations

PACKAGE_STORE_MODE = 0o711
"""Everybody passes through to the packages that they may read; only root lists them, since their names are those of
MicroVMs."""

PACKAGE_MODE = 0o750
"""A package is root's and of the group of the account that runs it."""

RECORD_DIRECTORY_MODE = 0o700
"""Records are read by nobody but root."""

ARCHIVE_DIRECTORY_MODE = 0o700
"""Archived volumes are root's alone, whoever could read them before."""

HOST_KEY_DIRECTORY_MODE = 0o700
"""Mode of the directory of private host keys of guests."""

SSH_DIRECTORY_MODE = 0o700
"""The host's own key is root's alone."""

SETTINGS_DIRECTORY_MODE = 0o711
"""See PACKAGE_STORE_MODE."""

SETTINGS_MODE = 0o640
"""Settings of units are read by root, and by the scripts that run as the MicroVM's account."""
