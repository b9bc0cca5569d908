# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parser of the command ``microvm``, from which its man page and its completion are generated."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Dict

from ..declaration.names import ARCHIVE_DIRECTORY, HOST_SETTINGS, RUNNER_ATTRIBUTE
from ..declaration.switch_actions import ACTIONS
from ..hypervisors.profiles import PROFILES
from ..schema import checks
from .platforms import PLATFORMS, own_platform

DESCRIPTION = "Inspect, install and control the MicroVMs of a host."

EPILOG = """\
Short forms of microvm.nix's command: -l is list --evaluate, -c NAME [-f FLAKE] create, -u NAME… [-R] update,
-r NAME run, -s NAME ssh. Exit status: 0 success, 1 failure, 2 wrong usage; for list, 2 where a restart is pending or a
package is refused, 3 where a MicroVM is down or has failed."""

FILE = "YAML or JSON file with a declaration, a list of them, or a mapping with microvm_vms; - is standard input"

VM = "NAME"
"""Operands that completion fills with the MicroVMs of the host."""

DEFAULT_FLAKE = "git+file:///etc/nixos"
"""Flake that microvm.nix's command uses by default."""

_ACTION: Dict[str, Any] = {
    "choices": ACTIONS,
    "default": "switch",
    "help": "what to do in the guest, as with nixos-rebuild (default: %(default)s)",
}
"""Operand or option of commands that switch guests."""

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """All commands; ``run`` of what is parsed names who does it, as ``MODULE:FUNCTION`` of ``commands``."""
    root = argparse.ArgumentParser(prog="microvm", description=DESCRIPTION, epilog=EPILOG)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_inspection, _control, _install, _generations, _guest, _removal, _files):
        add(commands)
    return root


def _name(text: str) -> str:
    """A MicroVM's name, or what is wrong with it: it becomes part of paths."""
    wrong = checks.name(text)
    if wrong:
        raise argparse.ArgumentTypeError(wrong)
    return text


def _positive(text: str) -> int:
    """Return a number of at least 1. Raises ArgumentTypeError."""
    wrong = checks.positive(int(text)) if text.isdecimal() else f"{text!r} is not a number"
    if wrong:
        raise argparse.ArgumentTypeError(wrong)
    return int(text)


def _port(text: str) -> int:
    """Return the number of a port. Raises ArgumentTypeError."""
    wrong = checks.port(int(text)) if text.isdecimal() else f"{text!r} is not a number"
    if wrong:
        raise argparse.ArgumentTypeError(wrong)
    return int(text)


def _command(commands: Commands, name: str, run: str, title: str, more: str = "") -> argparse.ArgumentParser:
    description = f"{title[0].upper()}{title[1:]}. {more}".strip()
    subparser = commands.add_parser(name, help=title, description=description)
    subparser.set_defaults(run=run)
    return subparser


def _on_host(commands: Commands, name: str, run: str, title: str, more: str = "") -> argparse.ArgumentParser:
    subparser = _command(commands, name, run, title, more)
    subparser.add_argument(
        "--state-dir",
        metavar="DIR",
        help=f"state directory of the MicroVMs (default: that of the host, see {HOST_SETTINGS})",
    )
    return subparser


def _check(subparser: argparse.ArgumentParser) -> None:
    subparser.add_argument("--check", action="store_true", help="only show what would be done")


def _diff(subparser: argparse.ArgumentParser) -> None:
    subparser.add_argument(
        "--diff", action="store_true", help="show differences of declarations, command lines and steps"
    )


def _no_wait(subparser: argparse.ArgumentParser) -> None:
    subparser.add_argument("--no-wait", action="store_true", help="do not wait for the result")


def _inspection(commands: Commands) -> None:
    subparser = _on_host(
        commands,
        "list",
        "list:list_vms",
        "list the MicroVMs of the host",
        "The column CONDITION and the exit status show whether the MicroVMs are as they were declared: ok (0); "
        "pending, a different package than the running one waits for a restart, or refused, the declared package is "
        "marked bad (2); down, it should run and does not, or failed, its unit or a helper unit has failed (3). Lines "
        "on standard error say why, and what to do. Colours are used on a terminal unless NO_COLOR is set.",
    )
    subparser.add_argument("names", metavar=VM, nargs="*", type=_name, help="only these; all by default")
    subparser.add_argument("--tag", metavar="TAG", help="only those with this tag")
    subparser.add_argument(
        "--evaluate",
        action="store_true",
        help="evaluate the flakes that MicroVMs were built from, which takes time, and tell which MicroVMs are "
        "outdated; the exit status is 2 where any is, and 1 where a flake does not evaluate",
    )
    subparser.add_argument("--json", action="store_true", help="print all information as a JSON list")
    subparser = _on_host(commands, "info", "info:info", "show all information about a MicroVM")
    subparser.add_argument("name", metavar=VM, type=_name)
    subparser.add_argument("--json", action="store_true", help="print JSON")
    subparser = _on_host(
        commands,
        "logs",
        "guests:logs",
        "show the journal of a MicroVM and its helper units",
        "It includes the console of the guest, except for lines that the rate limit of the journal drops.",
    )
    subparser.add_argument("name", metavar=VM, type=_name)
    subparser.add_argument("-f", "--follow", action="store_true", help="follow the journal")
    subparser.add_argument("-n", "--lines", type=int, metavar="N", help="show only the last N lines")


def _control(commands: Commands) -> None:
    subparser = _on_host(
        commands,
        "start",
        "lifecycle:start_vms",
        "start MicroVMs",
        "Waits until their guests are up according to the option `ready`, or until their units are active if it is "
        "not declared.",
    )
    _names(subparser)
    _no_wait(subparser)
    subparser = _on_host(commands, "stop", "lifecycle:stop_vms", "shut guests down and wait until they have stopped")
    _names(subparser)
    _no_wait(subparser)
    subparser = _on_host(
        commands, "restart", "lifecycle:restart_vms", "stop and start MicroVMs", "They then run their current packages."
    )
    _names(subparser)
    _no_wait(subparser)


def _names(subparser: argparse.ArgumentParser) -> None:
    subparser.add_argument("names", metavar=VM, nargs="+", type=_name)


def _install(commands: Commands) -> None:
    _create(commands)
    subparser = _on_host(
        commands,
        "update",
        "install:update",
        "install new packages of MicroVMs",
        "Uses the flakes that they were built from, unless another source is passed. A running MicroVM keeps its "
        "package until it is restarted.",
    )
    _names(subparser)
    subparser.add_argument(
        "-R", "--restart", action="store_true", help="restart changed MicroVMs and start stopped ones"
    )
    _source(subparser)
    _check(subparser)
    _diff(subparser)
    _rebuild(commands)
    subparser = _on_host(
        commands,
        "apply",
        "install:apply",
        "bring MicroVMs to their declared state",
        "Installs, starts, restarts, stops and removes MicroVMs like the module microvm_vms and prints the steps. "
        "Declarations may refer to images in the file's microvm_images that have a path, and to images that are "
        "installed on the host. The exit status is 1 if a MicroVM does not reach its state.",
    )
    subparser.add_argument("file", metavar="FILE", help=FILE)
    subparser.add_argument("names", metavar=VM, nargs="*", type=_name, help="apply only these MicroVMs")
    _diff(subparser)
    subparser.add_argument(
        "--parallel",
        type=_positive,
        default=4,
        metavar="N",
        help="maximum number to start or stop at a time (default: %(default)s)",
    )
    _check(subparser)


def _rebuild(commands: Commands) -> None:
    subparser = _on_host(
        commands,
        "rebuild",
        "rebuild:rebuild",
        "build MicroVMs from their flakes, and let them run what was built",
        "Evaluates and builds like update, and installs a MicroVM that is not there yet if a flake is passed. A "
        "running guest that has the host's /nix/store as a share is switched to the new system, see microvm switch; "
        "any other is restarted, and one that is down is started. The actions boot and dry-activate start and restart "
        "nothing.",
    )
    _names(subparser)
    subparser.add_argument("-f", "--flake", metavar="FLAKE", help="flake to build from, instead of the recorded one")
    _attribute(subparser)
    subparser.add_argument("--action", **_ACTION)
    _check(subparser)
    _diff(subparser)


def _create(commands: Commands) -> None:
    subparser = _on_host(
        commands,
        "create",
        "install:create_vm",
        "install a new MicroVM",
        "The MicroVM is not started, unless its declaration sets a state.",
    )
    subparser.add_argument("name", metavar="NEW_NAME", type=_name)
    _source(subparser, required=True)
    _check(subparser)
    _diff(subparser)


def _source(subparser: argparse.ArgumentParser, required: bool = False) -> None:
    source = subparser.add_mutually_exclusive_group(required=required)
    source.add_argument("--file", metavar="FILE", help=FILE)
    source.add_argument(
        "--package",
        metavar="DIRECTORY",
        help="directory with bin/microvm-run; it is copied, unless it is in /nix/store",
    )
    source.add_argument(
        "-f",
        "--flake",
        metavar="FLAKE",
        help=f"build the package with Nix (default of the short form -c: {DEFAULT_FLAKE})",
    )
    _attribute(subparser)


def _attribute(subparser: argparse.ArgumentParser) -> None:
    subparser.add_argument(
        "--attribute",
        metavar="ATTRIBUTE",
        help="attribute of the flake that is the package, also for later updates (default: the recorded one, or "
        f"{RUNNER_ATTRIBUTE.format(name='NAME')})",
    )


def _generations(commands: Commands) -> None:
    subparser = _on_host(
        commands,
        "generations",
        "generations:generations",
        "list the generations of a MicroVM, or mark one of them",
        "A generation that is marked bad is neither installed again nor selected by a rollback.",
    )
    subparser.add_argument("name", metavar=VM, type=_name)
    which = subparser.add_mutually_exclusive_group()
    which.add_argument("--good", type=int, metavar="N", help="mark generation N good")
    which.add_argument("--bad", type=int, metavar="N", help="mark generation N bad")
    _check(subparser)
    subparser.add_argument("--json", action="store_true", help="print JSON")
    subparser = _on_host(
        commands,
        "rollback",
        "generations:rollback",
        "return to an older generation",
        "Selects the newest older generation that is not marked bad, unless a number is passed. Restarts a running "
        "MicroVM and waits until its guest is up. The generation that was current is marked bad, so that the next run "
        "of Ansible does not install it again.",
    )
    subparser.add_argument("name", metavar=VM, type=_name)
    subparser.add_argument(
        "number", metavar="N", nargs="?", type=int, help="number of the generation; see: microvm generations"
    )
    subparser.add_argument("--keep", action="store_true", help="do not mark the current generation bad")
    _check(subparser)
    _diff(subparser)
    _no_wait(subparser)


def _guest(commands: Commands) -> None:
    subparser = _on_host(
        commands,
        "console",
        "console:console",
        "attach to the serial console of a running MicroVM",
        "Ctrl-] detaches and leaves the MicroVM running. If standard input is not a terminal, it is copied to the "
        "guest, and the command exits after the console has been silent for a while.",
    )
    subparser.add_argument("name", metavar=VM, type=_name)
    subparser.add_argument(
        "--linger", type=float, default=1.0, metavar="SECONDS", help="length of that silence (default: %(default)s)"
    )
    subparser = _on_host(
        commands,
        "ssh",
        "guests:ssh",
        "log in to a guest or run a command in it",
        "Connects to the static address of the guest, or else to its vsock. The host key of the guest must be the "
        "one that the host has recorded under the name of the MicroVM (guest.host_key). Where none is recorded, ssh "
        "asks at a terminal, and connects to nothing without one. Logs in with keys, see guest.authorized_keys and "
        "guest.host_access.",
    )
    subparser.add_argument("--password", action="store_true", help="let ssh ask for a password, too")
    subparser.add_argument(
        "-l", "--login", metavar="USER", default="root", help="user to log in as (default: %(default)s)"
    )
    subparser.add_argument("name", metavar=VM, type=_name)
    subparser.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER)
    subparser = _on_host(
        commands,
        "forward",
        "forward:forward",
        "connect standard input and output with a port of a guest",
        "For programs, such as ssh as its ProxyCommand. Connects to the static address of the guest, or else to an "
        "address that it has by DHCP, or else to its vsock.",
    )
    subparser.add_argument("name", metavar=VM, type=_name)
    subparser.add_argument(
        "port", metavar="PORT", nargs="?", type=_port, default=22, help="port in the guest (default: %(default)s)"
    )
    _switch(commands)
    subparser = _on_host(commands, "balloon", "guests:balloon", "set the size of the memory balloon of a running guest")
    subparser.add_argument("name", metavar=VM, type=_name)
    subparser.add_argument("size", metavar="MIB", help="memory that the balloon takes from the guest")
    subparser = _on_host(
        commands,
        "run",
        "run:run_foreground",
        "run a MicroVM in the foreground",
        "Runs as the MicroVM's user and with its interfaces, until the guest stops or Ctrl-] is pressed three times "
        "within a second. Refused while the MicroVM runs as a service.",
    )
    subparser.add_argument("name", metavar=VM, type=_name)


def _switch(commands: Commands) -> None:
    subparser = _on_host(
        commands,
        "switch",
        "switch:switch_vm",
        "switch a running guest to the system of its current package",
        "For packages of NixOS guests that have the host's /nix/store as a share. Connects by SSH as root, like "
        "microvm ssh, compares the host name, imports the registration of the system's paths, sets the profile of the "
        "guest's system, and runs its switch-to-configuration. Where a kernel or the machine has changed too, a "
        "restart stays pending.",
    )
    subparser.add_argument("name", metavar=VM, type=_name)
    subparser.add_argument("action", nargs="?", **_ACTION)
    _check(subparser)


def _removal(commands: Commands) -> None:
    subparser = _on_host(
        commands,
        "remove",
        "remove:remove_vms",
        "remove MicroVMs, but not their volumes",
        "Removes everything that was installed for the MicroVM, and nothing else.",
    )
    _names(subparser)
    subparser.add_argument(
        "--volumes",
        choices=("keep", "archive", "delete"),
        default="keep",
        help=f"keep volumes in place, move them to {ARCHIVE_DIRECTORY}, or delete them (default: %(default)s)",
    )
    subparser.add_argument(
        "--confirm", metavar="IMAGE", action="append", help="image of a volume that may be deleted; may be repeated"
    )
    subparser.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    _check(subparser)
    subparser = _on_host(
        commands,
        "gc",
        "collect_garbage:collect_garbage",
        "remove packages and images that are no longer used",
        "Packages are used by links and by generations, images by packages. Images that are less than an hour old are "
        "kept, and so is everything of a MicroVM that another run is working on, or whose record is damaged.",
    )
    subparser.add_argument(
        "--verify",
        action="store_true",
        help="compare the packages and images that stay with their digests; the exit status is 1 if any is damaged, "
        "and the next run with the declarations replaces it",
    )
    _check(subparser)


def _files(commands: Commands) -> None:
    subparser = _command(
        commands,
        "render",
        "render:render_file",
        "render runner packages without a host",
        "Prints the command line of each MicroVM, unless --json or --output is passed. The exit status is 1 if a "
        "MicroVM is refused.",
    )
    subparser.add_argument("file", metavar="FILE", help=FILE)
    subparser.add_argument("--name", help="render only this MicroVM")
    subparser.add_argument(
        "--hypervisor", choices=tuple(PROFILES), help="hypervisor to use instead of the declared one"
    )
    form = subparser.add_mutually_exclusive_group()
    form.add_argument(
        "--output", metavar="DIR", help="write the package to DIR, or to DIR/NAME for each of several MicroVMs"
    )
    form.add_argument("--json", action="store_true", help="print command lines, files, digests and refusals as JSON")
    _platform(subparser)
    subparser = _command(
        commands,
        "validate",
        "render:validate_files",
        "verify declarations",
        "Prints the errors of each file, or of the hosts of an inventory. The exit status is 1 if there are any.",
    )
    subparser.add_argument(
        "files", metavar="FILE", nargs="+", help=f"{FILE}; or directory of an inventory, which needs ansible-core"
    )
    _platform(subparser)


def _platform(subparser: argparse.ArgumentParser) -> None:
    subparser.add_argument(
        "--platform", choices=PLATFORMS, default=own_platform(), help="platform of the host (default: this host)"
    )
