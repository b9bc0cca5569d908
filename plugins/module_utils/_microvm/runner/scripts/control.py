# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm-shutdown`` and ``microvm-balloon``: what is asked of a hypervisor that runs."""

from __future__ import annotations

import shlex
from typing import Tuple

from ...declaration.names import GUEST_PORT, PROCESS_FILE
from ...hypervisors.requests import (
    Balloon,
    CommandRequest,
    GuestRequest,
    GuestShutdown,
    HttpRequest,
    QmpRequest,
    Request,
    Shutdown,
)
from ...hypervisors.words import Variable, join
from . import sources
from .shell import HOME, call, definitions, header, quoted, shell_command, socat_escape

ASK_GUEST = "microvm-ask-guest"
"""Script of a package that asks the guest over its vsock to end."""


def microvm_shutdown(name: str, shutdown: Shutdown) -> str:
    """Return the script that asks the guest to power off and waits until the hypervisor has ended."""
    script = header(f"Stops MicroVM {name} gracefully.") + _functions(("request", shutdown.request))
    script += sources.IS_RUNNING + sources.SHUT_DOWN
    return script + f'\nshut_down {shlex.quote(PROCESS_FILE)} "${{STOP_TIMEOUT:-{shutdown.timeout}}}"\n'


def microvm_end(name: str, shutdown: GuestShutdown) -> str:
    """Return the script that asks the guest over its vsock to end and waits until the hypervisor has ended."""
    own = join(Variable.PACKAGE, f"/bin/{ASK_GUEST}")
    script = header(f"Stops MicroVM {name} gracefully.") + definitions([own])
    script += sources.IS_RUNNING + sources.END_GUEST + _functions(("ask", CommandRequest((own,))))
    return script + f'\nend_guest {shlex.quote(PROCESS_FILE)} "${{STOP_TIMEOUT:-{shutdown.timeout}}}"\n'


def microvm_ask_guest(name: str, guest: GuestRequest) -> str:
    """Return the script, for root, that asks the guest over its vsock to end, and returns when it has answered."""
    script = header(f"Asks the guest of MicroVM {name} to end.") + sources.ASK_GUEST + "\n"
    return script + call("ask_guest", name, str(guest.context), str(GUEST_PORT), guest.word, guest.answer)


def microvm_balloon(name: str, balloon: Balloon, memory: int, needs_home: bool = False) -> str:
    """Return the script that sets how many MiB the balloon takes from the guest, of ``memory`` MiB in all."""
    script = header(f"Sets the size of the balloon of MicroVM {name}.") + (HOME if needs_home else "")
    shrink = (("shrink", balloon.shrink),) if balloon.shrink is not None else ()
    script += _functions(("request", balloon.request), *shrink) + sources.BALLOON
    usage = shlex.join(["[0-9]+", "MIB: what the balloon takes from the guest"])
    function = "set_balloon_by_differences" if shrink else "set_balloon"
    return script + f'\ncheck_usage {usage} "$@"\n{function} {memory} "$1"\n'


def _function(request: Request) -> str:
    """Return the function that sends a request of this kind."""
    if isinstance(request, QmpRequest):
        return sources.QMP_REQUEST if request.negotiates else sources.QMP_COMMAND
    return sources.HTTP_REQUEST if isinstance(request, HttpRequest) else ""


def _functions(*requests: Tuple[str, Request]) -> str:
    """Return functions with the given names that send the requests."""
    functions = dict.fromkeys(_function(request) for _name, request in requests)
    calls = [f"\n{name}() {{\n    {_call(request)}\n}}\n" for name, request in requests]
    return "".join([*functions, *calls])


def _call(request: Request) -> str:
    if isinstance(request, QmpRequest):
        function = "qmp_request" if request.negotiates else "qmp_command"
        return f"{function} {_address(request.socket)} {quoted(request.command)}"
    if isinstance(request, HttpRequest):
        line = shlex.quote(f"{request.method} {request.path}")
        return f"http_request {_address(request.socket)} {line} {quoted(request.body)}"
    return shell_command(request.argv, " " * 8)


def _address(socket: str) -> str:
    # No half-close: servers of HTTP forget a request whose sender has hung up.
    return shlex.quote(f"UNIX-CONNECT:{socat_escape(socket)},shut-none")
