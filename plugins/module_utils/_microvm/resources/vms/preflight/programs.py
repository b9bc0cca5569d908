# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that a host has the programs that packages run; those that role ``host`` installs may be yet to come."""

from __future__ import annotations

import shutil
from typing import Mapping, Sequence

from ....declaration.vms.external import source_option
from ....declaration.vms.parse import Declaration
from ....host import files
from ....host.commands import search_path
from ....hypervisors.profiles import PROFILES
from ....hypervisors.programs import VIRTIOFSD, debian_packages
from ....schema.errors import DeclarationError
from .expected import Expected, Placed


def check_programs(placed: Placed, programs: Mapping[str, Sequence[str]], expected: Expected) -> None:
    """Refuse a host that lacks programs.

    ``programs`` are those that packages run, by the declarations' paths. Raises DeclarationError.
    """
    # Role ``host`` reads declarations, and no external package.
    rendered = {program for path, vm in placed if not source_option(vm) for program in programs[path]}
    missing = {
        program
        for program in {program for listed in programs.values() for program in listed}
        if shutil.which(program, path=search_path()) is None
    }
    for path, declaration in placed:
        for program in (program for program in programs[path] if program in missing):
            package = ", ".join(debian_packages([program], _release()))
            if not (package and expected.setup and program in rendered):
                key = source_option(declaration) or _key(program)
                raise DeclarationError(f"{path}.{key}", _refusal(declaration, program, package))


def _release() -> str:
    """Return the code name of the distribution's release (os-release(5))."""
    fields = (line.partition("=") for line in (files.read_text("/etc/os-release") or "").splitlines())
    return next((value.strip("\"'") for name, _equals, value in fields if name == "VERSION_CODENAME"), "")


def _key(program: str) -> str:
    if program.startswith("mkfs."):
        return "volumes"
    return "shares" if program.rpartition("/")[2] == VIRTIOFSD else "hypervisor"


def _refusal(declaration: Declaration, program: str, package: str) -> str:
    if source_option(declaration):
        remedy = f"install {package}" if package else "install it"
        return (
            f"the package executes the program {program}, which is not on this host, and the roles install nothing for "
            f"external packages; {remedy}"
        )
    if package:
        return f"the program {program} is not installed; run the role microvm.fleet.host first, or install {package}"
    if program.startswith("/"):
        return f"the program {program} does not exist on this host; correct the path or provide the program"
    group = VIRTIOFSD if program == VIRTIOFSD else PROFILES[declaration["hypervisor"]].group.name
    return (
        f"the program {program} is not installed, and no package of the distribution has it that the roles install; "
        f"install it on this host, and set `{group}.package` if that is not in PATH"
    )
