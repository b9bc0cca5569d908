# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a declaration to a runner package, in microvm.nix's layout."""

from __future__ import annotations

import json
import posixpath
from typing import Any, Dict, List, Tuple

from ..declaration.guest import credentials
from ..declaration.parse import Declaration
from ..declaration.vm_options import PACKAGE_OPTIONS
from ..hypervisors.interface import Command, HostFacts
from ..hypervisors.registry import command
from . import scripts
from .package import File, Package

DECLARATION_FILE = "share/microvm/declaration.json"
COMMAND_LINE_FILE = "share/microvm/command-line"


def render(declaration: Declaration, facts: HostFacts, path: str = "") -> Package:
    """Raises DeclarationError, with a path below ``path``, for what the hypervisor cannot do."""
    built = command(declaration, facts, path)
    files = {**_scripts(declaration, built), **_share(declaration, built)}
    return Package(declaration["name"], {name: files[name] for name in sorted(files)})


def program(declaration: Declaration, facts: HostFacts, path: str = "") -> str:
    """The program that a package runs. Raises DeclarationError as ``render`` does."""
    return str(command(declaration, facts, path).argv[0].parts[0])


def writable_paths(declaration: Declaration) -> Tuple[str, ...]:
    """What the MicroVM's process writes outside of its state directory: paths of files and directories."""
    volumes = [volume["image"] for volume in declaration["volumes"] if not volume["read_only"]]
    # An image that is yet to be made needs a directory to be made in.
    volumes = [posixpath.dirname(image) for image in volumes if image.startswith("/")]
    shares = [share["source"] for share in declaration["shares"] if not share["read_only"]]
    sockets = [posixpath.dirname(declaration["socket"])] if declaration["socket"].startswith("/") else []
    return tuple(sorted({*volumes, *shares, *sockets}))


def external_directories(declaration: Declaration) -> Tuple[str, ...]:
    """Directories outside of the state directory that must be there before the MicroVM starts."""
    return tuple(sorted({*writable_paths(declaration), *(share["source"] for share in declaration["shares"])}))


def _taps(declaration: Declaration) -> List[Dict[str, Any]]:
    return [interface for interface in declaration["interfaces"] if interface["type"] == "tap"]


def _scripts(declaration: Declaration, built: Command) -> Dict[str, File]:
    name, taps = declaration["name"], _taps(declaration)
    texts = {
        "microvm-run": scripts.microvm_run(name, built.argv, declaration["socket"], declaration["volumes"]),
    }
    if built.shutdown is not None:
        texts["microvm-shutdown"] = scripts.microvm_shutdown(name, built.shutdown)
    if taps:
        texts["tap-up"] = scripts.tap_up(name, taps, built.tap_flags)
        texts["tap-down"] = scripts.tap_down(name, taps)
    return {f"bin/{script}": File(text.encode(), executable=True) for script, text in texts.items()}


def _share(declaration: Declaration, built: Command) -> Dict[str, File]:
    texts = {
        "share/microvm/hypervisor": f"{declaration['hypervisor']}\n",
        "share/microvm/tap-flags": _lines(built.tap_flags),
        COMMAND_LINE_FILE: scripts.command_line(built.argv),
        DECLARATION_FILE: json.dumps(recorded(declaration), indent=2, sort_keys=True) + "\n",
    }
    taps = [tap["id"] for tap in _taps(declaration)]
    if taps:
        texts["share/microvm/tap-interfaces"] = _lines(taps)
    for credential, text in credentials(declaration).items():
        texts[f"share/microvm/credentials/{credential}"] = text
    return {path: File(text.encode()) for path, text in texts.items()}


def recorded(declaration: Declaration) -> Dict[str, Any]:
    """What of a declaration determines its package."""
    return {option.name: declaration[option.name] for option in PACKAGE_OPTIONS}


def _lines(lines: Any) -> str:
    return "".join(f"{line}\n" for line in lines)
