# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of a host's units for one MicroVM: limits, time limits, consequences of an end. Pure."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Optional, Sequence

from ...declaration.accounts import Account
from ...declaration.names import SCRIPT_DIRECTORY, WAIT, unit_name
from ...declaration.restrictions.uses import is_below
from ...declaration.vms.parse import Declaration
from ...declaration.vms.share_sources import Ownership
from ...runner.units import UNIT_TEMPLATES, VIRTIOFSD_TEMPLATE
from ...schema.quoting import (
    INSTANCE,
    environment_value,
    fields,
    one_per_line,
    plain,
    section,
    setting,
    unit_reference,
    unit_word,
)
from .needs import NOTHING, Needs

WAIT_TEMPLATE = f"{WAIT}@.service"

DROP_IN_TEMPLATES = (*UNIT_TEMPLATES, WAIT_TEMPLATE)
"""Template units that MicroVMs have drop-ins of on a host: of those that packages bring along, and of ours."""

_LOST = ("/run", "/var/run", "/tmp", "/dev/shm")
"""Directories that are empty when the host has started."""

LADDER_SECONDS = 30
"""Seconds that the last rungs of a stop take after ``stop_timeout``: SIGTERM, ten seconds, SIGKILL."""


def host_unit_settings(declaration: Declaration) -> str:
    """Lines of the drop-in's section ``[Service]`` that follow from the host's options."""
    lines = [
        setting("TimeoutStartSec", plain(declaration["startup_timeout"])),
        setting("TimeoutStopSec", plain(declaration["stop_timeout"] + LADDER_SECONDS)),
        *_limits(declaration),
    ]
    return "".join(lines)


def _limits(declaration: Declaration) -> List[str]:
    limits = declaration["limits"]
    lines = [setting("TasksMax", plain(limits["tasks_max"]))]
    if limits["memory_max"] is not None:
        lines.append(_memory_limit(limits["memory_max"] or float("inf")))
    lines += [setting("CPUQuota", plain(f"{limits['cpu_quota']}%"))] if limits["cpu_quota"] else []
    lines += [setting("CPUWeight", plain(limits["cpu_weight"]))] if limits["cpu_weight"] else []
    return lines + ([setting("IOWeight", plain(limits["io_weight"]))] if limits["io_weight"] else [])


def _memory_limit(mebibytes: float) -> str:
    return setting("MemoryMax", plain("infinity" if mebibytes == float("inf") else f"{mebibytes:.0f}M"))


def environment(declaration: Declaration) -> str:
    """Return the settings that the units' scripts read (systemd.exec(5), EnvironmentFile)."""
    values = {
        "BOOT_ORDER": declaration["autostart_order"],
        "ON_CRASH": declaration["on_crash"],
        "ON_POWEROFF": declaration["on_poweroff"],
        "ON_REBOOT": declaration["on_reboot"],
        "STOP_TIMEOUT": declaration["stop_timeout"],
        "WAIT_TIMEOUT": declaration["wait_timeout"],
    }
    return "".join(setting(name, environment_value(value)) for name, value in values.items())


def host_dependencies(declaration: Declaration) -> str:
    """Lines of the section ``[Unit]`` that follow from the host's options, for all units that wait."""
    required = list(map(unit_reference, declaration["requires"]))
    after = [*map(unit_reference, declaration["after"]), *required]
    lines = [setting("Requires", *required)] if required else []
    return "".join([*lines, *([setting("After", *after)] if after else [])])


def boot_directories(
    directories: Iterable[str], owner: Account, declared: Optional[Mapping[str, Ownership]] = None
) -> str:
    """Return what creates those directories again that a start of the host loses (tmpfiles.d(5)).

    They are the user's, but for those that something else is ``declared`` for.
    """
    lost = (directory for directory in directories if any(is_below(directory, parent) for parent in _LOST))
    usual = Ownership(owner.user, owner.group)
    return one_per_line(_directory(path, (declared or {}).get(path, usual)) for path in lost)


def _directory(path: str, created: Ownership) -> str:
    words = [plain(created.mode), plain(created.user), plain(created.group), plain("-")]
    return fields(plain("d"), unit_word(path), *words)


def drop_ins(
    package: Mapping[str, str], settings: str, dependencies: str = "", needs: Needs = NOTHING
) -> Dict[str, str]:
    """The drop-ins of a MicroVM's units by template: what its package brings along and needs, and the host's settings.

    ``settings`` and ``dependencies`` are those of the host, see Record.
    """
    main = unit_name("")
    texts = dict(package)
    if settings:
        texts[main] = texts[main] + settings if texts.get(main) else section("Service", [settings])
    lines = "".join([*(setting("RequiresMountsFor", unit_word(path)) for path in needs.paths), dependencies])
    if lines:
        # What serves shares stops before their file systems too.
        for template in (main, *((VIRTIOFSD_TEMPLATE,) if needs.serves_shares else ())):
            texts[template] = texts.get(template, "") + section("Unit", [lines])
    if lines or needs.awaited:
        texts[WAIT_TEMPLATE] = _wait(lines, needs.awaited)
    return texts


def _wait(lines: str, awaited: Sequence[str]) -> str:
    """Return the drop-in of the unit that waits. With a colon, dollar signs are no variables (systemd.service(5))."""
    script = plain(f":{SCRIPT_DIRECTORY}/{WAIT}")
    command = setting("ExecStart", script, INSTANCE, *map(unit_word, awaited))
    return (section("Unit", [lines]) if lines else "") + section("Service", [setting("ExecStart"), command])


def with_memory_of(texts: Mapping[str, str], running: Mapping[str, str]) -> Dict[str, str]:
    """The drop-ins of a package that waits for its start, for a unit that runs an older one: a limit is in force as
    soon as systemd has read it, so it is not below what the guest was given."""
    main = unit_name("")
    current = dict(texts)
    before, after = (_memory(drop_ins.get(main, "")) for drop_ins in (running, texts))
    if before is not None and after is not None and before > after:
        current[main] += section("Service", [_memory_limit(before)])
    return current


def _memory(text: str) -> Optional[float]:
    """MiB; the last line counts (systemd.syntax(7))."""
    values = [line.partition("=")[2] for line in text.split("\n") if line.startswith("MemoryMax=")]
    return float(values[-1].rstrip("M").replace("infinity", "inf")) if values else None
