# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Needs of a package: what others bring to the host, and what its units therefore wait for. Pure.

They follow from the declaration that the package records, and not from the package: packages of earlier versions and
those of others have them too.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Callable, Iterable, Iterator, Optional, Sequence, Tuple

from ...declaration.names import FLEET_DIRECTORY
from ...declaration.restrictions.uses import is_below, uses
from ...declaration.types import PackagedVm, Volume
from ...runner.units import external_directories
from ...schema.options import FILE, IMAGE, PROGRAM
from ...schema.quoting import CONTROL

SOURCE_LISTS = "share/microvm/virtiofs/*/source"
"""Files of a package of that form with the source of each virtiofs share."""

_CONTROL = re.compile(f"[{CONTROL}]")

MACVTAP_LIST = "share/microvm/macvtap-interfaces"
"""File of a package in the form of microvm.nix's: identifier, MAC address, link and mode of each interface."""


@dataclass(frozen=True)
class Needs:
    """Needs of one package."""

    paths: Tuple[str, ...] = ()
    """Absolute paths whose file systems are mounted before the MicroVM starts."""
    awaited: Tuple[str, ...] = ()
    """What is waited for, as ``microvm-wait`` reads it: ``path:PATH``, or ``bridge:``, ``interface:`` or ``network:``
    with a name."""
    serves_shares: bool = False
    """True if daemons of its own serve shares."""


NOTHING = Needs()


def needs_of(declaration: PackagedVm) -> Needs:
    """Return the needs of a package of ours."""
    paths = {posixpath.normpath(path) for path in _named(declaration)}
    return Needs(
        tuple(sorted(path for path in paths if not is_below(path, FLEET_DIRECTORY))),
        tuple(sorted({*_awaited_paths(declaration), *_awaited_links(declaration)})),
        any(share["proto"] == "virtiofs" for share in declaration["shares"]),
    )


def listed_needs(sources: Sequence[str], macvtaps: str) -> Needs:
    """Return the needs of a package without a declaration, as far as its lists say them.

    ``sources`` are those of its virtiofs shares, ``macvtaps`` is the content of its list of macvtap interfaces.
    """
    links = [fields[2] for fields in map(str.split, macvtaps.splitlines()) if len(fields) > 2]
    return Needs(
        tuple(sorted({posixpath.normpath(source) for source in sources if _is_usable(source)})),
        tuple(sorted({f"interface:{link}" for link in links if _is_usable(f"/{link}")})),
        bool(sources),
    )


def package_needs(declaration: Optional[PackagedVm], files: Iterable[str], read: Callable[[str], str]) -> Needs:
    """Return the needs of a package of any origin; ``read`` gives the content of its ``files``, or nothing."""
    if declaration is not None:
        return needs_of(declaration)
    lists = sorted(file for file in files if fnmatchcase(file, SOURCE_LISTS))
    return listed_needs([read(file).rstrip("\n") for file in lists], read(MACVTAP_LIST))


def _is_usable(path: str) -> bool:
    """Return whether a path, which somebody else may have recorded, is absolute and can be written into a unit."""
    return path.startswith("/") and not _CONTROL.search(path)


def _named(declaration: PackagedVm) -> Iterator[str]:
    """Yield every absolute path of the declaration."""
    kinds = (FILE, IMAGE, PROGRAM)
    return (str(use.value) for use in uses(declaration) if use.trust in kinds and _is_usable(str(use.value)))


def _awaited_paths(declaration: PackagedVm) -> Iterator[str]:
    files = [declaration[key] for key in ("kernel", "initrd_path", "store_disk", "extra_args_script")]
    files += declaration["credential_files"].values()
    files += [volume["image"] for volume in declaration["volumes"] if not _is_created(volume)]
    files += external_directories(declaration)
    for file in files:
        if file and _is_usable(file) and not is_below(file, FLEET_DIRECTORY):
            yield f"path:{posixpath.normpath(file)}"


def _is_created(volume: Volume) -> bool:
    """Return whether the first start creates the image, so that its directory suffices."""
    return volume["auto_create"] and not is_below(volume["image"], "/dev")


def _awaited_links(declaration: PackagedVm) -> Iterator[str]:
    for interface in declaration["interfaces"]:
        bridge, link = interface["bridge"], interface["macvtap"]["link"]
        if interface["type"] == "tap" and bridge and _is_usable(f"/{bridge}"):
            yield f"bridge:{bridge}"
        elif interface["type"] == "macvtap" and bridge and _is_usable(f"/{bridge}"):
            yield f"network:{bridge}"
        elif interface["type"] == "macvtap" and link and _is_usable(f"/{link}"):
            yield f"interface:{link}"
