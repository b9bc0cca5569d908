# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of Nix: our file of them, and the line by which Nix reads it. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from ...declaration import names
from ...declaration.types import HostSetup
from ...host.systemd import Unit
from ...schema.quoting import one_per_line, plain, section, setting, unit_assignment

INCLUDE = f"!include {posixpath.basename(names.NIX_SETTINGS)}"
"""Line of nix.conf, which is no error where the file is missing."""

USERS_GROUP = "nix-users"
"""Group of those who reach the daemon of Nix, as Debian's package makes it."""

FEATURES = ("nix-command", "flakes")
PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/nix/var/nix/profiles/default/bin"
"""Directories of Nix's programs, of the distribution and of Nix's own installer."""

_INCLUDES_CUSTOM = re.compile(
    rf"^\s*!?include\s+({re.escape(names.NIX_CUSTOM_CONFIGURATION)}|"
    rf"{re.escape(posixpath.basename(names.NIX_CUSTOM_CONFIGURATION))})\s*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class NixState:
    """Nix of a host, as far as it is of interest to the setup."""

    is_installed: bool = False
    configuration: str = names.NIX_CONFIGURATION
    """File that our line belongs in."""
    text: Optional[str] = None
    """Its content, or ``None`` if there is no such file."""
    mode: int = 0o644
    obstacle: str = ""
    """Reason why the file is not ours to change; empty if there is none."""
    units: Mapping[str, Unit] = field(default_factory=dict)
    """State of the timer, and of the daemon and its socket."""
    is_daemon_stale: bool = False
    """True if the daemon runs, and settings have changed since it was started."""
    outside: Tuple[str, ...] = ()
    """Trusted users whom the daemon would not let in, since they are not in its group."""
    unknown: Tuple[str, ...] = ()
    """Trusted users whom the host does not have."""
    warnings: Tuple[str, ...] = ()
    """What Nix warns of in the settings that it is to read."""
    mistake: str = ""
    """Reason why Nix could not read the settings; empty if it can, or is not installed."""


def place_of_line(text: str) -> str:
    """Return the file that the line belongs in, given the content of ``nix.conf``."""
    return names.NIX_CUSTOM_CONFIGURATION if _INCLUDES_CUSTOM.search(text) else names.NIX_CONFIGURATION


def has_line(text: str) -> bool:
    """Return whether a configuration includes our settings."""
    return any(_is_line(line) for line in text.splitlines())


def with_line(text: str) -> str:
    """Return a configuration that includes our settings, after all others."""
    if has_line(text):
        return text
    ending = "" if not text or text.endswith("\n") else "\n"
    return text + ending + one_per_line([INCLUDE])


def without_line(text: str) -> str:
    """Return a configuration as it was without our settings."""
    return "".join(line for line in text.splitlines(keepends=True) if not _is_line(line))


def _is_line(line: str) -> bool:
    return line.split() == INCLUDE.split()


def configured_lines(setup: HostSetup) -> str:
    """Return the lines of our file. The operators' own settings come first, so that nothing replaces what is added."""
    return one_per_line(
        (
            *(f"{name} = {_text(value)}".rstrip() for name, value in sorted(setup["nix_settings"].items())),
            f"extra-experimental-features = {' '.join(FEATURES)}",
            *_added("trusted-public-keys", setup["nix_trusted_keys"]),
            *_added("trusted-users", setup["nix_trusted_users"]),
            *_added("substituters", setup["nix_substituters"]),
        )
    )


def _added(name: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"extra-{name} = {' '.join(values)}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(map(_text, value)) if isinstance(value, (list, tuple)) else str(value)


def garbage_units(age: str) -> Mapping[str, str]:
    """Return the units that collect garbage once a day, by name."""
    service = section("Unit", ["Description=Collect the garbage of Nix's store\n"]) + section(
        "Service",
        [
            "Type=oneshot\n",
            setting("Environment", unit_assignment("PATH", plain(PROGRAMS))),
            setting("ExecStart", *map(plain, ("/usr/bin/env", "nix-collect-garbage", "--delete-older-than", age))),
            # What MicroVMs and their users wait for goes first.
            "IOSchedulingClass=idle\n",
            "CPUSchedulingPolicy=batch\n",
        ],
    )
    timer = section("Unit", ["Description=Collect the garbage of Nix's store once a day\n"]) + section(
        "Timer", ["OnCalendar=daily\n", "RandomizedDelaySec=1h\n", "Persistent=true\n"]
    )
    return {
        names.NIX_GARBAGE_SERVICE: service,
        names.NIX_GARBAGE_TIMER: timer + section("Install", ["WantedBy=timers.target\n"]),
    }
