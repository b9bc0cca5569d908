# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work of ``microvm render`` and ``microvm validate``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, TypedDict

from ..declaration.vms.clashes import clashes
from ..declaration.vms.external import source_option
from ..declaration.vms.parse import Declaration, parse_vm
from ..hypervisors.command import Command
from ..hypervisors.registry import command
from ..runner.package import DECLARATION_FILE, Package
from ..runner.render import runner_package
from ..runner.scripts.shell import command_line, readable
from ..schema.errors import DeclarationError
from ..schema.naming import with_names
from .output import complain, say
from .platforms import facts
from .source import Source, SourceError, read

VALIDATION = "microvm.fleet.validate"
"""Playbook that compares the declarations of an inventory's hosts, and contacts none of them."""


@dataclass
class Result:
    """Result for one MicroVM: a package, or an error."""

    name: str
    place: str
    declaration: Optional[Declaration] = None
    command: Optional[Command] = None
    package: Optional[Package] = None
    error: Optional[DeclarationError] = None

    @property
    def shown_place(self) -> str:
        """Place in the file, with the name of the MicroVM."""
        return with_names(self.place, {self.place: self.name} if self.name != self.place else {})


class Refusal(TypedDict):
    """Error of a MicroVM, as ``microvm render --json`` prints it."""

    path: str
    message: str


class RenderOutput(TypedDict):
    """Outcome for a MicroVM, as ``microvm render --json`` prints it."""

    argv: List[str]
    files: Dict[str, str]
    digest: Optional[str]
    refused: Optional[Refusal]


def results(
    source: Source, platform: str, name: Optional[str] = None, hypervisor: Optional[str] = None
) -> List[Result]:
    """Every MicroVM of a file, or the one that is asked for, rendered or refused."""
    rendered = [_parse(place, vm, source, hypervisor) for place, vm in source.vms]
    parsed = [result for result in rendered if result.declaration is not None]
    declarations = [result.declaration for result in parsed if result.declaration is not None]
    for index, error in clashes(declarations, lambda index: parsed[index].shown_place or "."):
        parsed[index].error = parsed[index].error or error
    chosen = [result for result in rendered if name in (None, result.name)]
    for result in chosen:
        _render(result, platform)
    return chosen


def _refuse_runners(rendered: Sequence[Result]) -> None:
    """Refuse to render MicroVMs whose packages are there already."""
    for result in rendered:
        source = source_option(result.declaration or {})
        if result.error is None and source:
            result.error = DeclarationError(
                source,
                "names a package that was made elsewhere, so there is nothing to render; render others by --name",
            )


def _parse(place: str, vm: object, source: Source, hypervisor: Optional[str]) -> Result:
    name = str(vm["name"]) if isinstance(vm, Mapping) and vm.get("name") else place or "?"
    result = Result(name, place)
    if hypervisor and isinstance(vm, Mapping):
        vm = {**vm, "hypervisor": hypervisor}
    try:
        result.declaration = parse_vm(vm, source.images)
    except DeclarationError as error:
        result.error = error
    return result


def _render(result: Result, platform: str) -> None:
    if result.error or result.declaration is None or result.declaration["state"] == "absent":
        return
    if source_option(result.declaration):
        # What its package decides is only known on the host.
        return
    try:
        host_facts = facts(platform, result.declaration["accel"])
        result.command = command(result.declaration, host_facts)
        result.package = runner_package(result.declaration, result.command, host_facts)
    except DeclarationError as error:
        result.error = error


def render_vms(
    file: str, name: Optional[str], hypervisor: Optional[str], platform: str, output: Optional[str], as_json: bool
) -> int:
    """``microvm render``; returns the exit status. Raises SourceError."""
    rendered = results(read(file), platform, name, hypervisor)
    _refuse_runners(rendered)
    if name is not None and not rendered:
        raise SourceError(f"{file} does not declare a MicroVM {name!r}")
    if as_json:
        say(json.dumps(_as_json(rendered), indent=2, sort_keys=True))
    else:
        _complain(file, rendered)
    refused = any(result.error for result in rendered)
    if output is not None and not refused:
        packages = [result.package for result in rendered if result.package]
        for rendered_package in packages:
            write_package(
                rendered_package, output if len(rendered) == 1 else os.path.join(output, rendered_package.name)
            )
    if output is None and not as_json:
        for result in rendered:
            if result.command:
                say(f"# {result.name}\n{command_line(result.command.argv)}")
    return 1 if refused else 0


def validate_vms(files: Sequence[str], platform: str) -> int:
    """``microvm validate``; returns the exit status."""
    status = 0
    for file in files:
        try:
            is_valid = validate_inventory(file) if os.path.isdir(file) else _validate_file(file, platform)
        except SourceError as error:
            complain(str(error))
            is_valid = False
        status = status if is_valid else 1
    return status


def _validate_file(file: str, platform: str) -> bool:
    rendered = results(read(file), platform)
    wrong = _complain(file, rendered)
    say(f"{file}: {len(rendered)} MicroVMs, {wrong or 'none'} invalid")
    return not wrong


def validate_inventory(directory: str) -> bool:
    """Return whether the hosts of an inventory can carry out what they declare, which Ansible prints.

    Raises SourceError where ansible-core is not installed.
    """
    program = shutil.which("ansible-playbook")
    if program is None:
        raise SourceError(
            f"{directory} is a directory, and an inventory is read by ansible-playbook, which is not installed; "
            "install ansible-core, or name files with declarations"
        )
    # An inventory without hosts would be valid otherwise.
    strict = {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "true", "ANSIBLE_HOST_PATTERN_MISMATCH": "error"}
    words = [program, f"--inventory={directory}", VALIDATION]
    return subprocess.run(words, env={**os.environ, **strict}, check=False).returncode == 0


def _complain(file: str, rendered: Sequence[Result]) -> int:
    """Says what is wrong, and of how many."""
    wrong = [result for result in rendered if result.error]
    for result in wrong:
        place = ".".join(part for part in (result.shown_place, result.error.path if result.error else "") if part)
        complain(f"{file}: {place}: {result.error.message if result.error else ''}")
    return len(wrong)


def _as_json(rendered: Sequence[Result]) -> Dict[str, RenderOutput]:
    answer: Dict[str, RenderOutput] = {}
    for result in rendered:
        # If two MicroVMs have the same name, report the refusal.
        if result.name not in answer or answer[result.name]["refused"] is None:
            answer[result.name] = _one_as_json(result)
    return answer


def _one_as_json(result: Result) -> RenderOutput:
    files = result.package.files if result.package else {}
    return {
        "argv": [readable(word) for word in result.command.argv] if result.command and result.package else [],
        "files": {path: file.content.decode() for path, file in files.items()},
        "digest": result.package.digest if result.package else None,
        "refused": {"path": result.error.path, "message": result.error.message} if result.error else None,
    }


def write_package(content: Package, directory: str) -> None:
    """Write a package, aside first. Raises SourceError where it cannot be, or something else is in its place."""
    directory = os.path.abspath(directory)
    if "," in directory:
        raise SourceError(
            f"{directory}: hypervisors do not accept a comma in a package's path; choose another directory"
        )
    try:
        if os.path.lexists(directory) and not _is_replaceable(directory):
            raise SourceError(f"{directory} exists and is not a runner package; choose another directory or remove it")
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        aside = tempfile.mkdtemp(prefix=f".{os.path.basename(directory)}.", dir=os.path.dirname(directory))
        try:
            _write(content, os.path.join(aside, "new"))
            if os.path.lexists(directory):
                os.rename(directory, os.path.join(aside, "old"))
            os.rename(os.path.join(aside, "new"), directory)
        finally:
            shutil.rmtree(aside)
    except OSError as error:
        raise SourceError(f"{directory} cannot be written: {error.strerror}") from None


def _write(content: Package, directory: str) -> None:
    for name, file in content.files.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if file.is_link:
            os.symlink(file.content.decode(), path)
            continue
        with open(path, "wb") as target:
            target.write(file.content)
        os.chmod(path, 0o755 if file.executable else 0o644)


def _is_replaceable(directory: str) -> bool:
    """Return whether a directory is empty, or one of our packages and nothing else."""
    if os.path.islink(directory) or not os.path.isdir(directory):
        return False
    if not os.listdir(directory):
        return True
    own = [os.path.isfile(os.path.join(directory, path)) for path in (DECLARATION_FILE, "bin/microvm-run")]
    return (
        all(own) and set(os.listdir(directory)) == {"bin", "share"} and os.listdir(f"{directory}/share") == ["microvm"]
    )
