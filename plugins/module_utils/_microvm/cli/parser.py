# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parser of the command ``microvm``. Its man page and its completion are made from this."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..declaration.names import ARCHIVE_DIRECTORY, STATE_DIRECTORY
from ..hypervisors.profiles import PROFILES
from ..schema import checks
from .platforms import PLATFORMS, own_platform

DESCRIPTION = "MicroVMs on plain Linux hosts: what runs, what is installed, and how to change it."

EPILOG = """\
The short forms of microvm.nix's handbook: -l is list, -c NAME [-f FLAKE] create, -u NAME… [-R] update, -r NAME run,
-s NAME ssh. Exit status: 0 done, 1 something is wrong, 2 wrong usage, or, of list, a restart is pending."""

FILE = "YAML or JSON: a declaration, a list of them, or a mapping with microvm_vms; - is standard input"

VM = "NAME"
"""Operands that completion fills with the MicroVMs of the host."""

DEFAULT_FLAKE = "git+file:///etc/nixos"
"""microvm.nix's."""

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """All commands; ``run`` of what is parsed names who does it, as ``MODULE:FUNCTION`` of ``commands``."""
    root = argparse.ArgumentParser(prog="microvm", description=DESCRIPTION, epilog=EPILOG)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_see, _turn, _install, _generations, _guest, _clear, _files):
        add(commands)
    return root


def _name(text: str) -> str:
    """A MicroVM's name, or what is wrong with it: it becomes part of paths."""
    wrong = checks.name(text)
    if wrong:
        raise argparse.ArgumentTypeError(f"{text!r} {wrong}")
    return text


def _command(commands: Commands, name: str, run: str, title: str, more: str = "") -> argparse.ArgumentParser:
    description = f"{title[0].upper()}{title[1:]}. {more}".strip()
    one = commands.add_parser(name, help=title, description=description)
    one.set_defaults(run=run)
    return one


def _on_host(commands: Commands, name: str, run: str, title: str, more: str = "") -> argparse.ArgumentParser:
    one = _command(commands, name, run, title, more)
    one.add_argument(
        "--state-dir", metavar="DIR", default=STATE_DIRECTORY, help="of the MicroVMs (default: %(default)s)"
    )
    return one


def _check(one: argparse.ArgumentParser) -> None:
    one.add_argument("--check", action="store_true", help="only say what would be done")


def _diff(one: argparse.ArgumentParser) -> None:
    one.add_argument("--diff", action="store_true", help="show declarations, command lines and steps")


def _no_wait(one: argparse.ArgumentParser) -> None:
    one.add_argument("--no-wait", action="store_true", help="return at once")


def _see(commands: Commands) -> None:
    one = _on_host(
        commands,
        "list",
        "list:list_vms",
        "list the MicroVMs of the host",
        "The exit status is 2 where a MicroVM runs another package than its next start would: restart it, or see "
        "info. Colours are used on a terminal, unless NO_COLOR is set. PENDING says yes for such a MicroVM.",
    )
    one.add_argument("--json", action="store_true", help="everything that is known, as a JSON list")
    one = _on_host(commands, "info", "info:info", "say everything that is known of a MicroVM")
    one.add_argument("name", metavar=VM, type=_name)
    one.add_argument("--json", action="store_true", help="as JSON")
    one = _on_host(
        commands,
        "logs",
        "guests:logs",
        "show the journal of a MicroVM and its helpers",
        "The console is in it too, but for what systemd drops where a guest floods it.",
    )
    one.add_argument("name", metavar=VM, type=_name)
    one.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    one.add_argument("-n", "--lines", type=int, metavar="N", help="only the last N lines")


def _turn(commands: Commands) -> None:
    one = _on_host(
        commands,
        "start",
        "lifecycle:start",
        "start MicroVMs",
        "Waits until their guests are up, as `ready` of their declarations says; else until their units are active.",
    )
    _names(one)
    _no_wait(one)
    one = _on_host(commands, "stop", "lifecycle:stop", "ask guests to end, and wait until they have")
    _names(one)
    _no_wait(one)
    one = _on_host(
        commands, "restart", "lifecycle:restart", "stop and start MicroVMs", "They run their current packages then."
    )
    _names(one)
    _no_wait(one)


def _names(one: argparse.ArgumentParser) -> None:
    one.add_argument("names", metavar=VM, nargs="+", type=_name)


def _install(commands: Commands) -> None:
    _create(commands)
    one = _on_host(
        commands,
        "update",
        "install:update",
        "install MicroVMs anew",
        "From the flakes that they were built from, or from what is given. What runs goes on until it is restarted.",
    )
    _names(one)
    one.add_argument("-R", "--restart", action="store_true", help="restart what has changed, start what is down")
    _source(one)
    _check(one)
    _diff(one)
    one = _on_host(
        commands,
        "apply",
        "install:apply",
        "bring MicroVMs into their declared state",
        "Installs, starts, restarts, stops and removes as the module microvm_vms does, and says what it did. Images "
        "are those of the file's microvm_images that have a path, and those of the host by name. The exit status is 1 "
        "where a MicroVM did not reach its state.",
    )
    one.add_argument("file", metavar="FILE", help=FILE)
    one.add_argument("names", metavar=VM, nargs="*", type=_name, help="only these")
    _diff(one)
    one.add_argument("--parallel", type=int, default=4, metavar="N", help="at a time (default: %(default)s)")
    _check(one)


def _create(commands: Commands) -> None:
    one = _on_host(
        commands,
        "create",
        "install:create",
        "install a MicroVM that the host does not have",
        "It is not started, unless its declaration has a state.",
    )
    one.add_argument("name", metavar="NEW_NAME", type=_name)
    _source(one, required=True)
    _check(one)
    _diff(one)


def _source(one: argparse.ArgumentParser, required: bool = False) -> None:
    source = one.add_mutually_exclusive_group(required=required)
    source.add_argument("--file", metavar="FILE", help=FILE)
    source.add_argument(
        "--package",
        metavar="DIRECTORY",
        help="any directory with bin/microvm-run; it is copied, unless it lies in /nix/store",
    )
    source.add_argument(
        "-f",
        "--flake",
        metavar="FLAKE",
        help=f"builds nixosConfigurations.NAME by Nix (with the short form -c, by default {DEFAULT_FLAKE})",
    )


def _generations(commands: Commands) -> None:
    one = _on_host(
        commands,
        "generations",
        "generations:generations",
        "list the packages of a MicroVM that are kept",
        "One that is marked bad is not installed again, and not rolled back to.",
    )
    one.add_argument("name", metavar=VM, type=_name)
    which = one.add_mutually_exclusive_group()
    which.add_argument("--good", type=int, metavar="N", help="mark generation N good")
    which.add_argument("--bad", type=int, metavar="N", help="mark generation N bad")
    _check(one)
    one.add_argument("--json", action="store_true", help="as JSON")
    one = _on_host(
        commands,
        "rollback",
        "generations:rollback",
        "go back to a kept package",
        "By default to the newest older one that is not bad. Restarts the MicroVM if it runs, and waits until its "
        "guest is up. The generation that is left is marked bad, so that the next run of Ansible does not install it "
        "again.",
    )
    one.add_argument("name", metavar=VM, type=_name)
    one.add_argument("number", metavar="N", nargs="?", type=int, help="the generation, see generations")
    one.add_argument("--keep", action="store_true", help="do not mark the one that is left")
    _check(one)
    _diff(one)
    _no_wait(one)


def _guest(commands: Commands) -> None:
    one = _on_host(
        commands,
        "console",
        "console:console",
        "attach the serial console of a MicroVM that runs",
        "Ctrl-] detaches; the MicroVM goes on. Where standard input is no terminal, it is copied to the guest, and the "
        "command ends when the console has been silent for a while.",
    )
    one.add_argument("name", metavar=VM, type=_name)
    one.add_argument(
        "--linger", type=float, default=1.0, metavar="SECONDS", help="how long that is (default: %(default)s)"
    )
    one = _on_host(
        commands,
        "ssh",
        "guests:ssh",
        "log in to a guest, or run a command there",
        "By its static address, else by its vsock. The key of a guest is remembered by the MicroVM's name when it is "
        "first seen, and must be the same from then on.",
    )
    one.add_argument("-l", "--login", metavar="USER", default="root", help="default: %(default)s")
    one.add_argument("name", metavar=VM, type=_name)
    one.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER)
    one = _on_host(commands, "balloon", "guests:balloon", "take memory from a guest that runs, or give it back")
    one.add_argument("name", metavar=VM, type=_name)
    one.add_argument(
        "size", metavar="MIB", help="what the balloon takes; more or, with a minus, less, where only that can be set"
    )
    one = _on_host(
        commands,
        "run",
        "run:run_foreground",
        "run a MicroVM in the foreground",
        "As its user, with its interfaces, until its guest ends or Ctrl-] is pressed three times within a second. "
        "Refused while it runs as a service.",
    )
    one.add_argument("name", metavar=VM, type=_name)


def _clear(commands: Commands) -> None:
    one = _on_host(
        commands,
        "remove",
        "remove:remove",
        "remove MicroVMs, but for their volumes",
        "Takes away what the MicroVM was given, and nothing else.",
    )
    _names(one)
    one.add_argument(
        "--volumes",
        choices=("keep", "archive", "delete"),
        default="keep",
        help=f"keep them where they are, move them to {ARCHIVE_DIRECTORY}, or delete them (default: %(default)s)",
    )
    one.add_argument("--confirm", metavar="IMAGE", action="append", help="a volume that may be deleted; once for each")
    one.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _check(one)
    one = _on_host(
        commands,
        "gc",
        "collect_garbage:collect_garbage",
        "remove packages and images that nothing refers to",
        "Links, kept generations and recorded ones refer to packages, kept packages to images. Images of less than an "
        "hour stay, and all that belongs to a MicroVM that another run is at work on.",
    )
    _check(one)


def _files(commands: Commands) -> None:
    one = _command(
        commands,
        "render",
        "render:render_file",
        "make runner packages, without a host",
        "Of each MicroVM, on standard output its command line, unless --json or --output says otherwise. The exit "
        "status is 1 where a MicroVM is refused.",
    )
    one.add_argument("file", metavar="FILE", help=FILE)
    one.add_argument("--name", help="only this MicroVM")
    one.add_argument("--hypervisor", choices=tuple(PROFILES), help="in place of the declared one")
    form = one.add_mutually_exclusive_group()
    form.add_argument("--output", metavar="DIR", help="write the package to DIR; of several MicroVMs, to DIR/NAME each")
    form.add_argument("--json", action="store_true", help="print command lines, files, digests and refusals as JSON")
    _platform(one)
    one = _command(
        commands,
        "validate",
        "render:validate_files",
        "look whether declarations are right",
        "Says of each file what is wrong with it. The exit status is 1 where anything is.",
    )
    one.add_argument("files", metavar="FILE", nargs="+", help=FILE)
    _platform(one)


def _platform(one: argparse.ArgumentParser) -> None:
    one.add_argument("--platform", choices=PLATFORMS, default=own_platform(), help="of the host (default: this one)")
