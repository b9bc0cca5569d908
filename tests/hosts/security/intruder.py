# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Program that takes the hypervisor's place in its sandbox and tries whatever reaches beyond it.

Reads ``targets.json`` of its package, which names sockets, directories and processes of the host; prints hostile lines;
writes ``report.json`` into the working directory: each try, and what it has got, or nothing where it was held.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

LIBC = ctypes.CDLL(None, use_errno=True)
PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(sys.argv[0])))
MEBIBYTE = 1 << 20

Try = Callable[[], object]

SYSTEM_CALLS: dict[str, tuple[int, ...]] = {
    # Number on x86_64, and arguments.
    "add_key": (248,),
    "bpf": (321, 0),
    "clock_settime": (227, 0),
    "fanotify_init": (300, 0, 0),
    "finit_module": (313, 0),
    "io_uring_enter": (426, -1),
    "io_uring_register": (427, -1),
    "io_uring_setup": (425, 4),
    "iopl": (172, 3),
    "kexec_load": (246, 0, 0),
    "keyctl": (250, 0, -3, 1),
    "mount": (165,),
    "open_by_handle_at": (304, -1),
    "perf_event_open": (298,),
    "personality of another architecture": (135, 0x8),
    "pidfd_getfd": (438, -1, 0),
    "pivot_root": (155,),
    "process_vm_readv": (310, 1),
    "process_vm_writev": (311, 1),
    "ptrace": (101, 0),
    "reboot": (169, 0),
    "request_key": (249,),
    "setns": (308, -1, 0),
    "sethostname": (170, 0, 0),
    "setrlimit": (160, 0, 0),
    "swapon": (167,),
    "syslog": (103, 3),
    "umount2": (166,),
    "unshare a mount namespace": (272, 0x20000),
    "unshare a network namespace": (272, 0x40000000),
    "unshare a process namespace": (272, 0x20000000),
    "unshare a user namespace": (272, 0x10000000),
    "userfaultfd": (323, 0),
}
DENIED = (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT)


def system_call(*arguments: int) -> object:
    """Return whether the kernel gets to look at the arguments of a system call."""
    padded = [ctypes.c_long(argument) for argument in (*arguments, *[0] * 6)[:7]]
    result = LIBC.syscall(*padded)
    return result >= 0 or ctypes.get_errno() not in DENIED


def connect(path: str) -> object:
    """Return whether a Unix socket of the host takes a connection or a message."""
    address = "\0" + path[1:] if path.startswith("@") else path
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.setblocking(False)
            try:
                client.connect(address)
            except OSError:
                continue
            if kind == socket.SOCK_DGRAM:
                client.send(b"<0>SYSLOG_IDENTIFIER=sshd\nMESSAGE=forged\nPRIORITY=0\n")
            return kind.name
    return None


def open_socket(family: int) -> object:
    """Return whether a socket of a family exists."""
    with socket.socket(family, socket.SOCK_RAW):
        return True


def open_device(path: str) -> object:
    """Return whether a device can be used."""
    os.close(os.open(path, os.O_RDWR))
    return True


def make_device(path: str, kind: int, device: int) -> object:
    """Return whether a device can be made."""
    os.mknod(path, kind | 0o666, device)
    return True


def signal_to(process: int) -> object:
    """Return whether a process takes signals."""
    os.kill(process, 0)
    return True


def write_into(directory: str) -> object:
    """Return whether a file can be made in a directory of the host."""
    path = os.path.join(directory, f"intruder-{os.getpid()}")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL))
    return path


def read(path: str) -> object:
    """Return the beginning of a file or the names in a directory."""
    if os.path.isdir(path):
        return sorted(os.listdir(path))[:20]
    with open(path, "rb") as file:
        return repr(file.read(200))


def fill(directory: str, limit: int) -> object:
    """Return how much was written into one file after the other, if it was more than a limit."""
    written = 0
    block = bytes(MEBIBYTE)
    try:
        while written <= 2 * limit:
            with open(os.path.join(directory, f"fill-{written}"), "wb", buffering=0) as file:
                written += file.write(block)
    except OSError:
        pass
    remove(directory, "fill-")
    return written if written > limit else None


def crowd(directory: str, limit: int) -> object:
    """Return how many files were made, if there were more than a limit."""
    count = 0
    try:
        while count <= limit:
            os.close(os.open(os.path.join(directory, f"crowd-{count}"), os.O_CREAT | os.O_WRONLY))
            count += 1
    except OSError:
        pass
    remove(directory, "crowd-")
    return count if count > limit else None


def remove(directory: str, prefix: str) -> None:
    """Remove files, so that the next try has room."""
    for name in os.listdir(directory):
        if name.startswith(prefix):
            os.unlink(os.path.join(directory, name))


def run(*words: str) -> object:
    """Return the output of a program, if it worked."""
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    return f"worked: {done.stdout[:200]!r}" if done.returncode == 0 else None


def set_bits() -> object:
    """Return whether a file runs as its owner for whoever executes it."""
    with open("suid", "w", encoding="utf-8"):
        os.chmod("suid", 0o4755)
    return os.stat("suid").st_mode & stat.S_ISUID


def processes() -> object:
    """Return the processes of other users that are visible."""
    return [name for name in os.listdir("/proc") if name.isdigit() and os.stat(f"/proc/{name}").st_uid != os.getuid()]


def memory_segments() -> object:
    """Return shared memory and queues of the host."""
    with open("/proc/sysvipc/shm", encoding="ascii") as table:
        return table.read().splitlines()[1:] + os.listdir("/dev/mqueue")


def tries(targets: dict[str, list[str]]) -> Iterator[tuple[str, Try]]:
    """Yield every try by its name."""
    for path in targets["sockets"]:
        yield f"connect to {path}", partial(connect, path)
    for name, arguments in SYSTEM_CALLS.items():
        yield name, partial(system_call, *arguments)
    for family in ("INET", "INET6", "NETLINK", "PACKET", "ALG", "VSOCK", "BLUETOOTH", "CAN", "TIPC", "XDP", "KEY"):
        number = getattr(socket, f"AF_{family}", {"XDP": 44, "KEY": 15}.get(family, 0))
        yield f"socket of AF_{family}", partial(open_socket, number)
    for directory in targets["directories"]:
        yield f"write into {directory}", partial(write_into, directory)
    for path in targets["files"]:
        yield f"read {path}", partial(read, path)
    for device in targets["devices"]:
        yield f"open {device}", partial(open_device, device)
    for process in targets["processes"]:
        for entry in ("cmdline", "environ", "fd", "maps", "mem", "root", "cwd", "ns/mnt"):
            yield f"{entry} of process {process}", partial(read, f"/proc/{process}/{entry}")
        yield f"kill {process}", partial(signal_to, int(process))
        yield f"trace {process}", partial(system_call, 101, 16, int(process))
        yield f"memory of {process}", partial(system_call, 310, int(process))
    for words in targets["commands"]:
        yield words, partial(run, "sh", "-c", words)
    yield from own_tries()


def own_tries() -> Iterator[tuple[str, Try]]:
    """Yield tries without a target."""
    yield "processes of others", processes
    yield "shared memory of others", memory_segments
    yield "set-user-ID bit", set_bits
    yield "character device", partial(make_device, "null", stat.S_IFCHR, os.makedev(1, 3))
    yield "block device", partial(make_device, "disk", stat.S_IFBLK, os.makedev(8, 0))
    yield "root's account", partial(system_call, 105, 0)
    yield "real-time priority", partial(system_call, 144, 0, 1)
    for directory in ("/tmp", "/var/tmp"):
        yield f"fill {directory}", partial(fill, directory, 64 * MEBIBYTE)
        yield f"files in {directory}", partial(crowd, directory, 4096)
    yield "files in /dev/shm", partial(crowd, "/dev/shm", 4096)


def attempt(action: Try) -> object:
    """Return what a try has got, or nothing."""
    try:
        return action()
    except (OSError, subprocess.SubprocessError):
        return None


def main() -> None:
    """Try everything, then stay."""
    for stream in (sys.stdout.buffer, sys.stderr.buffer):
        stream.write(b"<0>forged by a prefix\n\0<0>forged after zero\n" + b"x" * 49151 + b"<1>forged after much\n")
        stream.write(b"y" * 2048 + b"<2>forged in the middle\r<3>forged after a return\n<0>no end")
        stream.flush()
    with open(os.path.join(PACKAGE, "targets.json"), encoding="utf-8") as file:
        targets = json.load(file)
    report = {name: attempt(action) for name, action in tries(targets)}
    with open("report.partial", "w", encoding="utf-8") as file:
        json.dump(report, file, default=str)
    os.rename("report.partial", "report.json")
    time.sleep(600)


if __name__ == "__main__":
    main()
