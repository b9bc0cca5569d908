# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that build flakes, by Nix itself in a store of its own; all but the host is real."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import install, rebuild
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import list as see
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.main import main
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.flakes import DeclaredFlake
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import mark, roll_back
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms import handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.actions import Action

from ..fake_host import FakeHost
from ..real_nix import RealNix, real_nix, runner, shown_commands

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
    return shown_commands(monkeypatch)


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
    assert "/web/flake contains a user, password or token" in capsys.readouterr().err
    for words in (["-l"], ["-l", "--json"]):
        assert main(words) == 1
        said = capsys.readouterr()
        assert "hunter2" not in said.out + said.err and "@git.example.org/machines" in said.out + said.err
    assert calls == []
    assert main(["update", "web", "--flake", flake]) == 0 and flake_file(host).read_text().strip() == flake


def _no_file(file: Path) -> None:
    file.unlink()


def _link(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


def _empty(file: Path) -> None:
    file.write_text("")


def _another_owner(file: Path) -> None:
    subprocess.run(["chown", "65534", file], check=True)


@pytest.mark.parametrize("command", ["update", "rebuild"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_no_file, "web: no flake is recorded in {file}; pass a flake by --flake"),
        (_link, "web: {file} is no regular file, so it is ignored; pass"),
        (_empty, "web: {file} has no text, so it is ignored; pass"),
        pytest.param(
            _another_owner,
            "web: {file} does not belong to root, so it is ignored; pass",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"),
        ),
    ],
)
def test_why_there_is_no_flake_to_update_from_is_said(
    host: FakeHost,
    real_nix: RealNix,
    capsys: pytest.CaptureFixture[str],
    command: str,
    change: Callable[[Path], None],
    said: str,
) -> None:
    assert main(["create", "web", "--flake", real_nix.write({"web": runner("web")})]) == 0
    change(flake_file(host))
    assert main([command, "web"]) == 1
    shown = capsys.readouterr().err
    assert said.format(file=flake_file(host)) in shown and "run the playbook that declares" in shown


def declare(flake: str, **options: Any) -> VmResult:
    """Declare the MicroVM by a flake, and return its result."""
    (result,) = reconcile(Request(vms=[{"name": "web", "flake": flake, **options}], state_dir="/unused"))["vms"]
    assert not result["failed"], result["msg"]
    return result


def unusual(store: RealNix, mark: str, directory: str = "flake") -> str:
    """Write a flake whose usual attribute is wrong, and whose package is what an input says."""
    for version in ("input", "override"):
        (store.root / version).write_text(f"{mark} of {version}")
    own = runner("web", "${builtins.readFile inputs.mark}")
    wrong = f'throw "the usual attribute";\npackages.any.web = {own}'
    inputs = f'inputs.mark = {{ url = "path:{store.root}/input"; flake = false; }};'
    return store.write({"web": wrong}, directory, inputs)


def what_starts(host: FakeHost) -> str:
    """Return the script of the current package."""
    return Path(host.places.state("web", "current", "bin/microvm-run")).read_text()


def declared_of(store: RealNix) -> dict[str, Any]:
    """Return the options beside the unusual flake."""
    override = ["--override-input", "mark", f"path:{store.root}/override"]
    return {"attribute": "packages.any.web", "nix_arguments": override}


@pytest.mark.parametrize("words", ["update web", "rebuild web", "update web --flake {flake}"])
def test_updates_build_the_declared_attribute_with_the_declared_arguments(
    host: FakeHost, real_nix: RealNix, words: str
) -> None:
    flake, options = unusual(real_nix, "first"), declared_of(real_nix)
    declare(flake, **options)
    assert "first of override" in what_starts(host)
    assert not declare(flake, **options)["changed"]
    assert unusual(real_nix, "second") == flake and main(words.format(flake=flake).split()) == 0
    assert "second of override" in what_starts(host)
    assert unusual(real_nix, "third") == flake and main(["list", "--evaluate"]) == 2
    assert main(words.format(flake=flake).split()) == 0 and main(["list", "--evaluate"]) in (0, 2)
    assert "third of override" in what_starts(host)
    # What is declared next time is what later updates build.
    declare(flake, attribute="packages.any.web")
    assert unusual(real_nix, "fourth") == flake and main(["update", "web"]) == 0
    assert "fourth of input" in what_starts(host)


def test_a_flake_of_updates_has_the_declared_attribute_too(host: FakeHost, real_nix: RealNix) -> None:
    other = unusual(real_nix, "newer", "newer")
    declare(unusual(real_nix, "first"), update_flake=other, **declared_of(real_nix))
    unusual(real_nix, "second")
    assert main(["update", "web"]) == 0
    assert "second of override" in what_starts(host) and flake_file(host).read_text().strip() == other


def test_what_is_left_to_updates_is_updated_as_is_declared_by_now(host: FakeHost, real_nix: RealNix) -> None:
    flake = unusual(real_nix, "first")
    declare(flake, attribute="packages.any.web", manage="once")
    assert "first of input" in what_starts(host)
    unusual(real_nix, "second")
    declare(flake, manage="once", **declared_of(real_nix))
    assert "first of input" in what_starts(host)
    assert main(["update", "web"]) == 0 and "second of override" in what_starts(host)


@pytest.mark.parametrize("next_options", [{"attribute": "packages.any.web"}, {}], ids=["unusual", "usual"])
def test_an_interrupted_run_does_not_mix_one_flake_with_the_attribute_of_another(
    host: FakeHost,
    real_nix: RealNix,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    next_options: dict[str, Any],
) -> None:
    first = unusual(real_nix, "first")
    declare(first, **declared_of(real_nix))
    before = what_starts(host)
    second = real_nix.write({"web": f"{runner('web', 'next')};\npackages.any.web = {runner('web', 'other')}"}, "second")

    def killed(_job: object, _flake: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setitem(handlers._SINGLE, Action.RECORD_FLAKE, killed)
        with pytest.raises(KeyboardInterrupt):
            declare(second, **next_options)
    assert flake_file(host).read_text().strip() == first
    capsys.readouterr()
    assert main(["update", "web"]) == 1
    assert "interrupted" in capsys.readouterr().err and what_starts(host) == before
    assert main(["update", "web", "--flake", second]) == 0 and main(["update", "web"]) == 0
    assert ("other" if next_options else "next") in what_starts(host)


def test_an_attribute_that_is_passed_is_built_and_recorded(host: FakeHost, real_nix: RealNix) -> None:
    usual = "nixosConfigurations.web.config.microvm.declaredRunner"

    def write(mark: str, directory: str = "flake") -> str:
        packages = {name: runner("web", f"{name} {mark}") for name in ("usual", "debug")}
        return real_nix.write({"web": f"{packages['usual']};\npackages.any.debug = {packages['debug']}"}, directory)

    flake = write("one")
    assert main(["create", "web", "-f", flake, "--attribute", "packages.any.debug", "--check"]) == 0
    assert not flake_file(host).exists()
    assert main(["create", "web", "-f", flake, "--attribute", "packages.any.debug"]) == 0
    assert "debug one" in what_starts(host)
    write("two")
    # Also without the attribute, and what is listed is compared with it.
    assert main(["update", "web"]) == 0 and "debug two" in what_starts(host)
    assert main(["list", "--evaluate"]) == 0
    assert main(["update", "web", "--attribute", usual]) == 0 and "usual two" in what_starts(host)
    write("three")
    assert main(["rebuild", "web"]) == 0 and "usual three" in what_starts(host)
    other = write("four", "other")
    assert main(["rebuild", "web", "--flake", other, "--attribute", "packages.any.debug"]) == 0
    assert "debug four" in what_starts(host) and flake_file(host).read_text().strip() == other
    # What is declared is what counts next.
    declare(flake)
    assert main(["update", "web"]) == 0 and "usual three" in what_starts(host)


def test_an_attribute_leaves_the_declared_arguments(host: FakeHost, real_nix: RealNix) -> None:
    declare(unusual(real_nix, "first"), **{**declared_of(real_nix), "manage": "once"})
    flake = real_nix.root / "flake/flake.nix"
    flake.write_text(flake.read_text().replace("packages.any.web", "packages.any.moved"))
    assert main(["update", "web"]) == 1
    (real_nix.root / "override").write_text("second of override")
    assert main(["update", "web", "--attribute", "packages.any.moved"]) == 0
    assert "second of override" in what_starts(host)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["create", "web", "--package", "/x", "--attribute", "a"], "--attribute is one of a flake"),
        (["update", "web", "--file", "/x", "--attribute", "a"], "--attribute is one of a flake"),
        (["update", "web", "db", "--attribute", "a"], "an attribute is the package of one MicroVM"),
        (["rebuild", "web", "db", "--attribute", "a"], "an attribute is the package of one MicroVM"),
        (
            ["rebuild", "web", "--flake", "github:you/machines", "--attribute", "#a"],
            "--attribute: '#a' is no attribute",
        ),
    ],
)
def test_an_attribute_that_nothing_can_be_built_of_is_refused(
    real_nix: RealNix, calls: list[list[str]], capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    assert main(words) == 1
    assert problem in capsys.readouterr().err and calls == []


def test_a_path_of_the_controller_in_an_argument_is_not_built_from_on_the_host(real_nix: RealNix) -> None:
    vm: dict[str, Any] = {"name": "web", "flake": "github:you/machines", "build_on": "controller"}
    for argument, flake in (
        ("path:/home/me/dep", ""),
        ("git+file:///home/me/dep", ""),
        ("../dep", ""),
        ("import /home/me/x", ""),
        ("github:NixOS/nixpkgs/nixos-unstable", "github:you/machines"),
        ("https://example.org/dep.tar.gz", "github:you/machines"),
    ):
        declaration = parse_vm({**vm, "nix_arguments": ["--override-input", "dep", argument]})
        updates = DeclaredFlake("", declaration, None).updates
        assert updates.flake == flake and bool(updates.nix_arguments) is bool(flake)


@pytest.mark.parametrize("command", ["create", "update", "rebuild"])
@pytest.mark.parametrize(
    ("expression", "reason", "what"),
    [
        ('throw "there is no such thing"', "there is no such thing", "evaluated"),
        (runner("web", "two", script="echo the disk is full >&2; exit 3"), "the disk is full", "built"),
    ],
)
def test_the_reason_of_nix_is_shown_once_with_flake_and_attribute(
    host: FakeHost,
    real_nix: RealNix,
    capfd: pytest.CaptureFixture[str],
    command: str,
    expression: str,
    reason: str,
    what: str,
) -> None:
    flake = real_nix.write({"web": runner("web")})
    if command == "update":
        assert main(["create", "web", "--flake", flake]) == 0
    # Nix itself shows the last lines of a build beside all of it, and the source beside the message.
    real_nix.write({"web": expression})
    capfd.readouterr()
    assert main([command, "web", "--flake", flake]) == 1
    *shown, last = capfd.readouterr().err.splitlines()
    installable = f"{flake}#nixosConfigurations.web.config.microvm.declaredRunner"
    assert last.startswith("microvm: ") and last.endswith(
        f"{installable} cannot be {what}: Nix has said why, see above"
    )
    assert sum(line.startswith("error:") for line in shown) <= 2 and any(reason in line for line in shown)


def test_a_reason_that_nix_has_not_said_is_part_of_the_message(
    real_nix: RealNix, capfd: pytest.CaptureFixture[str]
) -> None:
    flake = real_nix.write({"web": runner("web", system="riscv64-linux")})
    assert main(["create", "web", "--flake", flake]) == 1
    assert "declaredRunner cannot be built: it is built for riscv64-linux, and this host" in capfd.readouterr().err


def test_list_advises_no_update_that_would_be_refused(
    host: FakeHost, real_nix: RealNix, capsys: pytest.CaptureFixture[str]
) -> None:
    flake = real_nix.write({"web": runner("web", "one")})
    assert main(["create", "web", "--flake", flake]) == 0
    real_nix.write({"web": runner("web", "two")})
    assert main(["-u", "web"]) == 0
    roll_back("web", None, False, False, False, host.places)
    capsys.readouterr()
    assert main(["-l"]) == 2
    said = capsys.readouterr().err
    assert "web: outdated (" in said and "marked bad" in said and "microvm generations web --good 2" in said
    assert "-Ru" not in said and "update -R" not in said
    assert main(["-u", "web"]) == 1
    # What it advises, helps.
    mark("web", 2, False, False, host.places)
    capsys.readouterr()
    assert main(["-l"]) == 2 and "microvm -Ru web" in capsys.readouterr().err
    assert main(["-u", "web"]) == 0
    real_nix.write({"web": runner("web", "two", system="riscv64-linux")})
    capsys.readouterr()
    assert main(["-l"]) == 2
    said = capsys.readouterr().err
    assert "it is built for riscv64-linux, and this host" in said and "-Ru" not in said
