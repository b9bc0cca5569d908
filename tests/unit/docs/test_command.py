# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The man page and the completion of the command, made from its parser; `generate.py --check` compares them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOST_SETUP = ROOT / "plugins" / "module_utils" / "_microvm" / "resources" / "host_setup"
COMPLETION = HOST_SETUP / "command" / "microvm.bash"
MANUAL = ROOT / "docs" / "microvm.1"


@pytest.mark.parametrize("program", ["groff -ww -man -Tutf8", "man --warnings -E UTF-8 -l"])
def test_the_manual_is_shown_without_warnings(program: str) -> None:
    words = program.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run([*words, str(MANUAL)], capture_output=True, text=True, check=True)
    assert done.stderr == "" and len(done.stdout.splitlines()) > 100


def complete(directory: Path, *words: str) -> list[str]:
    """Return what bash offers for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"source {COMPLETION}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _microvm; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True, cwd=directory)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["roll"], ["rollback"]),
        (["re"], ["restart", "rebuild", "remove", "render"]),
        (["rollback", "--k"], ["--keep"]),
        (["start", "--state-dir", ".", "w"], ["web", "worker"]),
        (["info", "--state-dir", ".", ""], ["db", "web", "worker"]),
        (["remove", "--volumes", ""], ["keep", "archive", "delete"]),
        (["create", "x", "--file", "si"], ["site.yml"]),
        (["apply", "si"], ["site.yml"]),
        (["logs", "--lines", ""], []),
        (["list", "--j"], ["--json"]),
        (["update", "web", "--at"], ["--attribute"]),
        (["update", "--attribute", "w"], []),
    ],
)
def test_commands_options_files_and_microvms_are_completed(
    tmp_path: Path, words: list[str], offered: list[str]
) -> None:
    for name in ("web", "worker", "db"):
        (tmp_path / name).mkdir()
    (tmp_path / "site.yml").touch()
    assert complete(tmp_path, "microvm", *words) == offered
