# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``virtiofsd-run``: a daemon for each share, as long as the unit runs."""

from __future__ import annotations

import posixpath
import shlex
from typing import List, Sequence, Tuple

from ...declaration.accounts import account
from ...declaration.names import SHARE_DIRECTORY
from ...declaration.types import Share
from ...declaration.vms.devices import CAPABILITY_ARGUMENTS, SANDBOX_ARGUMENTS
from ...declaration.vms.parse import Declaration
from ...hypervisors.programs import program_path
from ...hypervisors.registry import profile
from ...hypervisors.words import Text, Variable, Word, join, words
from . import sources
from .shell import call, definitions, header, shell_command


def daemons(declaration: Declaration) -> List[Share]:
    """Return the shares that have a daemon."""
    return [share for share in declaration["shares"] if share["proto"] == "virtiofs"]


def mounted_source(declaration: Declaration, number: int) -> str:
    """Return where the unit mounts the source of a share; a number, since systemd's syntax does not bear any tag."""
    return posixpath.join(SHARE_DIRECTORY, declaration["name"], "sources", str(number))


def chooses_sandbox(declaration: Declaration) -> bool:
    """Return whether the operator's own arguments determine a daemon's sandbox."""
    return _has_argument(declaration, SANDBOX_ARGUMENTS)


def chooses_capabilities(declaration: Declaration) -> bool:
    """Return whether the operator's own arguments determine a daemon's capabilities."""
    return _has_argument(declaration, CAPABILITY_ARGUMENTS)


def _has_argument(declaration: Declaration, prefixes: Tuple[str, ...]) -> bool:
    own = [argument for share in daemons(declaration) for argument in share["extra_args"]]
    return any(argument.startswith(prefixes) for argument in (*declaration["virtiofsd"]["extra_args"], *own))


MODIFIED_CAPABILITIES = "--modcaps=-mknod:-setfcap"
"""Argument by which no guest makes device nodes, or programs that give whoever runs them on the host capabilities."""


def arguments(declaration: Declaration, number: int) -> Sequence[Word]:
    """Return the command line of virtiofsd (its README) for a share of ``daemons``; it runs among the sockets.

    The unit mounts the source for it, see ``packaged_drop_ins``. Its own namespaces would take CAP_SYS_ADMIN. Users
    other than root can neither change the root directory nor use file handles.
    """
    options, share = declaration["virtiofsd"], daemons(declaration)[number]
    threads = str(options["thread_pool_size"])
    size = join(Variable.PROCESSORS) if "nproc" in threads else join(threads)
    handles = "never" if share["user"] else options["inode_file_handles"]
    argv: List[Text] = [
        program_path(options["package"], "virtiofsd"),
        f"--socket-path={share['socket']}",
        *((f"--socket-group={options['group']}",) if options["group"] else ()),
        f"--shared-dir={mounted_source(declaration, number)}",
        *_isolation(declaration, share),
        *("--thread-pool-size", size),
        *(("--posix-acl", "--xattr") if share["posix_acl"] else ()),
        f"--cache={share['cache']}",
        *((f"--inode-file-handles={handles}",) if handles else ()),
        *((f"--tag={share['tag']}",) if profile(declaration).asks_virtiofsd_for_tag else ()),
        *(("--readonly",) if share["read_only"] else ()),
        *(f"--translate-uid={words}" for words in share["translate_uid"]),
        *(f"--translate-gid={words}" for words in share["translate_gid"]),
        *options["extra_args"],
        *share["extra_args"],
    ]
    return words(*argv)


def _isolation(declaration: Declaration, share: Share) -> Sequence[str]:
    if share["user"]:
        return ("--sandbox=none",)
    return (
        *(() if chooses_sandbox(declaration) else ("--sandbox=chroot",)),
        *(() if chooses_capabilities(declaration) else (MODIFIED_CAPABILITIES,)),
    )


def virtiofsd_run(declaration: Declaration) -> str:
    """Return the script, which is ready when all sockets listen."""
    script = header(f"Serves the virtiofs shares of MicroVM {declaration['name']}.")
    shares = daemons(declaration)
    commands = {share["socket"] or "": arguments(declaration, number) for number, share in enumerate(shares)}
    script += definitions([word for argv in commands.values() for word in argv]) + sources.VIRTIOFSD
    group = shlex.join(["usable_group", declaration["virtiofsd"]["group"] or "", account(declaration).user])
    script += f'\nlisten "$({group})" {shlex.join([*commands, "--"])} "$0"\nend_together\n'
    for number, (socket, argv) in enumerate(commands.items()):
        place = shlex.join([mounted_source(declaration, number), shares[number]["source"], socket])
        user = shares[number]["user"]
        begin = shlex.join(["serve_as", user]) if user else "serve_source"
        script += f"{begin} {place} \\\n    {shell_command(argv)} &\n"
    return script + "\n" + call("await_end", *commands)
