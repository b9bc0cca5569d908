# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stores of Nix on the controller and on hosts, which it reaches as Ansible does."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import (
    HostError,
    program_environment,
    run,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.excerpts import last_lines

WAYS_OUT = "or use `build_on: target`, which evaluates and builds on the MicroVM's host"
"""What to do where a host cannot be copied to."""

SIGNATURES = (
    "Sign what is built with a key that the receiving host trusts: create one by `nix-store "
    "--generate-binary-cache-key`, name it in `secret-key-files` of nix.conf where the MicroVM is built, sign what has "
    "been built already by `nix store sign --recursive`, and declare the public key in `microvm_nix_trusted_keys` of "
    "role host. With `build_on: target`, or the name of the MicroVM's host, nothing has to be signed"
)
"""What to do about a path that is not signed."""

_ASKING = ("a password is required", "a terminal is required", "Authentication required", "Authorization required")
"""Words of sudo and doas that cannot ask for a password."""

_NOT_INSTALLED = 127

_SCRIPT = """\
PATH="$PATH:{directories}"
program=$(command -v nix-daemon)
"""

_LOOK = (
    'echo "$(uname -m)"\n'
    + _SCRIPT
    + """\
echo "$program"
[ -n "$program" ] || exit {missing}
exec {become} "${{program%-daemon}}-store" {words}
"""
)
"""Script that runs Nix's program of a store as whoever may write to it, after it has written the host's architecture
and the path of Nix's daemon, which is empty where Nix is not installed."""

_CLOSURE = (
    _SCRIPT
    + """\
[ -n "$program" ] || {{ echo {message} >&2; exit {missing}; }}
set -f
store=${{program%-daemon}}-store
paths=$({become} "$store" --query --requisites {path}) || exit
echo "$paths"
exec {become} "$store" --query --size $paths
"""
)
"""Script that lists the paths of a closure and then their sizes."""

_KEEP = (
    _SCRIPT
    + """\
[ -n "$program" ] || {{ echo {message} >&2; exit {missing}; }}
store=${{program%-daemon}}-store
for pair in {words}; do
    link=${{pair% *}} path=${{pair#* }}
    {become} mkdir -p "${{link%/*}}" || exit
    {become} "$store" --realise "$path" --add-root "$link" --indirect > /dev/null || exit
done
"""
)
"""Script that lets links keep paths, of which each follows its link and a blank."""

_SERVE = (
    _SCRIPT
    + """\
[ -n "$program" ] || {{ echo {message} >&2; exit {missing}; }}
exec {become} "$program" --stdio
"""
)
"""Script that serves the store of a host to whoever is connected."""

_SSH = """\
#!/bin/sh
# The command of a host, and a proxy that it names, are to find ssh(1) itself.
PATH={path}
# There is no connection that Nix has opened before.
[ "$1" = -O ] && exit 1
host=$1
for word in "$@"; do
    # Newer versions of Nix let ssh(1) say so as soon as it is connected.
    case $word in *LocalCommand=echo?started*) echo started ;; esac
done
case $host in
{hosts}
esac
echo "$host is no host of this copy" >&2
exit 1
"""
"""Program that Nix calls instead of ssh(1): whatever the values of options are, no other program splits them."""


@dataclass(frozen=True)
class Look:
    """What a host with Nix, or without, has."""

    machine: str
    """Its architecture."""
    daemon: Optional[str]
    """Program that serves its store; ``None`` where Nix is not installed."""
    lines: Tuple[str, ...]
    """Output of the program that was run."""


@dataclass(frozen=True)
class NixHost:
    """Host whose store of Nix is used, or the controller, which is reached without a connection."""

    name: str
    ssh: Tuple[str, ...] = ()
    """Command that opens a connection to it; none for the controller."""
    become: Tuple[str, ...] = ()
    """Command that runs another one as root."""

    @property
    def is_local(self) -> bool:
        """Return whether its store is the controller's."""
        return not self.ssh

    def missing(self, paths: Sequence[str]) -> Look:
        """Return what the host has; the lines are those of the paths that its store lacks. Raises HostError."""
        if self.is_local:
            valid = nix.valid_paths(paths)
            missing = tuple(path for path in paths if path not in valid)
            return Look(platform.machine(), nix.find_program("nix-daemon"), missing)
        batches = _batches(paths) or [[]]
        looks = [self._look(["--check-validity", "--print-invalid", *batch]) for batch in batches]
        return replace(looks[0], lines=tuple(line for look in looks for line in look.lines))

    def realise(self, derivations: Sequence[str], arguments: Sequence[str], show: nix.Show) -> None:
        """Build derivations that its store has. Raises HostError with the last lines of what Nix has said."""
        for batch in _batches(derivations):
            command = [*self.ssh, self._line(_LOOK, words=["--realise", *batch, *arguments])]
            run_shown(command, show, program_environment(), f"the build on {self.name}")

    @property
    def without_nix(self) -> str:
        """Return the message that it lacks Nix."""
        return f"Nix is not installed on {self.name}; install it there (`microvm_nix: true` of role host does)"

    def serving(self) -> Tuple[str, ...]:
        """Return the command that serves its store."""
        return (*self.ssh, self._line(_SERVE, message=[self.without_nix]))

    def closure(self, path: str) -> Dict[str, int]:
        """Return the sizes of all paths of a closure that its store has. Raises HostError."""
        line = self._line(_CLOSURE, message=[self.without_nix], path=[path])
        lines = run([*self.ssh, line] if self.ssh else ["/bin/sh", "-c", line]).split()
        count = len(lines) // 2
        return dict(zip(lines[:count], map(int, lines[count:])))

    def keep(self, packages: Sequence[Tuple[str, str]]) -> None:
        """Let links keep paths of its store, each for the MicroVM before it, as the module does where it builds.

        Raises HostError, also for a path that the store has no longer.
        """
        for batch in _batches([f"{nix.root_of(name, path)} {path}" for name, path in packages]):
            command = [*self.ssh, self._line(_KEEP, message=[self.without_nix], words=batch)]
            run_shown(command, nix.hide_line, program_environment(), f"keeping packages on {self.name}")

    def _look(self, words: Sequence[str]) -> Look:
        command = [*self.ssh, self._line(_LOOK, words=words)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        written = done.stdout.decode(errors="replace").splitlines()
        machine, daemon, *lines = (*written, "", "")
        # A shell ends with the same status where the command that becomes root is missing.
        is_without_nix = done.returncode == _NOT_INSTALLED and len(written) == 2 and not daemon
        if done.returncode != 0 and not is_without_nix:
            said = last_lines(done.stderr.decode(errors="replace")) or f"exit status {done.returncode}"
            raise HostError(f"the store of Nix on {self.name} cannot be used: {with_advice(said)}")
        return Look(machine, daemon or None, tuple(filter(None, lines)))

    def _line(self, script: str, **words: Sequence[str]) -> str:
        """Return a line, for any shell of the user, that runs a script with some words."""
        quoted = {name: shlex.join(value) for name, value in {"become": self.become, **words}.items()}
        text = script.format(directories=nix.PROGRAM_DIRECTORIES, missing=_NOT_INSTALLED, **quoted)
        return shlex.join(["/bin/sh", "-c", text])


_MOST_BYTES = 60_000
"""Bytes of words in a line for a host: Linux passes at most 128 KiB as one argument, and quotes are added to them."""


def _batches(words: Sequence[str]) -> List[List[str]]:
    """Return words in groups that a line for a host has room for."""
    batches: List[List[str]] = []
    room = 0
    for word in words:
        room -= len(word) + 1
        if room < 0:
            batches.append([])
            room = _MOST_BYTES - len(word) - 1
        batches[-1].append(word)
    return batches


CONTROLLER = NixHost("the controller")


def copy(paths: Sequence[str], source: NixHost, target: NixHost, show: nix.Show, derivations: bool = False) -> None:
    """Copy paths with all that they refer to, or derivations, from store to store; signatures are verified.

    What is there already is not copied. Raises HostError.
    """
    if source.is_local and target.is_local:
        return
    with _ssh_program({"source": source, "target": target}) as directory:
        environment = program_environment()
        environment["PATH"] = f"{directory}:{environment['PATH']}"
        command = [nix.nix_program(), *nix.FEATURES, "copy", *(["--derivation"] if derivations else [])]
        for option, label, host in (("--from", "source", source), ("--to", "target", target)):
            # The controller's is the one that its environment names.
            command += [] if host.is_local else [option, f"ssh-ng://{label}"]
        command += paths
        run_shown(command, show, environment, f"the copy to {target.name}")


@contextmanager
def _ssh_program(hosts: Mapping[str, NixHost]) -> Iterator[str]:
    """Give a directory with a program that Nix runs as ssh(1), and that knows hosts by labels."""
    cases = [f"{label}) exec {shlex.join(host.serving())} ;;" for label, host in hosts.items() if not host.is_local]
    with tempfile.TemporaryDirectory(prefix="microvm-nix-") as directory:
        path = os.path.join(directory, "ssh")
        with open(path, "w", encoding="utf-8") as file:
            file.write(_SSH.format(path=shlex.quote(program_environment()["PATH"]), hosts="\n".join(cases)))
        os.chmod(path, 0o700)
        yield directory


def run_shown(command: Sequence[str], show: nix.Show, environment: Mapping[str, str], what: str) -> None:
    """Run a program of Nix. Raises HostError that names what has failed and says what to do, where that is known."""
    try:
        nix.run_shown(command, show, environment)
    except HostError as error:
        # The command is a line of scripts and options of SSH, which nobody has typed.
        raise HostError(f"{what} failed: {with_advice(str(error).split('` failed: ', 1)[-1])}") from None


def with_advice(message: str) -> str:
    """Return a message with what to do about it, where that is known."""
    if nix.names_unsigned_path(message):
        return f"{message}\n{SIGNATURES}."
    if any(words in message for words in _ASKING):
        return f"{message}\nNix cannot be given a password: let root be reached without one, {WAYS_OUT}."
    return message
