# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""render, validate."""

from __future__ import annotations

from argparse import Namespace

from ..work import render_vms, validate_vms


def render_file(arguments: Namespace) -> int:
    """``microvm render``."""
    return render_vms(
        arguments.file, arguments.name, arguments.hypervisor, arguments.platform, arguments.output, arguments.json
    )


def validate_files(arguments: Namespace) -> int:
    """``microvm validate``."""
    return validate_vms(arguments.files, arguments.platform)
