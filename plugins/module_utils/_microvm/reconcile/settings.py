# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's units are told of one MicroVM beside its package: limits, time limits, what follows an end. Pure."""

from __future__ import annotations

from typing import Dict, List, Mapping

from ..declaration.names import unit_name
from ..declaration.parse import Declaration
from ..hypervisors.capabilities import CAPABILITIES

LADDER_SECONDS = 30
"""What the last rungs of a stop take after ``stop_timeout``: SIGTERM, ten seconds, SIGKILL."""

MEMORY_BESIDE, MEMORY_FOR_TRANSLATION = 512, 1024
"""MiB that a hypervisor needs beside the guest's memory and an eighth of it; a translator keeps code besides."""


def unit_settings(declaration: Declaration, accel: str) -> str:
    """Lines of the drop-in's section ``[Service]`` that follow from the host's options."""
    lines = [
        f"TimeoutStartSec={declaration['startup_timeout']}",
        f"TimeoutStopSec={declaration['stop_timeout'] + LADDER_SECONDS}",
        # The one who notifies is a relay beside the hypervisor.
        *(["Type=notify", "NotifyAccess=all"] if declaration["use_notify_sockets"] else []),
        *_limits(declaration, accel),
    ]
    return "".join(f"{line}\n" for line in lines)


def _limits(declaration: Declaration, accel: str) -> List[str]:
    limits = declaration["limits"]
    memory = limits["memory_max"]
    if memory is None:
        guest = declaration["mem"] + declaration["hotplug_mem"]
        memory = guest + guest // 8 + MEMORY_BESIDE + (MEMORY_FOR_TRANSLATION if accel == "tcg" else 0)
    lines = [f"MemoryMax={memory}M" if memory else "MemoryMax=infinity", f"TasksMax={limits['tasks_max']}"]
    lines += [f"CPUQuota={limits['cpu_quota']}%"] if limits["cpu_quota"] else []
    lines += [f"CPUWeight={limits['cpu_weight']}"] if limits["cpu_weight"] else []
    return lines + ([f"IOWeight={limits['io_weight']}"] if limits["io_weight"] else [])


def environment(declaration: Declaration) -> str:
    """What the units' scripts read (systemd.exec(5), EnvironmentFile)."""
    values = {
        "BOOT_ORDER": declaration["autostart_order"],
        "CLEAN_END": CAPABILITIES[declaration["hypervisor"]].clean_end,
        "ON_CRASH": declaration["on_crash"],
        "ON_POWEROFF": declaration["on_poweroff"],
        "ON_REBOOT": declaration["on_reboot"],
        "STOP_TIMEOUT": declaration["stop_timeout"],
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def drop_ins(package: Mapping[str, str], settings: str) -> Dict[str, str]:
    """The drop-ins of a MicroVM's units by template: what its package brings along, and the host's settings."""
    main = unit_name("")
    texts = dict(package)
    if settings:
        texts[main] = (texts.get(main) or "[Service]\n") + settings
    return texts
