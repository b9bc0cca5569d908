# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parses the setup of a host."""

from __future__ import annotations

from typing import Mapping, cast

from ...schema.errors import DeclarationError
from ...schema.validation import validate
from ..types import HostSetup
from .options import HOST_SETUP_OPTIONS, NIX_OPTIONS


def parse_host_setup(raw: Mapping[str, object], path: str = "") -> HostSetup:
    """Return complete settings. Raises DeclarationError with the path of what is wrong."""
    setup = cast(HostSetup, validate(HOST_SETUP_OPTIONS, raw, path))
    sizes = [pages["size"] for pages in setup["huge_pages"]]
    for index, size in enumerate(sizes):
        if size in sizes[:index]:
            prefix = f"{path}." if path else ""
            raise DeclarationError(
                f"{prefix}huge_pages[{index}].size", f"{size} is listed twice; list it once, with the sum of both"
            )
    for option in () if setup["nix"] else NIX_OPTIONS:
        if setup.get(option.name):
            prefix = f"{path}." if path else ""
            raise DeclarationError(
                f"{prefix}{option.name}",
                "is a setting of Nix, which this host is not declared to have; set nix to true (microvm_nix of role "
                "host), or remove it",
            )
    return setup
