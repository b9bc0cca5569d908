# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Content of every file of a prepared host. Pure.

Units and scripts are files of the folders ``units`` and ``scripts``, where ``@NAME@`` stands for a value.
"""

from __future__ import annotations

import json
import os.path
import re
import shlex
from dataclasses import dataclass
from typing import Dict, Iterator, Mapping, Tuple

from ...declaration import names
from ...declaration.huge_pages import pages_file
from ...declaration.types import HostSetup
from ...schema.quoting import environment_value, fields, one_per_line, plain, setting
from . import nix_settings
from .command.sources import COMPLETION, MANUAL
from .package_script import package_script
from .scripts import sources as scripts
from .units import sources as units

HEADER = "# Written by microvm.fleet; changes here are lost.\n"
_SHEBANG = "#!/usr/bin/env bash\n"
_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


@dataclass(frozen=True)
class HostFile:
    """A file of root's."""

    content: str
    mode: int = 0o644


@dataclass(frozen=True)
class KernelModule:
    """A module of the kernel, or what is built in instead."""

    name: str
    device: str
    """Device by which the module is used. Udev makes it from a list in the module, before that is loaded."""
    purpose: str
    """Feature that needs the module."""

    @property
    def registration(self) -> str:
        """Return the directory that exists once the kernel has the driver of the device, loaded or built in."""
        return f"/sys/class/misc/{os.path.basename(self.device)}"


KERNEL_MODULES: Tuple[KernelModule, ...] = (
    KernelModule("tun", "/dev/net/tun", "interfaces of type tap"),
    KernelModule("vhost_net", "/dev/vhost-net", "vhost for tap interfaces"),
    KernelModule("vhost_vsock", "/dev/vhost-vsock", "vsock"),
)

KSM = "/sys/kernel/mm/ksm/run"
"""Merging of equal pages: 0 stopped, 1 running, 2 stopped and all pages separate again."""


def files(setup: HostSetup) -> Dict[str, HostFile]:
    """Return every file by its path."""
    contents = {
        **{
            f"{names.UNIT_DIRECTORY}/{name}": HostFile(content)
            for name, content in unit_files(setup["state_dir"]).items()
        },
        **{
            f"{names.SCRIPT_DIRECTORY}/{name}": HostFile(content, 0o755)
            for name, content in script_files(setup["state_dir"]).items()
        },
        names.BOOT_SETTINGS: HostFile(
            HEADER
            + setting("BOOT_PARALLEL", environment_value(setup["boot_parallel"]))
            + setting("BOOT_SETTLE", environment_value(setup["boot_settle"]))
        ),
        names.HOST_SETTINGS: HostFile(_settings(setup)),
        names.MODULES_LOAD: HostFile(HEADER + one_per_line(module.name for module in KERNEL_MODULES)),
        names.LIMITS: HostFile(HEADER + one_per_line(_memory_locks(names.USER))),
        names.MANUAL_PAGE: HostFile(MANUAL),
        names.COMPLETION: HostFile(COMPLETION),
    }
    restrictions = setup["restrictions"]
    if restrictions is not None and restrictions["enable"]:
        contents[names.RESTRICTIONS] = HostFile(json.dumps(restrictions, indent=2, sort_keys=True) + "\n", 0o600)
    if setup["ksm"]:
        contents[names.KSM_SETTINGS] = HostFile(HEADER + one_per_line([_written_at_boot(KSM, "1")]))
    if setup["nix"]:
        contents[names.NIX_SETTINGS] = HostFile(HEADER + nix_settings.configured_lines(setup))
    if setup["nix_collect_garbage"]:
        contents.update(
            (f"{names.UNIT_DIRECTORY}/{unit}", HostFile(HEADER + content))
            for unit, content in nix_settings.garbage_units(setup["nix_collect_garbage"]).items()
        )
    if setup["huge_pages"]:
        contents[names.HUGE_PAGES_SETTINGS] = huge_page_settings(huge_page_counts(setup), {})
    return dict(sorted(contents.items()))


_FORMER = "# former number: "
"""Begins a line with a file of the kernel and the number that it had before ours, such as that of a sysctl."""


def huge_page_settings(counts: Mapping[str, int], former: Mapping[str, int]) -> HostFile:
    """Return the file that sets huge pages aside, and keeps the numbers that there were of some before."""
    numbers = (f"{_FORMER}{path} {number}" for path, number in former.items() if path in counts)
    lines = (_written_at_boot(path, str(count)) for path, count in counts.items())
    return HostFile(HEADER + one_per_line(numbers) + one_per_line(lines))


def former_huge_pages(text: str) -> Dict[str, int]:
    """Return the numbers that such a file keeps, by the files of the kernel."""
    kept = (line[len(_FORMER) :].split() for line in text.splitlines() if line.startswith(_FORMER))
    return {words[0]: int(words[1]) for words in kept if len(words) == 2 and words[1].isdecimal()}


def _written_at_boot(path: str, value: str) -> str:
    """Return a line of tmpfiles.d(5)."""
    return fields(*map(plain, ("w", path, "-", "-", "-", "-", value)))


def values_written_at_boot(text: str) -> Dict[str, str]:
    """Return the values by path of the lines above."""
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {words[1]: words[-1] for words in lines if len(words) > 1}


def huge_page_counts(setup: HostSetup) -> Dict[str, int]:
    """Return the numbers of huge pages that are set aside, by the files that take them."""
    return {pages_file(pages["size"]): pages["count"] for pages in setup["huge_pages"]}


def _settings(setup: HostSetup) -> str:
    """Return what others read of the setup. One key per line, for the shell's completion."""
    recorded = {"state_dir": setup["state_dir"], "image_store": setup["image_store"]}
    return json.dumps(recorded, indent=2, sort_keys=True) + "\n"


def _memory_locks(user: str) -> Iterator[str]:
    """Yield lines of limits.conf(5)."""
    for kind in ("hard", "soft"):
        yield fields(plain(user), plain(kind), plain("memlock"), plain("infinity"))


def unit_files(state_directory: str) -> Dict[str, str]:
    """Return the units by name."""
    values = _values(state_directory)
    return {name: HEADER + _filled(content, values) for name, content in units.FILES.items()}


def script_files(state_directory: str) -> Dict[str, str]:
    """Return the scripts that units run, by name."""
    contents = {**scripts.FILES, "microvm-package": package_script()}
    values = {**_values(state_directory), "STATE_DIRECTORY": shlex.quote(state_directory)}
    return {name: _SHEBANG + HEADER + _filled(content, values) for name, content in sorted(contents.items())}


def _values(state_directory: str) -> Mapping[str, str]:
    return {
        "STATE_DIRECTORY": plain(state_directory),
        "FLEET_DIRECTORY": names.FLEET_DIRECTORY,
        "UNIT_DIRECTORY": names.UNIT_DIRECTORY,
        "WORK_DIRECTORY": names.WORK_DIRECTORY,
        "SOCKET_DIRECTORY": names.SOCKET_DIRECTORY,
        "CURRENT_LINK": names.CURRENT_LINK,
        "BOOTED_LINK": names.BOOTED_LINK,
        "SCRIPT_DIRECTORY": names.SCRIPT_DIRECTORY,
        "SETTINGS_DIRECTORY": names.SETTINGS_DIRECTORY,
        "BOOT_SETTINGS": names.BOOT_SETTINGS,
        "CONSOLE_DIRECTORY": names.CONSOLE_DIRECTORY,
        # systemd puts these into /run (RuntimeDirectory= of systemd.exec(5)).
        "CONSOLE_DIRECTORY_BELOW_RUN": names.CONSOLE_DIRECTORY[len("/run/") :],
        "BOOT_QUEUE_BELOW_RUN": names.BOOT_QUEUE_DIRECTORY[len("/run/") :],
        "CONTROL_FILES": " ".join(names.WORK_ENTRIES),
        "RECORD_DIRECTORY": names.RECORD_DIRECTORY,
        "ARCHIVE_DIRECTORY": names.ARCHIVE_DIRECTORY,
        "MOVE_DIRECTORY": names.MOVE_DIRECTORY,
        "NETWORK_UNIT": names.NETWORK_UNIT,
        "DEVICES_UNIT": names.DEVICES_UNIT,
        "DEVICE_RULES": names.DEVICE_RULES,
        "NETWORK_LIST": names.NETWORK_LIST,
        "TAP_RULES_DIRECTORY": names.TAP_RULES_DIRECTORY,
        "COMMAND": names.COMMAND,
        "USER": names.USER,
        "GROUP": names.GROUP,
        "TARGET": names.TARGET,
        "HELPERS": " ".join(f"{helper}@%i.service" for helper in names.HELPERS),
    }


def _filled(content: str, values: Mapping[str, str]) -> str:
    """Return a content with its placeholders replaced. Raises KeyError for one that has no value."""
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], content)
