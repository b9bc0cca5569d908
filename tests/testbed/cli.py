# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import bed as beds
from . import cache, inventory, network, requirements, ssh, trees
from .commands import BedError, write_aside
from .kinds import KINDS
from .paths import Bed
from .paths import beds as all_beds


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = parser().parse_args(words)
    os.umask(0o022)
    try:
        requirements.check()
        arguments.run(arguments)
    except BedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("testbed: interrupted; `down` removes what is there", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="testbed", description="Throw-away Debian hosts for Ansible.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", metavar="BED", default="default", help="the bed (default: %(default)s)")

    command = commands.add_parser("up", parents=[common], help="start hosts; those that run stay")
    command.add_argument("count", type=int, metavar="N", help="host1 to hostN will run")
    command.add_argument("--suite", choices=trees.SUITES, default=trees.SUITES[0], help="default: %(default)s")
    command.add_argument("--kind", choices=KINDS, default="container", help="default: %(default)s")
    command.set_defaults(run=_up)

    command = commands.add_parser("down", parents=[common], help="stop the hosts and remove all of the bed")
    command.add_argument("--all", action="store_true", help="of every bed")
    command.set_defaults(run=_down)

    command = commands.add_parser("inventory", parents=[common], help="print an Ansible inventory")
    command.add_argument("--output", type=Path, metavar="FILE", help="write it there instead")
    command.set_defaults(run=_inventory)

    command = commands.add_parser("status", help="list beds and hosts")
    command.set_defaults(run=_status)

    command = commands.add_parser("ssh", aliases=["shell"], parents=[common], help="a shell or a command on a host")
    command.add_argument("host", metavar="HOST")
    command.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    command.set_defaults(run=_ssh)

    command = commands.add_parser("exec", parents=[common], help="a command of this machine in the bed's network")
    command.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    command.set_defaults(run=_exec)

    command = commands.add_parser("clean", help="remove all beds and what is cached")
    command.set_defaults(run=_clean)
    return top


def _up(arguments: argparse.Namespace) -> None:
    begin = time.monotonic()
    beds.up(Bed(arguments.name), arguments.count, arguments.kind, arguments.suite)
    print(f"bed {arguments.name}: {arguments.count} ready in {time.monotonic() - begin:.1f} s", file=sys.stderr)


def _down(arguments: argparse.Namespace) -> None:
    for bed in all_beds() if arguments.all else [Bed(arguments.name)]:
        beds.down(bed)
    beds.remove_unfinished_builds()


def _inventory(arguments: argparse.Namespace) -> None:
    bed = Bed(arguments.name)
    hosts = bed.hosts()
    if not hosts:
        raise BedError(f"bed {bed.name} has no hosts; `up` makes them")
    text = inventory.render(bed, hosts)
    if arguments.output:
        write_aside(arguments.output, text)
    else:
        sys.stdout.write(text)


def _status(_arguments: argparse.Namespace) -> None:
    for bed in all_beds():
        for name, address, state in beds.status(bed):
            print(f"{bed.name:20} {name:8} {address:15} {state}")


def _ssh(arguments: argparse.Namespace) -> None:
    ssh.become(beds.find(Bed(arguments.name), arguments.host), arguments.words)


def _exec(arguments: argparse.Namespace) -> None:
    network.become(Bed(arguments.name), arguments.words)


def _clean(_arguments: argparse.Namespace) -> None:
    for bed in all_beds():
        beds.down(bed)
    cache.clean()
