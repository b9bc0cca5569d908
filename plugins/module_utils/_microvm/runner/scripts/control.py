# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm-shutdown`` and ``microvm-balloon``: what is asked of a hypervisor that runs."""

from __future__ import annotations

import shlex

from ...declaration.names import PROCESS_FILE
from ...hypervisors.interface import Balloon, CommandRequest, HttpRequest, QmpRequest, Request, Shutdown
from .shell import HOME, command, header, quoted, socat_escape

# The number of a process that has ended may be another's; its start time is not.
_IS_RUNNING = f"""
is_running() {{
    local process started stat fields
    [ -r {PROCESS_FILE} ] || return 1
    read -r process started < {PROCESS_FILE} || true
    [ -n "$process" ] || return 1
    # Another user's process answers no signal, but is there.
    kill -0 "$process" 2>/dev/null || [ -d "/proc/$process" ] || return 1
    [ -n "$started" ] || return 0
    stat=$(cat "/proc/$process/stat" 2>/dev/null) || return 1
    read -ra fields <<< "${{stat##*) }}"
    [ "${{fields[19]}}" = "$started" ] && [ "${{fields[0]}}" != Z ]
}}
"""

_SHUTDOWN = """
fifths=0
timeout=${{STOP_TIMEOUT:-{timeout}}}
while is_running; do
    if [ "$fifths" -ge $((5 * timeout)) ]; then
        echo "the guest has not ended within $timeout seconds" >&2
        exit 1
    fi
    # Again and again: the first request is lost on a guest that is still booting.
    if [ $((fifths % 15)) -eq 0 ]; then request >/dev/null 2>&1 || true; fi
    sleep 0.2
    fifths=$((fifths + 1))
done
"""

_QMP = """
{name}() {{
    printf '%s\\n' '{{"execute":"qmp_capabilities"}}' {command} | socat -t 1 - {address}
}}
"""

_HTTP = """
{name}() {{
    local body={body}
    {{
        printf '%s\\r\\n' {request} 'Host: localhost' 'Accept: application/json' 'Content-Type: application/json' \\
            "Content-Length: ${{#body}}" ''
        printf '%s' "$body"
    }} | socat -t 1 - {address}
}}
"""

_COMMAND = """
{name}() {{
    {command}
}}
"""

_SIZE = """
if [ "$#" -ne 1 ] || [[ ! "$1" =~ ^{pattern}$ ]]; then
    echo "usage: microvm-balloon {usage}" >&2
    exit 2
fi
"""

_ABSOLUTE = """
balloon_mebibytes=$((10#$1))
if [ "$balloon_mebibytes" -ge {memory} ]; then
    echo "the guest has {memory} MiB; the balloon must leave some of them" >&2
    exit 2
fi
# shellcheck disable=SC2034 # not every hypervisor is told in this unit
balloon_bytes=$((balloon_mebibytes * 1024 * 1024))
# shellcheck disable=SC2034
guest_bytes=$((({memory} - balloon_mebibytes) * 1024 * 1024))
answer=$(request)
{judgement}"""

_RELATIVE = """
difference=${1#[-+]}
case $1 in
    -*) shrink ;;
    *) request ;;
esac
"""

_JUDGEMENTS = {
    QmpRequest: 'if [[ "$answer" == *\'"error"\'* ]]; then echo "$answer" >&2; exit 1; fi\n',
    HttpRequest: 'if [[ ! "$answer" =~ ^HTTP/1.[01]\\ 2 ]]; then echo "$answer" >&2; exit 1; fi\n',
    CommandRequest: 'if [ -n "$answer" ]; then echo "$answer"; fi\n',
}
"""How an answer is told to be a refusal."""


def microvm_shutdown(name: str, shutdown: Shutdown) -> str:
    """Asks the guest to power off and waits until the hypervisor has ended, whatever standard input is."""
    script = header(f"Stops MicroVM {name} gracefully.") + _function("request", shutdown.request)
    return script + _IS_RUNNING + _SHUTDOWN.format(timeout=shutdown.timeout)


def microvm_balloon(name: str, balloon: Balloon, memory: int, needs_home: bool = False) -> str:
    """Tells how many MiB the balloon takes from the guest, of ``memory`` MiB in all.

    Where a hypervisor can only be told a difference, that is what is told.
    """
    script = header(f"Sets the size of the balloon of MicroVM {name}.") + (HOME if needs_home else "")
    script += _function("request", balloon.request)
    if balloon.shrink is not None:
        usage = _SIZE.format(pattern="[-+]?[0-9]+", usage="MIB: more, or with - before it less, for the balloon")
        return script + _function("shrink", balloon.shrink) + usage + _RELATIVE
    usage = _SIZE.format(pattern="[0-9]+", usage="MIB: what the balloon takes from the guest")
    return script + usage + _ABSOLUTE.format(memory=memory, judgement=_JUDGEMENTS[type(balloon.request)])


def _function(name: str, request: Request) -> str:
    if isinstance(request, QmpRequest):
        return _QMP.format(name=name, command=quoted(request.command), address=_address(request.socket))
    if isinstance(request, HttpRequest):
        line = shlex.quote(f"{request.method} {request.path} HTTP/1.1")
        return _HTTP.format(name=name, request=line, body=quoted(request.body), address=_address(request.socket))
    return _COMMAND.format(name=name, command=command(request.argv, " " * 8))


def _address(socket: str) -> str:
    # No half-close: servers of HTTP forget a request whose sender has hung up.
    return shlex.quote(f"UNIX-CONNECT:{socat_escape(socket)},shut-none")
