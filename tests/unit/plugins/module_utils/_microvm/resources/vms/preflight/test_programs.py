# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Missing programs are refused by name, unless role ``host`` is about to install them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import (
    ExternalDeclarations,
    parse_vms,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import programs as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.expected import Expected
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.programs import (
    check_programs,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ....examples import parse
from .placed import USER, placed

ROLES, NOTHING = Expected(setup=True), Expected()


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory of programs."""
    monkeypatch.setattr(module, "search_path", lambda: str(tmp_path))
    monkeypatch.setattr(files, "read_text", lambda _path: 'ID=debian\nVERSION_CODENAME="trixie"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("hypervisor", "program", "key", "package"),
    [
        ("qemu", "qemu-system-x86_64", "hypervisor", "qemu-system-x86"),
        ("crosvm", "mkfs.ext4", "volumes", "e2fsprogs"),
        ("qemu", "mkfs.ext2", "volumes", "e2fsprogs"),
        ("alioth", "virtiofsd", "shares", "virtiofsd"),
    ],
)
def test_programs_that_roles_install_may_be_missing_before_they_do(
    path: Path, hypervisor: str, program: str, key: str, package: str
) -> None:
    first = program if program.startswith("qemu") else "present"
    (path / "present").touch(mode=0o755)
    declared, programs = (
        placed({**USER, "hypervisor": hypervisor, "interfaces": []}),
        {"vms[0]": list({first: None, program: None})},
    )
    check_programs(declared, programs, ROLES)
    with pytest.raises(DeclarationError, match=f"is not installed; run .* install {package}") as why:
        check_programs(declared, programs, NOTHING)
    assert why.value.path == f"vms[0].{key}"
    (path / program).touch(mode=0o755)
    check_programs(declared, programs, NOTHING)


@pytest.mark.parametrize(
    ("hypervisor", "program", "words"),
    [
        ("firecracker", "firecracker", "set `firecracker.package`"),
        ("cloud-hypervisor", "cloud-hypervisor", "set `cloud_hypervisor.package`"),
        ("qemu", "/opt/qemu/bin/qemu-system-x86_64", "/opt/qemu/bin/qemu-system-x86_64 does not exist on this host"),
    ],
)
@pytest.mark.parametrize("expected", [ROLES, NOTHING])
def test_programs_that_no_role_installs_are_refused_at_once(
    hypervisor: str, program: str, words: str, expected: Expected
) -> None:
    declared = placed({**USER, "hypervisor": hypervisor, "interfaces": []})
    with pytest.raises(DeclarationError, match=words):
        check_programs(declared, {"vms[0]": [program]}, expected)


@pytest.mark.parametrize("expected", [ROLES, NOTHING])
def test_no_role_installs_what_an_external_package_executes(expected: Expected) -> None:
    recorded = parse({**USER, "volumes": [{"image": "a", "size": 8}]})[0]
    vms = [{"name": "one", "runner": "/srv/one"}, {**USER, "name": "two"}]
    external, rendered = parse_vms(vms, external=ExternalDeclarations({0: recorded}))
    programs = {"vms[0]": ["mkfs.ext4"], "vms[1]": []}
    with pytest.raises(DeclarationError, match="install e2fsprogs") as why:
        check_programs([("vms[0]", external)], programs, expected)
    assert why.value.path == "vms[0].runner"
    programs = {"vms[0]": ["mkfs.ext4"], "vms[1]": ["mkfs.ext4"]}
    if expected is ROLES:
        # Another MicroVM of the host brings it.
        check_programs([("vms[0]", external), ("vms[1]", rendered)], programs, expected)


@pytest.mark.parametrize(("release", "is_refused"), [("bookworm", True), ("jammy", True), ("noble", False)])
def test_a_release_without_a_package_of_a_program_is_known(
    path: Path, monkeypatch: pytest.MonkeyPatch, release: str, is_refused: bool
) -> None:
    monkeypatch.setattr(files, "read_text", lambda _path: f"VERSION_CODENAME={release}\n")
    (path / "hypervisor").touch(mode=0o755)
    declared, programs = placed(USER), {"vms[0]": ["hypervisor", "virtiofsd"]}
    if not is_refused:
        check_programs(declared, programs, ROLES)
        return
    with pytest.raises(DeclarationError, match=r"no package of the distribution .*set `virtiofsd\.package`"):
        check_programs(declared, programs, ROLES)
