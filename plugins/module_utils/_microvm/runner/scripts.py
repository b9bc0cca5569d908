# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scripts of a package: POSIX sh, data always quoted, nothing evaluated."""

from __future__ import annotations

import shlex
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..declaration.names import USER
from ..hypervisors.interface import Shutdown, Variable, Word

_HEADER = "#!/bin/sh\n# {purpose}\nset -eu\n"

_PACKAGE = 'package=$(dirname "$(dirname "$(readlink -f "$0")")")\n'

# A kernel without KVM's clock measures the processor's frequency against a timer, and gets it wrong under load.
# Where the frequency changes, /proc/cpuinfo shows the moment's and only base_frequency is the clock's.
_TSC_PARAMETER = """\
cpufreq=/sys/devices/system/cpu/cpu0/cpufreq
if [ -r "$cpufreq/base_frequency" ]; then
    frequency=$(cat "$cpufreq/base_frequency")
elif [ ! -e "$cpufreq" ]; then
    frequency=$(sed -n '/^cpu MHz/{s/[^0-9]//gp;q;}' /proc/cpuinfo)
else
    frequency=
fi
tsc_parameter=${frequency:+ tsc_early_khz=$frequency}
"""

_DEFINITIONS = {Variable.PACKAGE: _PACKAGE, Variable.TSC_PARAMETER: _TSC_PARAMETER}

# Formatted beside its place and then given its name: a start that is killed leaves no half image, and an image that
# exists is never formatted.
_CREATE_VOLUME = """\
create_volume() { # image, MiB, file system, label
    if [ -e "$1" ]; then return; fi
    echo "creating $1: $2 MiB, $3"
    rm -f -- "$1.partial"
    truncate --size "$2M" -- "$1.partial"
    chmod 0600 -- "$1.partial"
    "mkfs.$3" -q ${4:+-L "$4"} "$1.partial"
    sync -- "$1.partial"
    mv --no-clobber --no-target-directory -- "$1.partial" "$1"
    sync -- "$(dirname -- "$1")"
}
"""

_SHUTDOWN = """\
socket={socket}
if [ ! -S "$socket" ]; then exit 0; fi

requests() {{
    printf '%s\\n' {requests}
    waited=0
    # The first request is lost on a guest that is still booting.
    while [ "$waited" -lt {timeout} ]; do
        sleep 1
        waited=$((waited + 1))
        if [ $((waited % 3)) -eq 0 ]; then printf '%s\\n' {last} || return 0; fi
        [ -S "$socket" ] || return 0
    done
}}

# socat ends when the hypervisor closes its socket, that is, when it has ended itself. It calls that an error when it
# was about to write; a guest that did not end is systemd's to kill.
requests 2>/dev/null | socat -t 1 - {address} || true
"""

_TAP_UP = """
if [ -e /sys/class/net/{name} ]; then
    # One that was left over may have other flags, which cannot be changed.
    if [ "$(cat /sys/class/net/{name}/owner 2>/dev/null)" != "$(id -u {user})" ]; then
        echo {foreign} >&2
        exit 1
    fi
    if [ "$(cat /sys/class/net/{name}/carrier 2>/dev/null)" = 1 ]; then
        echo {used} >&2
        exit 1
    fi
    ip link delete dev {name}
fi
ip tuntap add name {name} mode tap user {user} {flags}
{master}ip link set dev {name} up
"""

# At a start of the host, the one who makes bridges may just be at it.
_AWAIT_BRIDGE = """
waited=0
while [ ! -e /sys/class/net/{bridge} ] && [ "$waited" -lt 50 ]; do
    sleep 0.2
    waited=$((waited + 1))
done
"""

_TAP_DOWN = """
if [ "$(cat /sys/class/net/{name}/owner 2>/dev/null)" = "$(id -u {user})" ]; then ip link delete dev {name}; fi
"""


def microvm_run(name: str, argv: Sequence[Word], socket: str, volumes: Sequence[Mapping[str, Any]]) -> str:
    """Makes the volumes that do not exist yet and becomes the hypervisor."""
    script = _HEADER.format(purpose=f"Runs MicroVM {name} in the working directory.")
    used = {part for word in argv for part in word.parts}
    script += "".join(text for variable, text in _DEFINITIONS.items() if variable in used)
    calls = [_volume_call(volume) for volume in volumes if volume["auto_create"]]
    if calls:
        script += _CREATE_VOLUME + "".join(calls)
    script += f"rm -f -- {shlex.quote(socket)}\n"
    lines = [" ".join(_shell(word) for word in line) for line in _lines(argv)]
    return script + "exec " + " \\\n    ".join(lines) + "\n"


def microvm_shutdown(name: str, shutdown: Shutdown) -> str:
    """Asks the guest to power off and waits until the hypervisor has ended."""
    body = _SHUTDOWN.format(
        socket=shlex.quote(shutdown.socket),
        requests=" ".join(shlex.quote(request) for request in shutdown.requests),
        last=shlex.quote(shutdown.requests[-1]),
        timeout=shutdown.timeout,
        address=shlex.quote(f"UNIX-CONNECT:{_socat_escape(shutdown.socket)},shut-none"),
    )
    return _HEADER.format(purpose=f"Stops MicroVM {name} gracefully.") + body


def tap_up(name: str, taps: Sequence[Mapping[str, Any]], flags: Sequence[str]) -> str:
    """Makes the tap devices anew and brings them up."""
    script = _HEADER.format(purpose=f"Makes the tap interfaces of MicroVM {name}.")
    for bridge in sorted({tap["bridge"] for tap in taps if tap["bridge"]}):
        script += _AWAIT_BRIDGE.format(bridge=shlex.quote(bridge))
    for tap in taps:
        quoted = shlex.quote(tap["id"])
        bridge = tap["bridge"]
        master = f"ip link set dev {quoted} master {shlex.quote(bridge)}\n" if bridge else ""
        foreign = shlex.quote(f"{tap['id']} exists and is not a tap of the user {USER}; declare another id")
        used = shlex.quote(f"{tap['id']} is in use by another MicroVM; declare another id")
        script += _TAP_UP.format(
            name=quoted, user=USER, flags=" ".join(flags), master=master, foreign=foreign, used=used
        )
    return script


def tap_down(name: str, taps: Sequence[Mapping[str, Any]]) -> str:
    """Takes the tap devices away."""
    script = _HEADER.format(purpose=f"Removes the tap interfaces of MicroVM {name}.")
    return script + "".join(_TAP_DOWN.format(name=shlex.quote(tap["id"]), user=USER) for tap in taps)


def command_line(argv: Sequence[Word]) -> str:
    """For people and for diffs: an option with its value on each line, variables by name."""
    return "".join(" ".join(_readable(word) for word in line) + "\n" for line in _lines(argv))


def _volume_call(volume: Mapping[str, Any]) -> str:
    arguments: List[Optional[str]] = [volume["image"], str(volume["size"]), volume["fs_type"], volume["label"]]
    return "create_volume " + " ".join(shlex.quote(argument or "") for argument in arguments) + "\n"


_EXPANSIONS: Dict[Variable, str] = {variable: f'"${{{variable.value}}}"' for variable in Variable}


def _lines(argv: Sequence[Word]) -> List[List[Word]]:
    """The arguments, with a new line before each option."""
    lines: List[List[Word]] = []
    for word in argv:
        option = isinstance(word.parts[0], str) and word.parts[0].startswith("-")
        if option or not lines:
            lines.append([])
        lines[-1].append(word)
    return lines


def _shell(word: Word) -> str:
    """The word as the shell reads it back."""
    return "".join(shlex.quote(part) if isinstance(part, str) else _EXPANSIONS[part] for part in word.parts)


def _readable(word: Word) -> str:
    return "".join(part if isinstance(part, str) else f"${part.value}" for part in word.parts)


def _socat_escape(path: str) -> str:
    """socat's address parser takes a backslash before any character as that character."""
    return "".join(character if character.isalnum() or character in "/._-" else f"\\{character}" for character in path)
