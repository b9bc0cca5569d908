# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks the other hypervisors' own parsers, where their programs are installed. QEMU's is asked by qemu_parser.

They are started with files that do not exist, and must complain of those, or of KVM, and of no argument.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.shell import readable

from .test_cases import CASES, rendered

PROGRAMS = {
    "cloud-hypervisor": "cloud-hypervisor",
    "firecracker": "firecracker",
    "crosvm": "crosvm",
    "kvmtool": "lkvm",
    "stratovirt": "stratovirt",
    "alioth": "alioth",
}
COMPLAINT = re.compile(
    r"unexpected argument|unknown (argument|option|switch)|unrecognized|invalid value|^usage"
    r"|unknown field|ignored|mismatched|more than once",
    re.IGNORECASE | re.MULTILINE,
)


@pytest.mark.parametrize("hypervisor", PROGRAMS)
def test_every_command_line_is_accepted_by_the_hypervisors_parser(hypervisor: str, tmp_path: Path) -> None:
    if shutil.which(PROGRAMS[hypervisor]) is None:
        pytest.skip(f"{PROGRAMS[hypervisor]} is not installed, so its parser is not asked")
    for case in CASES.values():
        result = rendered(case) if case["microvm"]["hypervisor"] == hypervisor else None
        if result is None or not result.command or not result.package or "aarch64" in case["system"]:
            continue
        argv = [readable(word).replace("$package", str(tmp_path)) for word in result.command.argv]
        for path, file in result.package.files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(file.content)
        process = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
        assert not COMPLAINT.search(process.stderr + process.stdout), (case["name"], process.stderr)
