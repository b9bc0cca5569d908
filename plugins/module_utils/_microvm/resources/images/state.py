# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State of a guest image in a store, as it is and as it is wanted. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Optional

from ...declaration.images.parse import ImageDeclaration


class State(Enum):
    """Wanted state of an image."""

    BUILT = "built"
    """The image is there, built on this host if it is not."""
    INSTALLED = "installed"
    """The image is there, moved from a copy if it is not."""
    ABSENT = "absent"


@dataclass(frozen=True)
class Observed:
    """An image in a store, as the host has it."""

    exists: bool = False
    """True if there is a directory of that name."""
    is_whole: bool = False
    """True if the directory has a manifest, and all files in it."""
    partial: Optional[str] = None
    """Name of the directory that a killed run has left of making or removing the image."""
    staging: Optional[str] = None
    """Name of the directory that the image is copied to before it is installed."""


@dataclass(frozen=True)
class Wanted:
    """An image as it shall be."""

    digest: str
    """Name of the image in the store."""
    state: State
    declaration: Optional[ImageDeclaration] = None
    """Declaration of an image that is to be built."""
    cache: Optional[str] = None
    """Directory that keeps the packages which a build downloads; ``None`` where none are kept."""
    staging: Optional[str] = None
    """Directory with the copy that is to be installed."""
