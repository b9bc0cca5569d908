# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell which files of a host the disks of MicroVMs are, however their paths are spelt."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Callable, Iterator, Optional, Tuple

from ..names import STATE_DIRECTORY, WORK_DIRECTORY
from ..types import PackagedVm


def spelt_once(path: str) -> str:
    """Return an absolute path in one spelling; normpath leaves two slashes at its beginning."""
    return posixpath.normpath(f"/{path.lstrip('/')}")


@dataclass(frozen=True)
class Disks:
    """Place of everything that MicroVMs have as disks on a host.

    ``resolved`` returns the one path of a file that has several; without a host that is a matter of spelling, on a
    host also of links.
    """

    state_directory: str = STATE_DIRECTORY
    resolved: Callable[[str], str] = spelt_once

    def place(self, name: str, image: str) -> str:
        """Return the path on the host of an image as a MicroVM declares it."""
        if image.startswith("/"):
            return self.resolved(spelt_once(image))
        return posixpath.normpath(posixpath.join(self._work(name), image))

    def _work(self, name: str) -> str:
        return posixpath.join(self.resolved(self.state_directory), name, WORK_DIRECTORY)

    def misplaced(self, declaration: PackagedVm) -> Iterator[Tuple[str, str]]:
        """Yield the volumes that nobody but another MicroVM, or root, can write: their keys and what is wrong."""
        for index, volume in enumerate(declaration["volumes"]):
            problem = self.problem(declaration["name"], volume["image"])
            if problem is not None:
                yield f"volumes[{index}].image", problem

    def problem(self, name: str, image: str) -> Optional[str]:
        """Return why an image cannot be a MicroVM's own; ``None`` if it can."""
        place, parent = self.place(name, image), f"{self.resolved(self.state_directory)}/"
        if not place.startswith(parent) or place.startswith(f"{self._work(name)}/"):
            return None
        owner = place[len(parent) :].partition("/")[0]
        if owner == name:
            return (
                f"{image!r} is in the MicroVM's state directory, where only root writes; write "
                f"{posixpath.basename(place)!r}, a path in its working directory"
            )
        return (
            f"{image!r} is in {parent}{owner}, the state directory of the MicroVM {owner!r}, which alone can open it; "
            f"use a path outside of {parent}, or move the image there"
        )


BY_SPELLING = Disks()
"""Places as far as they are known without a host."""


def read_disks(declaration: PackagedVm) -> Iterator[Tuple[str, str]]:
    """Yield files that a MicroVM boots from and never writes: their keys and paths."""
    for key, path in (
        ("kernel", declaration["kernel"]),
        ("initrd_path", declaration["initrd_path"]),
        ("store_disk", declaration["store_disk"]),
    ):
        if path:
            yield key, path
