# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages of checks, in the order of ``make test``: quick ones first."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from .ansible_test import PYTHONS, checkout_files, collection_copy, provide_pip, search_path
from .runner import ROOT, Stage, Step

PYTHON = sys.executable
COLLECTION = "ansible_collections.microvm.fleet"
TREE = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree")}
SHELL_SUFFIXES = (".bash", ".sh")
SHELL_SCRIPT = re.compile(rb"#!(/usr)?/bin/(env )?(ba|da)?sh\b")


def lint(_stack: ExitStack) -> list[Step]:
    """Formats, rules, documentation, changelog, generated files."""
    return [
        Step("ruff format", ("ruff", "format", "--check", ".")),
        Step("ruff check", ("ruff", "check", ".")),
        Step("yamllint", ("yamllint", "--strict", ".")),
        Step("shellcheck", ("shellcheck", "--severity=warning", *shell_scripts()), skip=lacking("shellcheck")),
        Step("generated files", (PYTHON, "tools/generate.py", "--check")),
        Step("changelog", ("antsibull-changelog", "lint")),
        Step(
            "documentation",
            ("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self", "."),
        ),
        Step("ansible-lint", ("ansible-lint", "--offline", "--strict", "--nocolor"), environment=TREE),
    ]


_TWO = ("-n", "2", "--dist", "loadfile")
"""Options of pytest for two processes, each with files of its own."""


def types(_stack: ExitStack) -> list[Step]:
    """mypy: the collection and its tests under their full names, then what runs from the checkout."""
    programs = [path for path in ("tools", "bench", "demo") if any((ROOT / path).glob("*.py"))]
    return [
        Step("plugins", ("mypy", "--package", f"{COLLECTION}.plugins")),
        Step("unit tests", ("mypy", "--package", f"{COLLECTION}.tests.unit")),
        Step("test bed", ("mypy", "--package", "testbed")),
        Step("hosts", ("mypy", "--package", "hosts")),
        *(Step(path, ("mypy", path)) for path in programs),
    ]


def unit(_stack: ExitStack) -> list[Step]:
    """Run the tests that need no host."""
    return [Step("pytest", (PYTHON, "-m", "pytest", "-q", "-m", "not testbed", *_TWO))]


def sanity(stack: ExitStack) -> list[Step]:
    """Ansible's own tests on all Pythons of managed hosts, and the unit tests on the oldest one."""
    directory, environment = ansible_test(stack)
    path, oldest = environment["PATH"], PYTHONS[0]
    units = ("ansible-test", "units", "--venv", "--color", "no", "--python", oldest)
    command = ("ansible-test", "sanity", "--local", "--color", "no")
    return [
        Step(f"units {oldest}", units, directory, environment, skip=lacking(f"python{oldest}", path)),
        Step("ansible-test", command, directory, environment, minutes=20, is_live=True),
    ]


def integration(stack: ExitStack) -> list[Step]:
    """Run the tests on real kernel objects in private namespaces."""
    directory, environment = ansible_test(stack)
    command = ("ansible-test", "integration", "--local", "--color", "no", "--allow-root", "--allow-destructive")
    return [Step("ansible-test", command, directory, environment, minutes=20, is_live=True, skip=lacking_root())]


_TESTBED = (PYTHON, "-m", "pytest", "-m", "testbed")
_MACHINES, _EXAM, _DEVICES = "tests/testbed/tests/test_vm.py", "tests/hosts/hypervisors", "tests/hosts/test_vfio.py"
"""Tests of virtual machines as hosts, and on them: of hypervisors, and of devices."""
_ELSEWHERE = (f"--ignore={_EXAM}", f"--ignore={_DEVICES}")


def testbed(_stack: ExitStack) -> list[Step]:
    """Run the tests of the test bed itself."""
    command = (*_TESTBED, f"--ignore={_MACHINES}", "tests/testbed/tests")
    return [Step("containers", command, minutes=15, is_live=True, skip=lacking_root())]


def machines(_stack: ExitStack) -> list[Step]:
    """Run the tests of virtual machines as hosts of the test bed, then a short examination and devices on them."""
    command = (*_TESTBED, "--durations=5", _MACHINES, _EXAM, _DEVICES)
    return [Step("emulated hosts", command, minutes=30, skip=lacking_root())]


def hosts(_stack: ExitStack) -> list[Step]:
    """Run the tests of the product on hosts of the test bed."""
    # On two hosts, since tests mostly wait; with what tests of attacks print, the numbers of their tries.
    command = (*_TESTBED, *_TWO, "-rfEP", "--durations=20", *_ELSEWHERE, "tests/hosts")
    # A second try, since one test of 240 that misses a moment of a real host would refuse the whole.
    again = (*_TESTBED, "--last-failed", "--last-failed-no-failures", "none", *_ELSEWHERE, "tests/hosts")
    return [Step("pytest", command, minutes=40, is_live=True, skip=lacking_root(), second_try=again)]


def debian12(_stack: ExitStack) -> list[Step]:
    """Run the scenario on hosts with the oldest Debian."""
    return [scenario("debian12", is_live=False)]


def molecule(_stack: ExitStack) -> list[Step]:
    """Run the scenario on hosts with the newest Debian."""
    return [scenario("default")]


def day_two(_stack: ExitStack) -> list[Step]:
    """Run the scenario of an operator's days after the first."""
    return [scenario("day-two", is_live=False)]


def scenario(name: str, is_live: bool = True) -> Step:
    """Return the step of a scenario of Molecule."""
    command = ("molecule", "test", "-s", name)
    return Step(name, command, environment=TREE, minutes=25, is_live=is_live, skip=lacking_root())


def exam(_stack: ExitStack) -> list[Step]:
    """Examine all hypervisors whose programs are there, with real guests; ``EXAM`` has further options."""
    command = (PYTHON, "-m", "hosts.hypervisors", *shlex.split(os.environ.get("EXAM", "")))
    environment = {"PYTHONPATH": str(ROOT / "tests")}
    return [Step("hypervisors", command, environment=environment, minutes=600, is_live=True, skip=lacking_root())]


STAGES: dict[str, Stage] = {
    "lint": lint,
    "types": types,
    "unit": unit,
    "sanity": sanity,
    "integration": integration,
    "testbed": testbed,
    "machines": machines,
    "debian12": debian12,
    "hosts": hosts,
    "molecule": molecule,
    "day-two": day_two,
}
"""Stages of ``make test``."""

ORDER = (
    # These need processors alone, and much of ansible-test uses one.
    (("lint", "types", "unit"), ("sanity",)),
    # An emulated host keeps a processor busy, as most of the others do; none depends on moments.
    (("integration", "testbed", "debian12"), ("machines",)),
    (("hosts",),),
    # Playbooks wait for hosts and guests nearly half of their time.
    (("molecule",), ("day-two",)),
)
"""Order of the stages: lanes that run at the same time, each with stages that run one after the other."""

LONG_STAGES: dict[str, Stage] = {"exam": exam}
"""Stages that run only when they are named."""


def ansible_test(stack: ExitStack) -> tuple[Path, dict[str, str]]:
    """Return where ansible-test runs, and with which environment."""
    provide_pip()
    return stack.enter_context(collection_copy()), {"PATH": search_path(), "PIP_QUIET": "1"}


def shell_scripts() -> list[Path]:
    """Return every shell script of the checkout: those that are run, by their first line, and parts of them."""
    return [path for path in checkout_files() if (ROOT / path).is_file() and _is_shell_script(ROOT / path)]


def _is_shell_script(path: Path) -> bool:
    if path.suffix in SHELL_SUFFIXES:
        return True
    with path.open("rb") as file:
        return SHELL_SCRIPT.match(file.readline()) is not None


def lacking(program: str, path: str | None = None) -> str:
    """Return why a step that needs a program (in PATH, or in ``path``) cannot run; empty if it can."""
    return "" if shutil.which(program, path=path) else f"{program} is not installed"


def lacking_root() -> str:
    """Return why a step that needs root cannot run; empty if it can."""
    return "" if os.geteuid() == 0 else "needs root"
