# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of what each MicroVM was given on a host: written before it is made, so that a removal finds exactly that."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Collection, Dict, Iterable, List, Optional, Tuple

from ..declaration.names import RECORD_DIRECTORY
from ..declaration.types import Ready
from . import files

_SUFFIX = ".json"


@dataclass(frozen=True)
class Generation:
    """A package that was installed; numbers only grow."""

    number: int
    package: str
    """Name of the package in the store, or an absolute path where it is not ours."""
    bad: bool = False
    """True if it was rolled back from: it is not installed again."""
    external: bool = False
    """True if the package was not rendered on this host."""


@dataclass(frozen=True)
class Record:
    """Record of one MicroVM."""

    name: str
    state_directory: str
    """The one that all MicroVMs of the run have theirs in."""
    generations: Tuple[Generation, ...] = ()
    """Oldest first."""
    user: Optional[str] = None
    """Account that was made for it."""
    directories: Tuple[str, ...] = ()
    """Outside of its state directory."""
    volumes: Tuple[str, ...] = ()
    """Images that its starts create, as they were declared."""
    unit_settings: str = ""
    """Lines that its unit's drop-in has beside those of the package."""
    ready: Optional[Ready] = None
    """The option ``ready`` of its declaration; ``None`` where there is none."""

    def generation(self, package: str) -> Optional[Generation]:
        """The last one with a package."""
        return next((generation for generation in reversed(self.generations) if generation.package == package), None)

    def is_bad(self, package: str) -> bool:
        """Return whether a package was rolled back from."""
        return any(generation.bad for generation in self.generations if generation.package == package)

    def numbered(self, number: int) -> Optional[Generation]:
        """Return a generation by its number; ``None`` where there is none."""
        return next((generation for generation in self.generations if generation.number == number), None)

    def kept(self, count: int, used: Iterable[str]) -> Dict[str, None]:
        """Packages of the last ``count`` generations, of as many good ones, and ``used`` ones; in no order."""
        newest = list({generation.package: generation.bad for generation in reversed(self.generations)}.items())
        good = [package for package, bad in newest if not bad][:count]
        return dict.fromkeys([*good, *(package for package, _bad in newest[:count]), *used])

    def only(self, packages: Collection[str]) -> Record:
        """Return the record with the generations of these packages, and those that are bad.

        A package must be known as bad for as long as it could be wanted again, also where it is gone.
        """
        remaining = (generation for generation in self.generations if generation.bad or generation.package in packages)
        return replace(self, generations=tuple(remaining))

    def with_generation(self, package: str, external: bool = False) -> Record:
        """Return the record with one more generation, in place of an earlier one of the same package."""
        if self.generations and self.generations[-1].package == package:
            # A run that was killed before it changed the link has left this generation.
            return self
        number = max((generation.number for generation in self.generations), default=0) + 1
        older = (generation for generation in self.generations if generation.package != package)
        return replace(self, generations=(*older, Generation(number, package, external=external)))

    def marked(self, package: str, bad: bool) -> Record:
        """Return the record with all generations of a package marked bad, or good again."""
        generations = (
            replace(generation, bad=bad) if generation.package == package else generation
            for generation in self.generations
        )
        return replace(self, generations=tuple(generations))


class Records:
    """Records below one directory."""

    def __init__(self, directory: str = RECORD_DIRECTORY) -> None:
        self.directory = directory

    def names(self) -> List[str]:
        """Return the names of MicroVMs that have a record."""
        try:
            entries = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        return sorted(entry[: -len(_SUFFIX)] for entry in entries if entry.endswith(_SUFFIX))

    def read(self, name: str) -> Optional[Record]:
        """Return the record of a MicroVM; ``None`` where there is none."""
        text = files.read_text(self._path(name))
        return _parse(json.loads(text)) if text else None

    def write(self, record: Record) -> None:
        """Write one, on the disk when this returns."""
        os.makedirs(self.directory, exist_ok=True)
        text = json.dumps(asdict(record), indent=2, sort_keys=True) + "\n"
        files.replace_file(self._path(record.name), text.encode())

    def remove(self, name: str) -> None:
        """Forget one."""
        files.remove(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name + _SUFFIX)


def _parse(values: Dict[str, Any]) -> Record:
    fields = {key: value for key, value in values.items() if key in Record.__dataclass_fields__}
    generations = tuple(Generation(**generation) for generation in fields.pop("generations", ()))
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    return Record(**{**fields, **lists, "generations": generations})
