# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm-run``: makes what is missing and becomes the hypervisor."""

from __future__ import annotations

import shlex
from typing import Any, List, Mapping

from ...declaration.names import ENDED_FILE, EVENTS_FIFOS, PROCESS_FILE
from ...declaration.vms.parse import Declaration
from ...hypervisors.interface import Command, CredentialFile, TapDevice, Variable, Word
from .shell import HOME, command, definitions, header, quoted, socat_escape

# Formatted beside its place and then given its name: a start that is killed leaves no half image, and an image that
# exists is never formatted. Copies on write make a file system inside of a file slow, so btrfs is asked for none.
_CREATE_VOLUME = """
ext_bytes() { # image: what its file system takes; nothing where it is none of ext2, ext3, ext4
    local field value count=0 size=0
    while IFS=: read -r field value; do
        case $field in
            'Block count') count=$((value)) ;;
            'Block size') size=$((value)) ;;
        esac
    done < <(dumpe2fs -h "$1" 2>/dev/null)
    if [ $((count * size)) -gt 0 ]; then echo $((count * size)); fi
}

# What a killed start has left undone is done by the next: the file system is asked, not the image's size.
grow_volume() { # image, MiB, mkfs
    local image=$1 bytes=$(($2 * 1024 * 1024)) taken status=0
    if [ "$(stat -L -c %s "$image")" -lt "$bytes" ]; then
        echo "growing $image to $2 MiB"
        truncate -s "$bytes" "$image"
    fi
    case $3 in mkfs.ext[234]) taken=$(ext_bytes "$image") ;; *) return ;; esac
    # Less than a group of blocks may be left over.
    if [ -z "$taken" ] || [ $((bytes - taken)) -lt $((1024 * 1024)) ]; then return; fi
    e2fsck -f -p "$image" || status=$?
    if [ "$status" -gt 1 ]; then
        echo "the file system of $image has errors, and is not grown; check it with e2fsck" >&2
        return
    fi
    resize2fs "$image"
    sync "$image"
}

create_volume() { # image, MiB, mkfs and its arguments
    local image=$1 size=$2 partial=$1.partial
    if [ -f "$image" ] && [ -w "$image" ]; then grow_volume "$image" "$size" "$3"; fi
    shift 2
    if [ -e "$image" ]; then return; fi
    if [ -L "$image" ]; then
        echo "$image is a link that leads nowhere" >&2
        exit 1
    fi
    echo "creating $image: $size MiB, $1"
    rm -f -- "$partial"
    (umask 077 && : > "$partial")
    chattr +C "$partial" 2>/dev/null || true
    truncate -s "${size}M" "$partial"
    "$@" "$partial"
    sync "$partial"
    mv -n "$partial" "$image"
    if [ -e "$partial" ]; then
        echo "$image was made by somebody else meanwhile" >&2
        exit 1
    fi
    sync "$(dirname "$image")"
}
"""

_LABEL_OPTIONS = {"vfat": "-n"}
_QUIET = ("ext2", "ext3", "ext4", "xfs", "btrfs")

_TAP_DEVICE = """
tap_device() { # name of a macvtap
    echo "/dev/tap$(cat "/sys/class/net/$1/ifindex")"
}
"""

# The kernel unpacks one archive after the other. What is made here has a name for a moment only, in memory, and for
# nobody else; then only the hypervisor can open it.
_APPEND = """
# Appends credentials to the initial RAM disk. What a start that was killed has left goes first.
find /dev/shm -maxdepth 1 -user "$(id -u)" -name 'microvm.{name}.????????' -exec rm -rf {{}} +
appended=$(mktemp -d /dev/shm/microvm.{name}.XXXXXXXX)
trap 'rm -rf "$appended"' EXIT
mkdir -p "$appended/.extra/system_credentials"
credential() {{ # file, name
    (umask 077 && cat "$1" > "$appended/.extra/system_credentials/$2.cred")
}}
{calls}(umask 077 && cat {initrd} > "$appended/initrd")
# An archive begins at a multiple of four.
truncate -s %512 "$appended/initrd"
(cd "$appended" && find .extra -print0 | cpio --quiet --create --format=newc --null --owner=0:0) >> "$appended/initrd"
exec {descriptor}<"$appended/initrd"
rm -rf "$appended"
trap - EXIT
"""

_NOTIFY = """
# The guest's systemd tells that it is up by a connection to this socket. It waits for its end, so that comes at once.
if [ -n "${{NOTIFY_SOCKET:-}}" ]; then
    socat -t 0 -T 0.5 UNIX-LISTEN:{socket},fork "UNIX-SENDTO:$NOTIFY_SOCKET" &
fi
"""

_COMPANION = """
{command} &
companion=$!
while [ ! -S {socket} ]; do
    kill -0 "$companion"
    sleep 0.1
done
"""

# Both ends stay open in the hypervisor, so that what reads ends with it, not before and not later.
_EVENTS = f"""
# A process beside the hypervisor writes down why it ends, which its exit status does not tell.
rm -f -- {" ".join(EVENTS_FIFOS)} {ENDED_FILE}
mkfifo -m 0600 {" ".join(EVENTS_FIFOS)}
exec {{told}}<> {EVENTS_FIFOS[0]} {{tells}}<> {EVENTS_FIFOS[1]} {{heard}}< {EVENTS_FIFOS[1]}
echo '{{"execute":"qmp_capabilities"}}' >&"$told"
sed -un 's/.*"SHUTDOWN".*"reason": "\\([a-z-]*\\)".*/\\1/p' <&"$heard" > {ENDED_FILE} {{told}}>&- {{tells}}>&- &
exec {{heard}}<&-
"""

_PROCESS = f"""
# microvm-shutdown waits for the end of this very process, which is the hypervisor's.
if [ -r /proc/self/stat ]; then
    stat=$(cat "/proc/$$/stat")
    read -ra fields <<< "${{stat##*) }}"
    echo "$$ ${{fields[19]}}" > {PROCESS_FILE}
else
    echo "$$" > {PROCESS_FILE}
fi
"""

_INITIAL_BALLOON = """
(
    tries=0
    until [ "$tries" -ge 100 ] || "$package"/bin/microvm-balloon {size} 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
) &
"""

_EXTRA_ARGUMENTS = """
# Words that the declared program prints; none of them is expanded.
extra_args_script={program}
printed=$("$extra_args_script")
read -r -d '' -a extra_arguments <<< "$printed" || true
"""

_TERMINAL = """
# It asks for a terminal, which a unit has not.
terminal=()
if [ ! -t 0 ]; then terminal=(unbuffer); fi
"""


def microvm_run(declaration: Declaration, built: Command) -> str:
    """The script. It runs in the state directory."""
    script = header(f"Runs MicroVM {declaration['name']} in the working directory.")
    script += definitions([*built.argv, *built.companion]) + (HOME if built.needs_home else "")
    if declaration["pre_start"]:
        script += f"\n{declaration['pre_start'].rstrip()}\n"
    calls = [_volume_call(volume) for volume in declaration["volumes"] if volume["auto_create"]]
    if calls:
        script += _CREATE_VOLUME + "".join(calls)
    script += _sockets(built) + (_EVENTS if built.events else "")
    if built.appended:
        script += _append(declaration, built)
    if built.macvtaps or any(isinstance(part, TapDevice) for word in built.argv for part in word.parts):
        script += _TAP_DEVICE
    for interface, descriptor in built.macvtaps:
        script += f'exec {descriptor}<>"$(tap_device {shlex.quote(interface)})"\n'
    if built.tells_balloon:
        package = definitions([Word((Variable.PACKAGE,))])
        script += package + _INITIAL_BALLOON.format(size=declaration["initial_balloon_mem"])
    return script + _PROCESS + _become(declaration, built)


def _volume_call(volume: Mapping[str, Any]) -> str:
    kind, label = volume["fs_type"], volume["label"]
    arguments = [f"mkfs.{kind}", *(("-q",) if kind in _QUIET else ())]
    arguments += [_LABEL_OPTIONS.get(kind, "-L"), label] if label else []
    arguments += volume["mkfs_extra_args"]
    return (
        " ".join(["create_volume", shlex.quote(volume["image"]), str(volume["size"]), *map(shlex.quote, arguments)])
        + "\n"
    )


def _sockets(built: Command) -> str:
    """What is behind sockets: stale ones go, companions come."""
    stale = list(built.stale) + ([built.companion_socket] if built.companion_socket else [])
    script = ""
    if built.notify:
        listener = f"{built.notify.socket}_{built.notify.port}"
        stale.append(listener)
        script += _NOTIFY.format(socket=shlex.quote(socat_escape(listener)))
    if built.companion:
        script += _COMPANION.format(command=command(built.companion), socket=shlex.quote(built.companion_socket))
    removal = "\nrm -f -- " + " ".join(shlex.quote(path) for path in stale) + "\n" if stale else ""
    return removal + script


def _append(declaration: Declaration, built: Command) -> str:
    files = declaration["credential_files"]
    calls: List[str] = []
    for name in built.appended:
        declared = Word((CredentialFile(name, files[name]),)) if name in files else None
        source = quoted(declared) if declared else f'"$package"/share/microvm/credentials/{shlex.quote(name)}'
        calls.append(f"credential {source} {shlex.quote(name)}\n")
    initrd = shlex.quote(declaration["initrd_path"])
    own = [Word((Variable.PACKAGE,))] if any(name not in files for name in built.appended) else []
    given = [Word((CredentialFile(name, path),)) for name, path in files.items()]
    return definitions(own + given) + _APPEND.format(
        name=declaration["name"], calls="".join(calls), initrd=initrd, descriptor=built.appended_at
    )


def _become(declaration: Declaration, built: Command) -> str:
    script = ""
    name = f"-a {shlex.quote('microvm@' + declaration['name'])} " if declaration["pretty_procnames"] else ""
    call = command(built.argv)
    if declaration["extra_args_script"]:
        script += _EXTRA_ARGUMENTS.format(program=shlex.quote(declaration["extra_args_script"]))
        # bash before 4.4 calls an empty list unset.
        call += ' \\\n    ${extra_arguments[@]+"${extra_arguments[@]}"}'
    if built.needs_terminal:
        script += _TERMINAL
        call = '${terminal[@]+"${terminal[@]}"} ' + call
    return script + f"\nexec {name}{call}\n"
