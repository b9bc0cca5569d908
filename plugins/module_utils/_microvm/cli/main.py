# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command ``microvm``: what it is asked, and who does it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional

from ..declaration.names import HYPERVISORS
from .output import complain
from .platforms import PLATFORMS, own_platform
from .source import SourceError
from .work import render, validate

_FILE = "YAML or JSON: a declaration, a list of them, or a mapping with microvm_vms; - is standard input"


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    root = argparse.ArgumentParser(prog="microvm", description="MicroVMs on plain Linux hosts.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser(
        "render",
        help="make runner packages",
        description="Makes the runner package of each MicroVM: on standard output its command line, unless --json or "
        "--output says otherwise. The exit status is 1 where a MicroVM is refused.",
    )
    one.add_argument("file", metavar="FILE", help=_FILE)
    one.add_argument("--name", help="only this MicroVM")
    one.add_argument("--hypervisor", choices=HYPERVISORS, help="in place of the declared one")
    form = one.add_mutually_exclusive_group()
    form.add_argument("--output", metavar="DIR", help="write the package to DIR; of several MicroVMs, to DIR/NAME each")
    form.add_argument("--json", action="store_true", help="print command lines, files, digests and refusals as JSON")
    many = commands.add_parser(
        "validate",
        help="look whether declarations are right",
        description="Says of each file what is wrong with it. The exit status is 1 where anything is.",
    )
    many.add_argument("files", metavar="FILE", nargs="+", help=_FILE)
    for command in (one, many):
        command.add_argument(
            "--platform", choices=PLATFORMS, default=own_platform(), help="of the host (default: %(default)s)"
        )
    return root


def main(arguments: Optional[List[str]] = None) -> int:
    """Do what is asked; returns the exit status."""
    asked = parser().parse_args(arguments)
    try:
        if asked.command == "render":
            return render(asked.file, asked.name, asked.hypervisor, asked.platform, asked.output, asked.json)
        return validate(asked.files, asked.platform)
    except SourceError as error:
        complain(f"microvm: {error}")
        return 1
    except BrokenPipeError:
        # Who reads has enough; the interpreter shall not complain of it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
