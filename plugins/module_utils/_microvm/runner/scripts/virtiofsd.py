# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``virtiofsd-run``: a daemon for each share, as long as the unit runs."""

from __future__ import annotations

import shlex
from typing import List, Sequence

from ...declaration.types import Share
from ...declaration.vms.parse import Declaration
from ...hypervisors.programs import program_path
from ...hypervisors.registry import profile
from ...hypervisors.words import Text, Variable, Word, join, words
from . import sources
from .shell import call, definitions, header, shell_command


def daemons(declaration: Declaration) -> List[Share]:
    """Return the shares that have a daemon."""
    return [share for share in declaration["shares"] if share["proto"] == "virtiofs"]


def arguments(declaration: Declaration, share: Share) -> Sequence[Word]:
    """Return the command line of a share's virtiofsd (its README), which runs in the state directory."""
    options = declaration["virtiofsd"]
    threads = str(options["thread_pool_size"])
    size = join(Variable.PROCESSORS) if "nproc" in threads else join(threads)
    handles = options["inode_file_handles"]
    argv: List[Text] = [
        program_path(options["package"], "virtiofsd"),
        f"--socket-path={share['socket']}",
        *((f"--socket-group={options['group']}",) if options["group"] else ()),
        f"--shared-dir={share['source']}",
        *("--thread-pool-size", size),
        *(("--posix-acl", "--xattr") if share["posix_acl"] else ()),
        f"--cache={share['cache']}",
        *((f"--inode-file-handles={handles}",) if handles else ()),
        *((f"--tag={share['tag']}",) if profile(declaration).asks_virtiofsd_for_tag else ()),
        *(("--readonly",) if share["read_only"] else ()),
        *options["extra_args"],
        *share["extra_args"],
    ]
    return words(*argv)


def virtiofsd_run(declaration: Declaration) -> str:
    """Return the script, which is ready when all sockets are there."""
    script = header(f"Serves the virtiofs shares of MicroVM {declaration['name']}.")
    commands = {share["socket"] or "": arguments(declaration, share) for share in daemons(declaration)}
    script += definitions([word for argv in commands.values() for word in argv]) + sources.VIRTIOFSD
    script += "\nend_together\n"
    for socket, argv in commands.items():
        script += f"serve {shlex.quote(socket)} \\\n    {shell_command(argv)} &\n"
    return script + "\n" + call("await_end", *commands)
