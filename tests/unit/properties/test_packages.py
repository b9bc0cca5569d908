# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties of the package of any accepted declaration."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.source import Source
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.work import Result, results
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import PackagedVm, Vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import PACKAGE_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.words import CredentialFile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.compaction import compact, complete
from hypothesis import assume, given, settings

from ..plugins.module_utils._microvm.conformance import violations
from .strategies import declarations

VARIABLES = {"package": "/the package", "tsc_parameter": " tsc_early_khz=1", "PWD": "/state dir"}


def render(raw: dict[str, Any]) -> Result:
    """Render a declaration for a host that its hypervisor runs on."""
    platform = "aarch64-darwin" if raw["hypervisor"] == "vfkit" else "x86_64-linux"
    return results(Source((("", raw),)), platform)[0]


def make(raw: dict[str, Any]) -> Result:
    """The package, or the test looks for another declaration."""
    result = render(raw)
    assume(result.package is not None)
    return result


def scripts(result: Result) -> list[str]:
    assert result.package
    return [file.content.decode() for file in result.package.files.values() if file.executable]


@settings(max_examples=100)
@given(declarations)
def test_a_parsed_declaration_and_its_record_are_of_their_types(raw: dict[str, Any]) -> None:
    declaration = make(raw).declaration
    assert declaration is not None and list(violations(declaration, Vm)) == []
    record = complete(PACKAGE_OPTIONS, compact(PACKAGE_OPTIONS, declaration))
    assert list(violations(record, PackagedVm)) == []


@settings(max_examples=150)
@given(declarations)
def test_bash_reads_every_script(raw: dict[str, Any]) -> None:
    for script in scripts(make(raw)):
        checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), script


@settings(max_examples=150)
@given(declarations)
def test_arguments_survive_the_shell(raw: dict[str, Any]) -> None:
    result = make({key: value for key, value in raw.items() if key != "extra_args_script"})
    assert result.package and result.command
    script = result.package.files["bin/microvm-run"].content.decode()
    call = script[script.rindex("\nexec ") + len("\nexec ") :]
    name = ["-a", f"microvm@{raw['name']}"] if raw.get("pretty_procnames", True) else []
    setting = "".join(f"{key}='{value}'\n" for key, value in VARIABLES.items())
    setting += 'credential_file() { echo "$2"; }\n'
    setting += 'macvtap_device() { echo "/dev/tap$1"; }\n'
    answer = subprocess.run(
        ["bash", "-c", f"{setting}printf '%s\\0' {call}"], capture_output=True, text=True, check=True
    )
    # The name is not for people here, whose dollar signs are variables.
    assert answer.stdout.split("\0")[:-1] == name + [expanded(word) for word in result.command.argv]


def expanded(word: Any) -> str:
    """Return what the shell should make of a word."""
    parts = []
    for part in word.parts:
        if isinstance(part, str):
            parts.append(part)
        else:
            parts.append(known(part))
    return "".join(parts)


def known(part: Any) -> str:
    """Return what the shell should make of a part that is not a string."""
    if isinstance(part, CredentialFile):
        return part.path
    return VARIABLES[part.value] if hasattr(part, "value") else f"/dev/tap{part.interface}"


def shuffled(value: Any, order: random.Random) -> Any:
    """The same with the keys of all mappings in another order."""
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(element, order) for element in value] if isinstance(value, list) else value


@settings(max_examples=100)
@given(declarations)
def test_the_order_of_keys_does_not_matter(raw: dict[str, Any]) -> None:
    first, second = make(raw), make(shuffled(raw, random.Random(0)))
    assert first.package and second.package
    assert first.package.files == second.package.files and first.package.digest == second.package.digest


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@settings(max_examples=12)
@given(declarations)
def test_shellcheck_finds_nothing(raw: dict[str, Any]) -> None:
    for script in scripts(make(raw)):
        # A quoted dollar sign is data here (SC2016), and so is what looks like a range or a tilde.
        command = ["shellcheck", "--severity=warning", "--shell=bash", "-"]
        checked = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stdout + script


@settings(max_examples=100)
@given(declarations)
def test_secrets_are_read_where_and_when_they_are_needed(raw: dict[str, Any]) -> None:
    """A package has the names of secret files, and never what stands in them."""
    with tempfile.NamedTemporaryFile("w", suffix="secret") as secret:
        secret.write("c4n4ry")
        secret.flush()
        result = make({**raw, "credential_files": {"token": secret.name}})
    assert result.command and result.package
    assert secret.name in "".join(scripts(result))
    assert not [path for path, file in result.package.files.items() if b"c4n4ry" in file.content]


def test_appended_credentials_reach_the_hypervisor_and_nobody_else(tmp_path: Path) -> None:
    """The hypervisor is a mock, since it needs KVM: it shows what it would give the guest."""
    secret = tmp_path / "my$(secret)"
    secret.write_text("c4n4ry")
    (tmp_path / "initrd").write_bytes(b"initrd!")
    state = tmp_path / "state"
    (tmp_path / "bin").mkdir()
    state.mkdir()
    hypervisor = tmp_path / "bin" / "lkvm"
    hypervisor.write_text(
        '#!/usr/bin/env bash\nwhile [ "$1" != -i ]; do shift; done\ncat "$2" > given\nps -p $$ -o args= > arguments\n'
    )
    hypervisor.chmod(0o755)
    raw = {"name": "appended", "hypervisor": "kvmtool", "kernel": "/k", "initrd_path": str(tmp_path / "initrd")}
    result = render({**raw, "credential_files": {"token": str(secret)}, "kvmtool": {"package": str(hypervisor)}})
    assert result.package
    script = result.package.files["bin/microvm-run"].content.decode()
    subprocess.run(["bash", "-c", script], cwd=state, check=True)
    assert not list(Path("/dev/shm").glob("microvm.appended.*"))
    given_to_guest = (state / "given").read_bytes()
    assert given_to_guest.startswith(b"initrd!" + b"\0" * 505 + b"070701")
    archive = subprocess.run(["cpio", "-t", "--quiet"], input=given_to_guest[512:], capture_output=True, check=True)
    assert archive.stdout.decode().split() == [
        ".extra",
        ".extra/system_credentials",
        ".extra/system_credentials/token.cred",
    ]
    assert b"c4n4ry" in given_to_guest and "c4n4ry" not in (state / "arguments").read_text()
    assert sorted(path.name for path in state.iterdir()) == ["arguments", "given", "microvm.pid"]
