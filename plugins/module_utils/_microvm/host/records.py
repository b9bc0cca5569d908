# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of what each MicroVM was given on a host: written before it is made, so that a removal finds exactly that."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, cast

from ..declaration.modes import RECORD_DIRECTORY_MODE
from ..declaration.names import RECORD_DIRECTORY, runner_attribute
from ..declaration.switch_actions import ACTIVATING, PROFILED
from ..declaration.types import Ready
from ..declaration.vms.host_options import HOST_OPTIONS
from ..schema import checks
from ..schema.compaction import read_record
from ..schema.options import Option, Options
from . import files
from .commands import HostError
from .json_files import read_json_record

_SUFFIX = ".json"

_GENERATION: Options = (
    Option("number", "int", "See Generation.", required=True),
    Option("package", "str", "See Generation.", required=True),
    Option("bad", "bool", "See Generation.", default=False),
    Option("external", "bool", "See Generation.", default=False),
    Option("ready", "dict", "See Generation."),
)

_SWITCHED: Options = (
    Option("invocation", "str", "See Switched.", required=True),
    Option("package", "str", "See Switched.", required=True),
    Option("waits", "bool", "See Switched.", default=False),
    Option("profile", "str", "See Switched."),
    Option("shown", "str", "See Switched."),
    Option("possible", "list", "See Switched.", elements="str"),
)

_UPDATES: Options = (
    Option("flake", "str", "See UpdateSource.", default=""),
    Option("attribute", "str", "See UpdateSource."),
    Option("nix_arguments", "list", "See UpdateSource.", elements="str"),
)

_RECORD: Options = (
    Option("name", "str", "See Record; the others too.", required=True),
    Option("state_directory", "path", "", required=True),
    Option("generations", "list", "", elements="dict", suboptions=_GENERATION),
    Option("user", "str", ""),
    Option("directories", "list", "", elements="path"),
    Option("volumes", "list", "", elements="path"),
    Option("unit_settings", "str", "", default=""),
    Option("dependencies", "str", "", default=""),
    Option("ready", "dict", ""),
    Option("state", "str", ""),
    Option("refused", "str", ""),
    Option("tags", "list", "", elements="str"),
    Option("switched", "dict", ""),
    Option("updates", "dict", ""),
)
"""Types of the values in the file of a record."""

_READY: Options = next(option for option in HOST_OPTIONS if option.name == "ready").suboptions


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
    ready: Optional[Ready] = None
    """The option ``ready`` of the declaration that the package was rendered from; ``None`` where that is not known."""


@dataclass(frozen=True)
class Switched:
    """Guest that was asked for a switch since it was booted, and what it has by now."""

    invocation: str
    """Identifier of the unit's start; the next start boots the current package, and ends this."""
    package: str
    """The package whose system the guest runs: that which it was booted from, until another one is activated. Empty
    where nobody knows: an activation has begun and not succeeded."""
    waits: bool = False
    """True if something of the package takes effect with a restart only."""
    profile: Optional[str] = None
    """The package of the last ``switch`` or ``boot``, or else that which it was booted from; ``None`` where that is not
    known: earlier versions did not record what they had asked for."""
    shown: Optional[str] = None
    """The package of the last ``dry-activate``."""
    possible: Tuple[str, ...] = ()
    """Packages of which the guest may run the system, or have the profile, where that is not known: of before an action
    that has begun and not succeeded, and of that action."""

    @property
    def packages(self) -> Tuple[str, ...]:
        """Return the packages whose systems the guest has or may have."""
        return tuple(dict.fromkeys(filter(None, (self.package, self.profile, *self.possible))))

    @staticmethod
    def of_running(record: Optional[Record], invocation: str, booted: str) -> Switched:
        """Return what a running guest has: by the switches since it was booted, or else by its boot."""
        switched = record.switched_in(invocation) if record is not None else None
        return switched or Switched(invocation, booted, profile=booted)

    def waits_with(self, package: Optional[str]) -> bool:
        """Return whether a restart is pending where ``current`` leads to a package."""
        return self.package != package or self.waits

    def has(self, package: str, action: str) -> bool:
        """Return whether an action with a package would change nothing, or show what was shown already."""
        runs = self.package == package
        done = {
            "switch": runs and self.profile == package,
            "test": runs,
            "boot": self.profile == package,
            "dry-activate": runs or self.shown == package,
        }
        return self.profile is not None and done.get(action, False)

    def during(self, package: str, action: str) -> Switched:
        """Return what the guest is known to have while an action with a package is carried out, and after it failed."""
        if action not in (*ACTIVATING, *PROFILED):
            return self
        # Also an activation that fails may have activated nearly all, or have changed nothing yet.
        begun = replace(self, shown=None, possible=tuple(dict.fromkeys((*self.packages, package))))
        begun = replace(begun, profile="") if action in PROFILED else begun
        return replace(begun, package="", waits=True) if action in ACTIVATING else begun

    def after(self, package: str, action: str, waits: bool) -> Switched:
        """Return what the guest has after an action with a package, of which something ``waits`` for a restart."""
        runs = replace(self, package=package, waits=waits) if action in ACTIVATING else self
        profile = package if action in PROFILED else self.profile or ""
        possible = () if runs.package and profile else self.possible
        return replace(runs, profile=profile, shown=package if action == "dry-activate" else None, possible=possible)


@dataclass(frozen=True)
class UpdateSource:
    """What later updates of a MicroVM build on its host."""

    flake: str
    """Empty where an update needs one that is passed to it."""
    attribute: Optional[str] = None
    """Attribute of the flake that is the package; ``None`` for the one that microvm.nix has for the MicroVM."""
    nix_arguments: Tuple[str, ...] = ()
    """Further arguments of Nix."""

    def attribute_of(self, name: str) -> str:
        """Return the attribute that is the package of the MicroVM ``name``."""
        return self.attribute or runner_attribute(name)


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
    dependencies: str = ""
    """Lines of the section [Unit] that the drop-ins of its units have."""
    ready: Optional[Ready] = None
    """The option ``ready`` of its last declaration; ``None`` where there is none."""
    state: Optional[str] = None
    """``started``, ``stopped`` or ``present``, as it was declared; ``None`` where no declaration says so."""
    refused: Optional[str] = None
    """The declared package, where that was rolled back from and is not installed again."""
    tags: Tuple[str, ...] = ()
    """Tags of its last declaration."""
    switched: Optional[Switched] = None
    """What its guest was last switched to."""
    updates: Optional[UpdateSource] = None
    """What its last declaration names for updates, with the flake that its file has by the end of the run; ``None``
    where that file says all."""

    def switched_in(self, invocation: str) -> Optional[Switched]:
        """Return the switch of a guest that runs since a start of the unit; ``None`` where there was none since."""
        is_since = self.switched is not None and invocation and self.switched.invocation == invocation
        return self.switched if is_since else None

    def generation(self, package: str) -> Optional[Generation]:
        """The last one with a package."""
        return next((generation for generation in reversed(self.generations) if generation.package == package), None)

    def ready_of(self, package: Optional[str]) -> Optional[Ready]:
        """Return how a guest of a package is known to be up: as the declaration of that package says, which need not be
        the last one."""
        generation = self.generation(package) if package else None
        return (generation.ready if generation else None) or self.ready

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
        switched = self.switched.packages if self.switched is not None else ()
        return dict.fromkeys([*good, *(package for package, _bad in newest[:count]), *used, *switched])

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
            return replace(self, refused=None)
        number = max((generation.number for generation in self.generations), default=0) + 1
        older = (generation for generation in self.generations if generation.package != package)
        generations = (*older, Generation(number, package, external=external))
        return replace(self, generations=generations, refused=None)

    def with_ready(self, package: str, ready: Ready) -> Record:
        """Return the record with how a guest of a package is known to be up."""
        generations = (
            replace(generation, ready=ready) if generation.package == package else generation
            for generation in self.generations
        )
        return replace(self, generations=tuple(generations), ready=ready)

    def marked(self, package: str, bad: bool) -> Record:
        """Return the record with all generations of a package marked bad, or good again."""
        generations = (
            replace(generation, bad=bad) if generation.package == package else generation
            for generation in self.generations
        )
        refused = None if self.refused == package and not bad else self.refused
        return replace(self, generations=tuple(generations), refused=refused)

    def rolled_back_from(self, package: str) -> Record:
        """Return the record with a package that is bad from now on, and refused if it is the declared one."""
        generation = self.generation(package)
        # Those that the command has installed have no declared readiness.
        is_declared = generation is not None and (not generation.external or generation.ready is not None)
        refused = self.refused or package if is_declared else self.refused
        return replace(self.marked(package, True), refused=refused)

    @property
    def refused_generation(self) -> Optional[Generation]:
        """The generation of the package that is refused; ``None`` where none is."""
        return self.generation(self.refused) if self.refused else None


def is_pending(record: Optional[Record], invocation: str, booted: Optional[str], current: Optional[str]) -> bool:
    """Return whether a running guest waits for a restart: it runs another package than the current one, by its boot or
    by a switch since, or something of that one takes effect with a restart only."""
    # Between two starts nothing is booted, and the next one is on its way.
    return booted is not None and Switched.of_running(record, invocation, booted).waits_with(current)


class DamagedRecord(HostError):
    """Record that cannot be used."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(
            f"the record of the MicroVM {name!r} cannot be used: {problem}. Restore the file from a backup, or move it "
            "away and run again with the declaration, which makes a new record without the older generations. Nothing "
            "is removed meanwhile, and volumes stay in any case"
        )


class AllRecords(NamedTuple):
    """Records of a host by the names of MicroVMs, and what is wrong with those that cannot be used."""

    usable: Dict[str, Record]
    damaged: Dict[str, str]


class Records:
    """Records below one directory."""

    def __init__(self, directory: str = RECORD_DIRECTORY) -> None:
        self.directory = directory

    def names(self) -> List[str]:
        """Return the names of MicroVMs that have a record; files of other names are none of ours.

        Raises HostError where whoever asks may not look.
        """
        try:
            entries = os.listdir(self.directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError:
            raise HostError(f"this user may not read {self.directory}; run the command as root") from None
        names = (entry[: -len(_SUFFIX)] for entry in entries if entry.endswith(_SUFFIX))
        return sorted(name for name in names if checks.name(name) is None)

    def has(self, name: str) -> bool:
        """Return whether a MicroVM has a record, which may be damaged."""
        return os.path.lexists(self._path(name))

    def read(self, name: str) -> Optional[Record]:
        """Return the record of a MicroVM; ``None`` where there is none. Raises DamagedRecord."""
        path = self._path(name)
        try:
            values = read_json_record(path, _RECORD)
            return None if values is None else _parse(name, values)
        except files.UnreadableFile as error:
            raise DamagedRecord(name, str(error)) from error
        except ValueError as error:
            raise DamagedRecord(name, f"{path} {error}") from error

    def read_all(self) -> AllRecords:
        """Return all records; one that is damaged hides no other."""
        every = AllRecords({}, {})
        for name in self.names():
            try:
                record = self.read(name)
            except DamagedRecord as error:
                every.damaged[name] = str(error)
            else:
                every.usable.update({name: record} if record is not None else {})
        return every

    def write(self, record: Record) -> None:
        """Write one, on the disk when this returns."""
        os.makedirs(self.directory, RECORD_DIRECTORY_MODE, exist_ok=True)
        text = json.dumps(asdict(record), indent=2, sort_keys=True) + "\n"
        files.replace_file(self._path(record.name), text.encode())

    def remove(self, name: str) -> None:
        """Forget one."""
        files.remove(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name + _SUFFIX)


def _parse(name: str, values: Dict[str, Any]) -> Record:
    """Return the record of a MicroVM, given values of the right types. Raises ValueError."""
    record = Record(
        name=values["name"],
        state_directory=values["state_directory"],
        generations=tuple(_generation(generation, values["ready"]) for generation in values["generations"]),
        user=values["user"],
        directories=tuple(values["directories"]),
        volumes=tuple(values["volumes"]),
        unit_settings=values["unit_settings"],
        dependencies=values["dependencies"],
        ready=_ready(values["ready"]),
        state=values["state"],
        refused=values["refused"],
        tags=tuple(values["tags"]),
        switched=_switched(values["switched"]),
        updates=_updates(values["updates"]),
    )
    _check(name, record)
    return record


def _generation(values: Dict[str, Any], declared: Optional[Mapping[str, object]]) -> Generation:
    """Return a generation; earlier versions have only recorded the ``ready`` of the last declaration."""
    ready = values["ready"] or (None if values["external"] else declared)
    return Generation(**{**values, "ready": _ready(ready)})


def _switched(value: Optional[Mapping[str, object]]) -> Optional[Switched]:
    if value is None:
        return None
    values = read_record(_SWITCHED, value, "switched")
    return Switched(**{**values, "possible": tuple(values["possible"])})


def _updates(value: Optional[Mapping[str, object]]) -> Optional[UpdateSource]:
    if value is None:
        return None
    values = read_record(_UPDATES, value, "updates")
    return UpdateSource(values["flake"], values["attribute"], tuple(values["nix_arguments"]))


def _ready(value: Optional[Mapping[str, object]]) -> Optional[Ready]:
    return None if value is None else cast(Ready, read_record(_READY, value, "ready"))


def _check(name: str, record: Record) -> None:
    """Raises ValueError for values that no version writes."""
    if record.name != name:
        raise ValueError(f"is the record of the MicroVM {record.name!r}")
    paths = (record.state_directory, *record.directories)
    if any(path and not path.startswith("/") for path in paths):
        raise ValueError("contains a path that is not absolute")
    packages = [generation.package for generation in record.generations]
    if not all(string.isprintable() for string in (*paths, *record.volumes, *packages, *record.tags)):
        raise ValueError("contains control characters")
    if any(not package or ("/" in package) != os.path.isabs(package) for package in packages):
        raise ValueError("contains a package that is neither a name nor an absolute path")
