# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evaluation and builds of flakes, by Nix itself in a store of its own."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import runner_attribute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.source_options import (
    flake_reference,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import flakes, nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.flakes import Evaluation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import UpdateSource

from ..real_nix import OWN_SYSTEM, RealNix, real_nix, remove_garbage, runner

__all__ = ["real_nix"]


def evaluation(flake: str, require_lock: bool = False, writes_lock: bool = False) -> Evaluation:
    """Evaluate the runner of one MicroVM, which must succeed."""
    attributes = {"web": runner_attribute("web")}
    found = flakes.evaluate(flake, attributes, require_lock=require_lock, writes_lock=writes_lock)["web"]
    assert isinstance(found, Evaluation), found
    return found


@pytest.fixture(name="calls")
def _calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the calls of programs of Nix from now on."""
    calls: list[list[str]] = []
    run_shown = nix.run_shown

    def counted(words: list[str], show: nix.Show) -> str:
        calls.append(words)
        return run_shown(words, show)

    monkeypatch.setattr(nix, "run_shown", counted)
    return calls


def test_attributes_of_a_flake_are_evaluated_by_one_process(real_nix: RealNix, calls: list[list[str]]) -> None:
    # Neither in the order of the alphabet, nor of the store's paths.
    names = ["web", "db", "a.b", "cache"]
    flake = real_nix.write({name: runner(name.replace(".", "-")) for name in names})
    found = flakes.evaluate(flake, {name: runner_attribute(name) for name in names})
    assert len(calls) == 1 and list(found) == names
    for name, evaluated in found.items():
        assert isinstance(evaluated, Evaluation)
        assert evaluated.path.endswith(f"-microvm-{name.replace('.', '-')}")
        assert evaluated.derivation.endswith(f"-microvm-{name.replace('.', '-')}.drv")
        assert evaluated.system == OWN_SYSTEM and not os.path.exists(evaluated.path)


@pytest.mark.parametrize(
    ("reference", "paths"),
    [
        ("/srv/machines", ["/srv/machines"]),
        ("path:/srv/machines?rev=1", ["/srv/machines"]),
        ("path:///srv/my%20machines", ["/srv/my machines", "/srv/my%20machines"]),
        ("git+file:///srv/machines?dir=web", ["/srv/machines"]),
        ("file:///srv/machines.tar.gz", ["/srv/machines.tar.gz"]),
        ("github:you/machines", []),
        ("git+ssh://git@example.org/srv/machines?ref=v12", []),
        ("machines", []),
        ("machines/v12", []),
        ("tarball+https://example.org/file:/srv", []),
    ],
)
def test_a_flake_is_local_by_its_reference(reference: str, paths: list[str]) -> None:
    assert flake_reference(reference) is None
    assert flakes.paths_of_flake(reference) == paths


def test_a_package_of_several_microvms_is_named_once(real_nix: RealNix, calls: list[list[str]]) -> None:
    flake = real_nix.write({"web": runner("web"), "db": runner("db")})
    attributes = {"web1": runner_attribute("web"), "db": runner_attribute("db"), "web2": runner_attribute("web")}
    found = flakes.evaluate(flake, attributes)
    assert len(calls) == 1 and calls[0][-2:] == [f"{flake}#{runner_attribute(name)}" for name in ("web", "db")]
    assert list(found) == ["web1", "db", "web2"] and found["web1"] == found["web2"] != found["db"]


def test_an_attribute_that_fails_does_not_hide_the_others(real_nix: RealNix) -> None:
    words = {"web": runner("web"), "bad": 'throw "there is no such thing"', "number": "3", "arm": runner("arm")}
    flake = real_nix.write(words)
    shown: list[str] = []
    attributes = {name: runner_attribute(name) for name in (*words, "absent")}
    found = flakes.evaluate(flake, attributes, show=shown.append)
    assert {name for name, result in found.items() if isinstance(result, Evaluation)} == {"web", "arm"}
    assert "there is no such thing" in str(found["bad"]) and f"{flake}#{attributes['bad']}" in str(found["bad"])
    assert "does not provide attribute" in str(found["absent"]) and "not a derivation" in str(found["number"])
    assert any("there is no such thing" in line for line in shown)


def test_one_wrong_attribute_of_many_is_found_by_halves(real_nix: RealNix, calls: list[list[str]]) -> None:
    names = [f"vm{number}" for number in range(64)]
    flake = real_nix.write({name: runner(name) for name in names if name != "vm41"})
    evaluations = flakes.evaluate(flake, {name: runner_attribute(name) for name in names})
    assert list(evaluations) == names and {
        name for name, result in evaluations.items() if not isinstance(result, Evaluation)
    } == {"vm41"}
    # All, one that is right, and both halves of six sizes.
    assert len(calls) == 1 + 1 + 2 * 6 and "does not provide attribute" in str(evaluations["vm41"])


def test_of_a_flake_that_is_wrong_itself_only_some_attributes_are_evaluated(
    real_nix: RealNix, calls: list[list[str]]
) -> None:
    flake = real_nix.write({})
    (real_nix.root / "flake/flake.nix").write_text("{ outputs = inputs: { nixosConfigurations = ")
    names = [f"vm{number}" for number in range(64)]
    evaluations = flakes.evaluate(flake, {name: runner_attribute(name) for name in names})
    assert len(calls) == 1 + 3 and list(evaluations) == names
    assert all(isinstance(result, HostError) for result in evaluations.values())
    assert {name for name in names if "syntax error" in str(evaluations[name])} == {"vm0", "vm32", "vm63"}
    assert "was not evaluated" in str(evaluations["vm5"]) and f"{flake}#{runner_attribute('vm0')}" in str(
        evaluations["vm5"]
    )
    # Few are evaluated, each alone: somebody reads what is wrong with each.
    del calls[:]
    few = flakes.evaluate(flake, {name: runner_attribute(name) for name in names[:4]})
    assert len(calls) == 7 and not any("was not evaluated" in str(result) for result in few.values())


def test_attributes_that_fail_in_different_ways_are_all_evaluated(real_nix: RealNix) -> None:
    names = [f"vm{number}" for number in range(9)]
    flake = real_nix.write({name: f'throw "no {name}"' for name in names[:-1]} | {"vm8": runner("vm8")})
    evaluations = flakes.evaluate(flake, {name: runner_attribute(name) for name in names})
    assert all(f"no {name}" in str(evaluations[name]) for name in names[:-1])
    assert isinstance(evaluations["vm8"], Evaluation)


def test_how_long_something_took_makes_no_other_message(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def unreachable(words: list[str], _show: nix.Show) -> str:
        taken.append(len(taken))
        raise HostError(f"`{' '.join(words)}` failed: error: port 443 after {len(taken)} ms: Could not connect")

    monkeypatch.setattr(nix, "nix_program", lambda: "nix")
    monkeypatch.setattr(nix, "run_shown", unreachable)
    flakes.evaluate("github:you/machines", {str(number): f"a.{number}" for number in range(500)})
    assert len(taken) == 4


def test_a_build_is_kept_by_its_link_and_shown(real_nix: RealNix, tmp_path: Path) -> None:
    flake = real_nix.write({"web": runner("web", script="echo building >&2")})
    shown: list[str] = []
    built = flakes.build_evaluated(evaluation(flake), link := nix.root_of("web", "/x/y"), show=shown.append)
    assert Path(built, "bin/microvm-run").exists() and os.readlink(link) == built and "building" in shown
    assert nix.is_valid(built) and not nix.is_valid(f"{real_nix.store}/{'0' * 32}-other")
    remove_garbage("nix-store", "--gc")
    assert os.path.exists(built)
    os.unlink(link)
    remove_garbage("nix-store", "--gc")
    assert not os.path.exists(built) and not nix.is_valid(built)


def test_other_outputs_of_a_package_leave_no_links(real_nix: RealNix) -> None:
    expression = runner("web", script="PATH=/bin:/usr/bin mkdir $bin $man")
    expression = expression.replace("builder =", 'outputs = [ "bin" "out" "man" ]; builder =')
    found = evaluation(real_nix.write({"web": f"({expression}).out"}))
    link = nix.root_of("web", found.path)
    assert flakes.build_evaluated(found, link) == found.path == os.readlink(link)
    nix.release("web", found.path)
    assert not os.path.exists(os.path.dirname(link))


def test_a_build_without_a_link_is_garbage(real_nix: RealNix) -> None:
    built = flakes.build_evaluated(evaluation(real_nix.write({"web": runner("web")})), None)
    assert nix.is_valid(built) and not (real_nix.root / "gcroots").exists()


def test_a_failing_build_says_what_nix_has_said_last(real_nix: RealNix) -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo line $n >&2; done; exit 7"
    failing = evaluation(real_nix.write({"web": runner("web", script=script)}))
    with pytest.raises(HostError, match=r"nix-store --realise .*(?s:.*)line 20") as failure:
        flakes.build_evaluated(failing, nix.root_of("web", failing.path))
    # The first of them are in the log of Nix, whose name is one of the last lines or is known from the derivation.
    assert "line 1\n" not in str(failure.value) and not os.path.lexists(nix.root_of("web", failing.path))


def test_a_lock_file_is_required_or_left_alone(real_nix: RealNix) -> None:
    (real_nix.root / "input").mkdir()
    flake = real_nix.write(
        {"web": runner("web")}, inputs=f'inputs.x = {{ url = "path:{real_nix.root}/input"; flake = false; }};'
    )
    assert evaluation(flake).path and not Path(real_nix.root, "flake/flake.lock").exists()
    refused = flakes.evaluate(flake, {"web": runner_attribute("web")}, require_lock=True)["web"]
    assert isinstance(refused, HostError) and "--no-update-lock-file" in str(refused)
    first = evaluation(flake, writes_lock=True)
    assert Path(real_nix.root, "flake/flake.lock").exists() and evaluation(flake, require_lock=True) == first


def test_further_arguments_reach_nix(real_nix: RealNix) -> None:
    for name in ("one", "two"):
        (real_nix.root / name).mkdir()
        (real_nix.root / name / "mark").write_text(name)
    inputs = f'inputs.x = {{ url = "path:{real_nix.root}/one"; flake = false; }};'
    flake = real_nix.write({"web": runner("web", mark='${builtins.readFile (inputs.x + "/mark")}')}, inputs=inputs)
    override = ["--override-input", "x", f"path:{real_nix.root}/two", "--option", "keep-derivations", "true"]
    override += ["--offline", "--no-link"]
    found = flakes.evaluate(flake, {"web": runner_attribute("web")}, override)["web"]
    assert isinstance(found, Evaluation) and found != evaluation(flake)
    assert Path(flakes.build_evaluated(found, None, override), "bin/microvm-run").read_text().endswith("# two\n")
    assert flakes.build_arguments([*override, "--impure", "-L"]) == ["--option", "keep-derivations", "true"]


def test_an_argument_that_is_another_flake_is_refused(real_nix: RealNix) -> None:
    flake = real_nix.write({"web": runner("web"), "db": runner("db")})
    found = flakes.evaluate(flake, {"web": runner_attribute("web")}, [f"{flake}#{runner_attribute('db')}"])["web"]
    assert isinstance(found, HostError) and "1 attributes were to be evaluated, and Nix has evaluated 2" in str(found)


def test_another_system_is_refused(real_nix: RealNix, monkeypatch: pytest.MonkeyPatch) -> None:
    other = evaluation(real_nix.write({"web": runner("web", system="riscv64-linux")}))
    with pytest.raises(HostError, match=f"built for riscv64-linux, and this host is {OWN_SYSTEM}"):
        flakes.build_evaluated(other, None)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    nix.refuse_system("i686-linux")
    nix.refuse_system("")


def test_closures_are_compared(real_nix: RealNix) -> None:
    paths = [
        flakes.build_evaluated(
            evaluation(real_nix.write({"web": runner(f"web-{n}.0", script=PADDED.format(n=n))})), None
        )
        for n in (1, 2)
    ]
    assert "microvm-web" in nix.diff_closures(*paths) and nix.diff_closures(paths[0], paths[0]).strip() == ""


PADDED = "/bin/mkdir $out; /usr/bin/head -c {n}00000 /dev/zero > $out/x"


def test_a_host_without_nix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nix, "find_program", lambda _name: None)
    with pytest.raises(HostError, match="Nix is not installed on this host"):
        flakes.evaluate("path:/f", {"web": runner_attribute("web")})
    assert not nix.is_valid("/nix/store/x")


def test_lines_are_shown_without_what_a_terminal_obeys() -> None:
    shown: list[str] = []
    script = "printf '\\033[31mred\\033[0m \\033]0;title\\007\\r\\n' >&2"
    nix.run_shown(["/bin/sh", "-c", script], shown.append)
    assert shown == ["red \\x1b]0;title\\x07"]


def test_the_command_shows_what_nix_says(real_nix: RealNix, capfd: pytest.CaptureFixture[str]) -> None:
    source = UpdateSource(real_nix.write({"web": runner("web", script="echo the build >&2")}))
    flakes.build_source(source, "web", False)
    assert "\nthe build\n" in capfd.readouterr().err
