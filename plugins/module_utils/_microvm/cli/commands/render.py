# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""render, validate."""

from __future__ import annotations

from argparse import Namespace

from ..work import render, validate


def render_file(asked: Namespace) -> int:
    """``microvm render``."""
    return render(asked.file, asked.name, asked.hypervisor, asked.platform, asked.output, asked.json)


def validate_files(asked: Namespace) -> int:
    """``microvm validate``."""
    return validate(asked.files, asked.platform)
