# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that build flakes, by Nix itself in a store of its own; all but the host is real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import install, rebuild
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import list as see
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.main import main
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix

from ..fake_host import FakeHost
from ..real_nix import RealNix, real_nix, runner

__all__ = ["real_nix"]

SECRET = "git+https://you:hunter2@git.example.org/machines"


@pytest.fixture(autouse=True)
def _root_of_the_host(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands find the host."""
    for module in (install, rebuild, see):
        monkeypatch.setattr(module, "places", lambda _arguments: host.places)
    for module in (install, rebuild):
        monkeypatch.setattr(module, "require_root", lambda _arguments: None)
    monkeypatch.setattr(nix, "store_program", lambda: nix.find_program("nix-store"))


@pytest.fixture(name="calls")
def _calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the calls of programs of Nix that show what they do."""
    calls: list[list[str]] = []
    run_shown = nix.run_shown

    def counted(words: list[str], *arguments: Any) -> str:
        calls.append(words)
        return run_shown(words, *arguments)

    monkeypatch.setattr(nix, "run_shown", counted)
    return calls


def flake_file(host: FakeHost) -> Path:
    """Return the file with the flake of the MicroVM."""
    return Path(host.places.state("web", "flake"))


@pytest.mark.parametrize("words", [["-c", "web", "-f"], ["-u", "web", "-f"], ["rebuild", "web", "--flake"]])
@pytest.mark.parametrize(
    ("reference", "problem"),
    [(SECRET, "contains a user, password or token"), ("path:/srv/machines#web", "names an attribute")],
)
def test_a_flake_that_no_declaration_may_have_is_refused_before_nix_is_called(
    host: FakeHost,
    real_nix: RealNix,
    calls: list[list[str]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    reference: str,
    problem: str,
) -> None:
    if words[0] == "-u":
        assert main(["create", "web", "--flake", real_nix.write({"web": runner("web")})]) == 0
        calls.clear()
        capsys.readouterr()
    before = flake_file(host).read_text() if flake_file(host).exists() else None
    assert main([*words, reference]) == 1
    said = capsys.readouterr()
    assert f"--flake: {problem}" in said.err.replace(f"'{reference}' ", "") and "hunter2" not in said.err + said.out
    assert calls == [] and before == (flake_file(host).read_text() if flake_file(host).exists() else None)


def test_a_recorded_flake_with_a_password_is_neither_evaluated_nor_shown(
    host: FakeHost, real_nix: RealNix, calls: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    flake = real_nix.write({"web": runner("web")})
    assert main(["create", "web", "--flake", flake]) == 0
    flake_file(host).write_text(SECRET)
    calls.clear()
    capsys.readouterr()
    assert main(["update", "web"]) == 1
    assert "web: its recorded flake: contains a user, password or token" in capsys.readouterr().err
    for words in (["-l"], ["-l", "--json"]):
        assert main(words) == 1
        said = capsys.readouterr()
        assert "hunter2" not in said.out + said.err and "@git.example.org/machines" in said.out + said.err
    assert calls == []
    assert main(["update", "web", "--flake", flake]) == 0 and flake_file(host).read_text().strip() == flake
