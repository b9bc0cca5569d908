# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks the other hypervisors' own parsers, where their programs are. QEMU's is asked by qemu_parser.

Programs are looked for in the directory ``MICROVM_HYPERVISORS``, then in ``PATH``. Each is started with every public
case's command line, whose files do not exist: it must complain of those, or of KVM, and of no argument. What
complaints of arguments look like is tested too, with arguments that each program must refuse.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.work import Result
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.shell import readable

from .test_cases import CASES, rendered


@dataclass(frozen=True)
class Parser:
    """A program, what it must refuse, and what it says where nothing but a file, a device or KVM is missing."""

    program: str
    wrong: tuple[tuple[str, ...], ...]
    """Arguments that it refuses: an option, a key, a value that it does not know."""
    missing: str = "No such file or directory"
    files: str = r"(?!)"
    """Expression for paths that must be of files, since it reads no argument behind the first that is not."""
    directories: str = r"(?!)"
    """Expression for paths that must be of directories, likewise."""
    last: tuple[str, ...] = ()
    """Last arguments, at which it ends when it has read all others."""
    unreleased: tuple[str, ...] = ()
    """Options that only patched builds have: cases with them are not asked."""
    after_kvm: bool = False
    """True if it reads its arguments' values when it has opened KVM."""


PARSERS = {
    "cloud-hypervisor": Parser(
        "cloud-hypervisor",
        (("--no-such-option",), ("--pmem", "file=a,no_such_key=1"), ("--net", "tap=a,no_such_key=1")),
        # It waits for the sockets of virtiofsd for a minute, and for files not at all.
        last=("--rng", "src=no-such-file"),
        unreleased=("--gpu",),
    ),
    "firecracker": Parser(
        "firecracker",
        (("--no-such-option",), ("--level", "no-such-level"), ("--no-api", "value")),
        r"No such file or directory|failed to load \w+ kernel image",
        files=r'(?<="path_on_host": ")(\\.|[^"\\])+|(?<=": ")/(kernel-dev|initrd|boot)/[^"]+',
    ),
    "crosvm": Parser(
        "crosvm",
        (("--no-such-option",), ("--block", "path=a,no_such_key=1"), ("--block", "root.img,ro=true")),
        directories=r"^/[^:]+(?=:[^:]+:type=)",
    ),
    "kvmtool": Parser(
        "lkvm",
        (("--no-such-option",), ("-n", "mode=tap,no_such_key=1"), ("-n", "mode=no-such-mode")),
        r"does not support hardware virtualization|'/dev/kvm' |Unable to open (kernel|initrd) |Failed resolving 9p path"
        r"|Loading disk image '.*' failed",
    ),
    "stratovirt": Parser(
        "stratovirt",
        (("-no-such-option",), ("-netdev", "tap,id=a,no_such_key=1"), ("-device", "pcie-root-port,no_such_key=1")),
        r'No such file or directory|Unsupported device: "no-such-device"|Failed to get tap features',
        files=r"(?<=\bfile=)[^,]+|^/(kernel|initrd|boot|dev/hugepages)/.+",
        last=("-device", "no-such-device,id=last"),
        after_kvm=True,
    ),
    "alioth": Parser(
        "alioth",
        (("--no-such-option",), ("--blk", "file,path=a,no_such_key=1"), ("--fs", "vu,socket=a,tag=a,no_such_key=1")),
        after_kvm=True,
    ),
}
COMPLAINT = re.compile(
    r"unexpected argument|wasn't expected|unknown (argument|option|switch|network)|unrecognized|invalid value|^ *usage"
    r"|unknown field|\bignored\b|mismatched|more than once|please update the cmd line|failed to parse"
    r"|parsing failed|cannot handle parameter",
    re.IGNORECASE | re.MULTILINE,
)
TIMEOUT = 60
"""Seconds in which a program ends for certain: each needs less than one."""


def output(hypervisor: str, result: Result, directory: Path, *more: str) -> str:
    """Return what the hypervisor's program says to a command line with more arguments; skip the test without it."""
    parser = PARSERS[hypervisor]
    command = [_program(parser), *_arguments(parser, result, directory), *more, *parser.last]
    terminal, standard_input = pty.openpty()
    try:
        process = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "HOME": str(directory)},
            stdin=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(standard_input)
    return process.stdout.decode(errors="replace")


def _program(parser: Parser) -> str:
    path = os.pathsep.join(filter(None, (os.environ.get("MICROVM_HYPERVISORS"), os.environ.get("PATH"))))
    program = shutil.which(parser.program, path=path)
    if program is None:
        pytest.skip(f"{parser.program} is not installed, so its parser is not asked")
    if parser.after_kvm and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip(f"{parser.program} opens /dev/kvm before it reads its arguments")
    return program


def _arguments(parser: Parser, result: Result, directory: Path) -> list[str]:
    """Write the package and return its command line's arguments; before the program, there may be a terminal's."""
    assert result.command and result.package
    for name, file in result.package.files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(_existing(parser, file.content.decode(), directory))
    words = [readable(word).replace("$package", str(directory)) for word in result.command.argv]
    start = 1 + next(index for index, word in enumerate(words) if Path(word).name == parser.program)
    return [_existing(parser, word, directory) for word in words[start:]]


def _existing(parser: Parser, text: str, directory: Path) -> str:
    """Return the text with new files and directories in place of those that the parser wants."""
    text = re.sub(parser.files, lambda _path: _file(directory), text)
    return re.sub(parser.directories, lambda _path: str(directory), text)


def _file(directory: Path) -> str:
    descriptor, path = tempfile.mkstemp(dir=directory)
    # As large as the guest's memory, which one of them may have to carry, and sparse.
    os.truncate(descriptor, 1 << 30)
    os.close(descriptor)
    return path


def complaint(hypervisor: str, said: str) -> str:
    """Return the lines that complain of an argument, or the last ones if none says that something is missing."""
    lines = [line.strip()[-300:] for line in re.split(r"Stack backtrace:", said)[0].splitlines() if line.strip()]
    complaints = [line for line in lines if COMPLAINT.search(line)]
    if complaints or re.search(PARSERS[hypervisor].missing, said):
        return "; ".join(complaints)
    return "; ".join(lines[-3:]) or "nothing is said"


def accepted(hypervisor: str) -> dict[str, Result]:
    """Return what is run for a hypervisor's cases, without those that we refuse and those of patched builds."""
    cases = (case for case in CASES.values() if case["microvm"]["hypervisor"] == hypervisor)
    results = {case["name"]: rendered(case) for case in cases if "aarch64" not in case["system"]}
    unreleased = PARSERS[hypervisor].unreleased
    return {
        name: result
        for name, result in results.items()
        if result.command and not {readable(word) for word in result.command.argv} & set(unreleased)
    }


@pytest.mark.parametrize("hypervisor", PARSERS)
def test_every_command_line_is_accepted_by_the_hypervisors_parser(hypervisor: str, tmp_path: Path) -> None:
    complaints = []
    for number, (name, result) in enumerate(accepted(hypervisor).items()):
        directory = tmp_path / str(number)
        directory.mkdir()
        said = complaint(hypervisor, output(hypervisor, result, directory))
        complaints += [f"{name}: {said}"] if said else []
    assert not complaints, "\n".join(complaints)


def minimal(hypervisor: str, **microvm: Any) -> Result:
    """Return what is run for a declaration of little more than its hypervisor."""
    microvm = {"hypervisor": hypervisor, **microvm}
    return rendered({"name": "minimal", "hostname": "vm", "system": "x86_64-linux", "microvm": microvm})


@pytest.mark.parametrize(
    ("hypervisor", "arguments"),
    [(hypervisor, arguments) for hypervisor, parser in PARSERS.items() for arguments in parser.wrong],
    ids=lambda value: value if isinstance(value, str) else "_".join(value),
)
def test_arguments_that_a_parser_does_not_know_are_told_from_missing_files(
    hypervisor: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    assert complaint(hypervisor, output(hypervisor, minimal(hypervisor), tmp_path, *arguments))


def test_a_key_that_firecrackers_configuration_does_not_know_is_told_from_missing_files(tmp_path: Path) -> None:
    result = minimal("firecracker", firecracker={"extraConfig": {"machine-config": {"no_such_key": 1}}})
    assert complaint("firecracker", output("firecracker", result, tmp_path))
