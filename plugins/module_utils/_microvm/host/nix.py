# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store of Nix: paths in it are built, compared, and kept for as long as a link of ours leads to them."""

from __future__ import annotations

import collections
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Callable, Deque, Iterable, List, Mapping, Optional, Sequence, Set

from ..declaration.names import GARBAGE_ROOTS, NIX_STORE
from ..schema.excerpts import last_lines, without_colours, without_controls
from . import files
from .commands import HostError, program_environment, run, search_path, shown_command

STORE = f"{NIX_STORE}/"

FEATURES = ("--extra-experimental-features", "nix-command flakes")

PROGRAM_DIRECTORIES = "/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin"
"""Directories of Nix's programs that shells of users have in PATH, and sessions of Ansible lack."""

_SHOWN_LINES = 15
"""Last lines of a program's messages that an error has."""

_KEPT_LINES = 200
"""Last lines of a program's messages that are remembered while it runs."""

_RUNNABLE = {"x86_64": ("x86_64-linux", "i686-linux"), "aarch64": ("aarch64-linux", "armv7l-linux")}
"""Systems, in Nix's words, whose programs run on an architecture; on any other, its own alone."""

Show = Callable[[str], object]
"""Function that is called with each line that a program of Nix writes while it works."""


def show_line(line: str) -> None:
    """Show a line of progress to whoever has called."""
    sys.stderr.writelines((line, "\n"))
    sys.stderr.flush()


def hide_line(_line: str) -> None:
    """Show no progress: Ansible may take for a module's result what its programs write, and errors have the end."""


def roots_directory(name: str) -> str:
    """Return the directory with the links that keep what a MicroVM needs."""
    return os.path.join(GARBAGE_ROOTS, name)


def root_of(name: str, package: str) -> str:
    """Return the link that keeps a package for a MicroVM."""
    return os.path.join(roots_directory(name), os.path.basename(package))


def realise(path: str, link: Optional[str], arguments: Sequence[str] = (), show: Show = hide_line) -> str:
    """Build the output ``out`` of a derivation, or fetch a path, and let ``link`` keep the result. Returns its path.

    ``link`` is where Nix looks for it ever after, so nobody may rename it. ``None`` lets nothing keep the result.
    Raises HostError with the last lines of what Nix has said.
    """
    return realise_all([path], link, arguments, show)[0]


def realise_all(
    paths: Sequence[str], link: Optional[str], arguments: Sequence[str] = (), show: Show = hide_line
) -> List[str]:
    """Build derivations as ``realise`` does, as many at a time as Nix is told to.

    Of several results, further ones are kept by links beside ``link`` whose names end with a number.
    """
    # Other outputs would have links beside that of `out`, which nobody knows and nobody removes.
    results = [f"{path}!out" if path.endswith(".drv") else path for path in paths]
    words = [_store_program(), "--realise", *results, *arguments]
    if link is not None:
        os.makedirs(os.path.dirname(link), exist_ok=True)
        words += ["--add-root", link, "--indirect"]
    written = run_shown(words, show).split()
    if not written:
        raise HostError(f"`{shown_command(words)}` named no path")
    return [os.path.realpath(result) for result in written] if link is not None else written


def is_valid(path: str) -> bool:
    """Return whether the store has a path, whole and known to Nix."""
    done = _check_validity(path)
    return done is not None and done.returncode == 0


def valid_paths(paths: Iterable[str]) -> Set[str]:
    """Return those paths in the store that ``is_valid`` is true of, which one process looks at."""
    candidates = sorted({path for path in paths if path.startswith(STORE)})
    done = _check_validity("--print-invalid", *candidates) if candidates else None
    if done is None:
        return set()
    if done.returncode != 0:
        # Nix gives up at a name that no path can have.
        return {path for path in candidates if is_valid(path)}
    return set(candidates) - set(done.stdout.decode(errors="replace").split())


def _check_validity(*words: str) -> Optional[subprocess.CompletedProcess[bytes]]:
    """Return what Nix says of paths; ``None`` where it is not installed."""
    program = store_program()
    if program is None:
        return None
    return subprocess.run(
        [program, "--check-validity", *words],
        env=program_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def diff_closures(old: str, new: str) -> str:
    """Return which packages differ in the closures of two valid paths, a line each. Raises HostError."""
    return run([nix_program(), *FEATURES, "store", "diff-closures", old, new])


def refuse_system(system: str, machine: str = "", host: str = "this host") -> None:
    """Refuse what is made for hosts of another system; an empty one is unknown. Raises HostError.

    ``machine`` is the architecture of a host that is not this one.
    """
    machine = machine or platform.machine()
    own = f"{machine}-linux"
    if system and system not in _RUNNABLE.get(machine, (own,)):
        raise HostError(
            f"it is built for {system}, and {host} is {own}; set the system of the host's programs in "
            "the flake (microvm.nix: `microvm.vmHostPackages`), or declare the MicroVM on another host"
        )


_ERROR = "error: "
"""Beginning of the messages in which Nix says that it gives up."""

_OF_SETTINGS = ("unknown ", "ignoring setting ")
"""Beginnings of the warnings of Nix that are about its configuration."""


def configuration_warnings(text: str) -> List[str]:
    """Return what the host's Nix warns of in the text of a configuration, such as settings that it does not know.

    Raises HostError for a text with which no program of Nix would run.
    """
    # The configurations that the host and its users have are none of the text.
    own = {"NIX_CONFIG": text, "NIX_CONF_DIR": os.devnull, "NIX_USER_CONF_FILES": ""}
    done = subprocess.run(
        [_store_program(), "--version"],
        env={**program_environment(), **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    lines = without_controls(without_colours(done.stderr.decode(errors="replace"))).splitlines()
    if done.returncode != 0:
        raise HostError(next((line.partition(": ")[2] for line in lines if line.startswith(_ERROR)), "\n".join(lines)))
    warnings = (line.partition(": ")[2] for line in lines if line.startswith("warning: "))
    return [warning for warning in warnings if warning.lower().startswith(_OF_SETTINGS)]


def is_collectable(name: str, package: str) -> bool:
    """Return whether the host has Nix, and no link of a MicroVM keeps a path in the store of Nix.

    Where Nix is not installed, nobody collects garbage in its store, and nobody knows links.
    """
    is_kept = files.link_target(root_of(name, package)) == package
    return os.path.dirname(package) + "/" == STORE and not is_kept and store_program() is not None


def kept_packages(name: str) -> List[str]:
    """Return the packages that links keep for a MicroVM."""
    directory = roots_directory(name)
    try:
        entries = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    # Nix looks for links at their paths, and some may be somebody else's.
    return [STORE + entry for entry in entries if files.link_target(os.path.join(directory, entry)) == STORE + entry]


def keep(name: str, package: str) -> None:
    """Let a link keep a package for a MicroVM. Raises HostError for a path that Nix does not know."""
    program, link = store_program(), root_of(name, package)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    run([program or "nix-store", "--realise", package, "--add-root", link, "--indirect"])


def release(name: str, package: str) -> None:
    """Let Nix collect a package, as far as this MicroVM is concerned."""
    link = root_of(name, package)
    files.remove(link)
    files.remove_if_empty(os.path.dirname(link))


def store_program() -> Optional[str]:
    """Return the program that manages the store of Nix; ``None`` where it is not installed."""
    return find_program("nix-store")


def nix_program() -> str:
    """Return the program that evaluates flakes. Raises HostError where Nix is not installed."""
    return _required(find_program("nix"))


def _store_program() -> str:
    return _required(store_program())


def _required(program: Optional[str]) -> str:
    if program is None:
        raise HostError(MISSING)
    return program


MISSING = "Nix is not installed on this host"


def find_program(name: str) -> Optional[str]:
    """Return the path of one of Nix's programs."""
    return shutil.which(name, path=f"{search_path()}:{PROGRAM_DIRECTORIES}")


class FailedProgram(HostError):
    """Failure of a program of Nix that has said why, with the last of what it has said."""


def run_shown(words: Sequence[str], show: Show = hide_line, environment: Optional[Mapping[str, str]] = None) -> str:
    """Return the output of a program of Nix, whose messages are shown line by line, however long it takes.

    Raises FailedProgram with the last of them, and HostError where there is none.
    """
    lines: Deque[str] = collections.deque(maxlen=_KEPT_LINES)
    environment = environment or program_environment()
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(
            list(words), env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE
        ) as process:
            for raw in process.stderr or ():
                lines.append(raw.decode(errors="replace").rstrip("\r\n"))
                # Whoever writes a build may write to the terminal of whoever looks at it.
                show(without_controls(without_colours(lines[-1])))
        if process.returncode != 0:
            message = f"`{shown_command(_short(words))}` failed: {_end(lines, process.returncode)}"
            raise (FailedProgram if any(lines) else HostError)(message)
        output.seek(0)
        return output.read().decode(errors="replace")


_UNSIGNED = (
    "not signed by any of the keys",
    "does not have a valid signature",
    "lacks a signature by a trusted key",
    "lacks a valid signature",
)


def names_unsigned_path(message: str) -> bool:
    """Return whether Nix says, in the words of any of its versions, that nobody trusted has signed a path."""
    return any(words in message for words in _UNSIGNED)


def _short(words: Sequence[str]) -> List[str]:
    """Return a command as somebody would type it."""
    return [os.path.basename(words[0]), *(word for word in words[1:] if word not in FEATURES)]


def _end(lines: Sequence[str], status: int) -> str:
    """Return the last lines of a program, the last error first: often the first line alone is shown."""
    written = (last_lines("\n".join(lines), _SHOWN_LINES) or f"exit status {status}").split("\n")
    errors = [index for index, line in enumerate(written) if line.lstrip().startswith(_ERROR)]
    return "\n".join([*written[errors[-1] :], *written[: errors[-1]]] if errors else written).lstrip()
