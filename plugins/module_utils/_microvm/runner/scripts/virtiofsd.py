# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``virtiofsd-run``: a daemon for each share, as long as the unit runs.

The functions are shared with the script that hosts have for packages without such a script (tools/generating).
"""

from __future__ import annotations

import shlex
from typing import Any, List, Mapping, Sequence

from ...declaration.vms.parse import Declaration
from ...hypervisors.capabilities import CROSVM
from ...hypervisors.interface import Variable, Word, join, program, words
from .shell import command, definitions, header

# A daemon ends, with success, when its hypervisor closes the socket, as one that reboots in place does; then there must
# be another. With any other status, all end, and systemd decides.
SERVE = """
# Where distributions have the program.
PATH=$PATH:/usr/libexec

serve() { # socket, command
    # Not local: the trap still needs them when the function has ended.
    socket=$1
    daemon=
    shift
    trap 'kill "$daemon" 2>/dev/null || true; wait; rm -f -- "$socket" "$socket.pid"' EXIT
    trap 'exit 0' TERM
    while true; do
        rm -f -- "$socket" "$socket.pid"
        "$@" &
        daemon=$!
        if ! wait "$daemon"; then
            echo "the virtiofsd of $socket has failed" >&2
            kill -USR1 $$
            exit 1
        fi
    done
}

end_together() {
    # shellcheck disable=SC2046 # numbers
    trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
    trap 'exit 0' TERM INT
    trap 'exit 1' USR1
}
"""

AWAIT_END = r"""
await_end() { # sockets
    local socket
    for socket; do
        while [ ! -S "$socket" ]; do sleep 0.1; done
    done
    if [ -n "${NOTIFY_SOCKET:-}" ]; then systemd-notify --ready; fi
    wait
}
"""


def daemons(declaration: Declaration) -> Sequence[Mapping[str, Any]]:
    """The shares that have one."""
    return [share for share in declaration["shares"] if share["proto"] == "virtiofs"]


def arguments(declaration: Declaration, share: Mapping[str, Any]) -> Sequence[Word]:
    """The command line of a share's virtiofsd (its README), which runs in the state directory."""
    options = declaration["virtiofsd"]
    threads = str(options["thread_pool_size"])
    size = join(Variable.PROCESSORS) if "nproc" in threads else join(threads)
    handles = options["inode_file_handles"]
    texts: List[Any] = [
        program(options["package"], "virtiofsd"),
        f"--socket-path={share['socket']}",
        *((f"--socket-group={options['group']}",) if options["group"] else ()),
        f"--shared-dir={share['source']}",
        *("--thread-pool-size", size),
        *(("--posix-acl", "--xattr") if share["posix_acl"] else ()),
        f"--cache={share['cache']}",
        *((f"--inode-file-handles={handles}",) if handles else ()),
        # crosvm asks the daemon for the tag.
        *((f"--tag={share['tag']}",) if declaration["hypervisor"] == CROSVM else ()),
        *(("--readonly",) if share["read_only"] else ()),
        *options["extra_args"],
        *share["extra_args"],
    ]
    return words(*texts)


def virtiofsd_run(declaration: Declaration) -> str:
    """The script. It is ready when all sockets are there."""
    script = header(f"Serves the virtiofs shares of MicroVM {declaration['name']}.")
    commands = [(share["socket"], arguments(declaration, share)) for share in daemons(declaration)]
    script += (
        definitions([word for _socket, argv in commands for word in argv]) + SERVE + AWAIT_END + "\nend_together\n"
    )
    for socket, argv in commands:
        script += f"serve {shlex.quote(socket)} \\\n    {command(argv)} &\n"
    return script + f"\n{shlex.join(['await_end', *(socket for socket, _argv in commands)])}\n"
