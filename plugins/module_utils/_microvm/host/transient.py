# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Transient units (systemd-run(1)): programs that are not the host's run in a sandbox, never beside it.

Hypervisors, which guests may have taken over, can write to other processes of their user (ptrace(2)). Outside of a
sandbox these would be the way out of the hypervisors' own.
"""

from __future__ import annotations

import contextlib
import os
from typing import Iterable, List, Sequence

from ..declaration.names import unit_name
from ..schema.excerpts import last_lines
from .capture import OUTPUT_BYTES, Captured, capture
from .commands import HostError, run
from .unit_files import Setting, service_settings

LIFECYCLE = (
    "ExecCondition",
    "ExecReload",
    "ExecStart",
    "ExecStop",
    "LogRateLimit",
    "NotifyAccess",
    "Restart",
    "RuntimeDirectory",
    "SuccessExitStatus",
    "SyslogIdentifier",
    "Type",
)
"""Beginnings of settings that say how systemd supervises a service. All others, the sandbox, limits and devices among
them, hold in a transient unit too."""

OF_THE_HYPERVISOR = ("ImportCredential", "LoadCredential", "SetCredential", "Standard", "TTY", "Timeout", "Watchdog")
"""Beginnings of settings that are the hypervisor's alone: what it is given, and how long it may take."""

SCRIPT_SECONDS = 15
"""Time limit of a script of a package."""

_CONFINEMENT = (
    "AmbientCapabilities=",
    "CapabilityBoundingSet=",
    "DeviceAllow=",
    "DevicePolicy=closed",
    # A script talks to its hypervisor.
    "InaccessiblePaths=-/run/dbus -/run/systemd/journal -/run/systemd/notify -/run/systemd/private",
    "KillMode=control-group",
    # At once: what has been left behind has no say in how long it takes, or in how the script has ended.
    "KillSignal=SIGKILL",
    "LimitCORE=0",
    "MemoryMax=64M",
    "NoNewPrivileges=yes",
    # Longer than it is waited for: for when nobody waits any more.
    f"RuntimeMaxSec={SCRIPT_SECONDS + 5}",
    "TasksMax=32",
    "TimeoutStopSec=2",
)
"""Settings of a script's unit beside those of the service, whatever these say."""

_STRANGER = (
    "AmbientCapabilities=",
    "CapabilityBoundingSet=",
    "DevicePolicy=closed",
    "DynamicUser=yes",
    "InaccessiblePaths=-/boot -/dev/mqueue -/dev/shm -/mnt -/srv -/var/lib -/var/cache -/var/log",
    "KeyringMode=private",
    "KillMode=control-group",
    "KillSignal=SIGKILL",
    "LimitCORE=0",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "MemoryMax=1G",
    "NoNewPrivileges=yes",
    "PrivateIPC=yes",
    "PrivateMounts=yes",
    "PrivateNetwork=yes",
    "PrivateTmp=yes",
    "ProcSubset=pid",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProtectSystem=strict",
    "ReadOnlyPaths=/tmp /var/tmp",
    "RemoveIPC=yes",
    "RestrictAddressFamilies=AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
    "SystemCallFilter=@system-service seccomp",
    "SystemCallFilter=~@privileged @resources",
    "TasksMax=64",
    # Sockets of the host's services, and consoles of MicroVMs.
    "TemporaryFileSystem=/run:ro",
    "TimeoutStopSec=2",
    "UMask=0077",
)
"""Settings of a unit for what is declared and not trusted: a user that exists for this moment, who writes nothing, and
sees neither the network, nor others' processes, nor the data of the host."""

_SETUP_FAILED = range(200, 244)
"""Exit statuses of systemd itself where it cannot make a sandbox (systemd.exec(5))."""

_STOP_SECONDS = 30


def service_sandbox(name: str) -> List[Setting]:
    """Return the settings of a MicroVM's service that hold in the foreground too. Raises HostError."""
    settings = service_settings(unit_name(name), name)
    return [(key, value) for key, value in settings if not key.startswith(LIFECYCLE)]


def property_words(properties: Iterable[str]) -> List[str]:
    """Return the options of systemd-run(1) that set properties of a unit."""
    return [word for value in properties for word in ("--property", value)]


def run_transient(unit: str, properties: Iterable[str], argv: Sequence[str], seconds: float, until: bytes) -> Captured:
    """Run a program in a transient unit, and end it after ``seconds``, too much output, or the bytes ``until``.

    The unit is gone when this returns. Raises HostError.
    """
    words = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", f"--unit={unit}", *property_words(properties)]
    captured = None
    try:
        captured = capture([*words, "--", argv[0], *map(_literal, argv[1:])], seconds, OUTPUT_BYTES, until)
    finally:
        if captured is None or captured.status is None:
            with contextlib.suppress(HostError):
                run(["systemctl", "stop", "--", unit], timeout=_STOP_SECONDS)
    return captured


def _literal(word: str) -> str:
    """Return an argument as systemd reads it back, which looks for variables in it (systemd.service(5))."""
    return word.replace("$", "$$")


def run_script(name: str, argv: Sequence[str]) -> str:
    """Run a script of a running MicroVM's package as its user, in the sandbox of its service, while that is active.

    Returns the output, fit for a message. Raises HostError.
    """
    service = unit_name(name)
    settings = [(key, value) for key, value in service_sandbox(name) if not key.startswith(OF_THE_HYPERVISOR)]
    properties = [
        # Not BindsTo=, which would start a MicroVM that has just ended.
        f"Requisite={service}",
        f"After={service}",
        f"StopPropagatedFrom={service}",
        *(f"{key}={value}" for key, value in settings),
        *_CONFINEMENT,
    ]
    script = os.path.basename(argv[0])
    captured = run_transient(f"{script}-{name}-{os.getpid()}.service", properties, argv, SCRIPT_SECONDS, b"")
    if captured.is_cut:
        raise HostError(f"{script} of {name} prints more than {OUTPUT_BYTES} bytes, and was ended")
    if captured.status is None:
        raise HostError(f"{script} of {name} has not ended within {SCRIPT_SECONDS} s, and was ended")
    if captured.status != 0:
        reason = last_lines(captured.errors.decode(errors="replace")) or f"exit status {captured.status}"
        raise HostError(f"{script} of {name} failed: {reason}")
    return last_lines(captured.text)


def run_confined(
    purpose: str, argv: Sequence[str], seconds: float, properties: Iterable[str] = (), until: bytes = b""
) -> Captured:
    """Run a program that is declared, as nobody in particular, where it can change nothing and reach nobody.

    ``properties`` are those that it needs besides. Raises HostError where there is no such sandbox.
    """
    limits = (*_STRANGER, f"RuntimeMaxSec={seconds + 5:.0f}", *properties)
    captured = run_transient(f"microvm-{purpose}-{os.getpid()}.service", limits, argv, seconds, until)
    if captured.status in _SETUP_FAILED:
        reason = last_lines(captured.errors.decode(errors="replace")) or f"exit status {captured.status}"
        raise HostError(f"systemd cannot make the sandbox of {argv[0]} ({purpose}): {reason}")
    return captured
