# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switches of running guests to the system of another package, in place of a restart. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional, cast

from ...declaration.names import NIX_STORE
from ...declaration.switch_actions import ACTIVATING
from ...host.guest_shell import GuestLogin
from ...runner.package import COMMAND_LINE_FILE, DECLARATION_FILE, RUN_SCRIPT, SHARE, File

SYSTEM_FILE = f"{SHARE}/system"
"""Link of a package to the system of its guest."""

Files = Mapping[str, File]

_SOURCE = re.compile(rf"{SHARE}/virtiofs/[^/]+/source")
_SHARED_PATH = re.compile(rf"path={NIX_STORE}(?![^,\s'\"])")
_REGISTRATION = re.compile(rf"regInfo={NIX_STORE}/[^\s'\"]+")


@dataclass(frozen=True)
class Switch:
    """Switch of a running guest to a system that it sees in the host's store."""

    action: str
    """Argument of the system's program switch-to-configuration."""
    system: str = ""
    login: GuestLogin = field(default_factory=lambda: GuestLogin(""))
    waits: bool = True
    """True if something of the package takes effect with a restart only."""
    problem: str = ""
    """Reason why the guest cannot be switched."""

    @property
    def is_possible(self) -> bool:
        """Return whether the guest can be switched."""
        return not self.problem

    @property
    def activates(self) -> bool:
        """Return whether the guest will run the new system."""
        return self.action in ACTIVATING


def system_of(files: Files) -> Optional[str]:
    """Return the system of a package's guest, in the store of Nix; ``None`` for a package that has none there."""
    link = files.get(SYSTEM_FILE)
    path = link.content.decode(errors="replace") if link is not None and link.is_link else ""
    return path if path.startswith(f"{NIX_STORE}/") else None


def shares_store(files: Files) -> bool:
    """Return whether the guest of a package has the host's store as a share."""
    sources = (file.content.decode(errors="replace").strip() for path, file in files.items() if _SOURCE.fullmatch(path))
    if NIX_STORE in sources:
        return True
    if DECLARATION_FILE in files:
        declared = _json(files[DECLARATION_FILE].content)
        shares = declared.get("shares") if isinstance(declared, dict) else None
        return any(isinstance(share, dict) and share.get("source") == NIX_STORE for share in shares or ())
    # microvm.nix lists shares by 9p in their command line only.
    return bool(_SHARED_PATH.search(_text(files, RUN_SCRIPT)))


def needs_restart(before: Files, after: Files) -> bool:
    """Return whether packages differ in more than the system: in the machine that their hypervisor makes."""
    return _machine(before) != _machine(after)


def _machine(files: Files) -> Dict[str, str]:
    """Return the files of a package without the path of its system, and that of the system's registration."""
    system = system_of(files)
    texts = {path: _REGISTRATION.sub("regInfo=", _text(files, path)) for path in files if path not in _OF_SYSTEM}
    return {path: text.replace(system, "SYSTEM") if system else text for path, text in texts.items()}


_OF_SYSTEM = (SYSTEM_FILE, DECLARATION_FILE, COMMAND_LINE_FILE)
"""Files that say nothing beside the scripts of the same package."""


def _json(content: bytes) -> object:
    """Return what a file says; ``None`` for a damaged one."""
    try:
        return cast(object, json.loads(content))
    except ValueError:
        return None


def _text(files: Files, path: str) -> str:
    return files[path].content.decode(errors="replace") if path in files else ""
