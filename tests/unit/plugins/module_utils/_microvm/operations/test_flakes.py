# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs that are declared by flakes: Nix itself with a store of its own, on a fake of ``host/``."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import reconcile as reconcile_operation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.adopt import adopt
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.flakes import (
    DeclaredFlake,
    earlier_packages,
    joined_errors,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.info import inform
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmResult, VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import roll_back
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.update_sources import update_source
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..fake_host import FakeHost
from ..real_nix import RealNix, real_nix, remove_garbage, runner

__all__ = ["real_nix"]


@pytest.fixture(name="known")
def _known(host: FakeHost, real_nix: RealNix, monkeypatch: pytest.MonkeyPatch) -> RealNix:
    """Nix that the fake host has."""
    monkeypatch.setattr(nix, "store_program", lambda: nix.find_program("nix-store"))
    return real_nix


@pytest.fixture(name="calls")
def _calls(known: RealNix, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what Nix is told to evaluate and to build from now on."""
    calls: list[str] = []
    run_shown = nix.run_shown

    def counted(words: list[str], show: nix.Show = nix.hide_line) -> str:
        calls.append("build" if "--realise" in words else "evaluate")
        return run_shown(words, show)

    monkeypatch.setattr(nix, "run_shown", counted)
    return calls


def run_all(*vms: dict[str, Any], **request: Any) -> VmsResult:
    """Declare MicroVMs, and return the result of the run."""
    return reconcile(Request(vms=vms, state_dir="/unused", **request))


def run(flake: str, check: bool = False, **options: Any) -> VmResult:
    """Declare MicroVM ``web`` by a flake, and return its result."""
    return run_all({"name": "web", "flake": flake, **options}, check_mode=check)["vms"][0]


def current(host: FakeHost, name: str = "web") -> str:
    return os.readlink(host.places.state(name, "current"))


def test_a_flake_is_built_started_and_then_left_as_it_is(host: FakeHost, known: RealNix, calls: list[str]) -> None:
    flake = known.write({"web": runner("web")})
    installable = f"{flake}#nixosConfigurations.web.config.microvm.declaredRunner"
    shown = run(flake, check=True)
    assert calls == ["evaluate"] and not os.path.exists(host.places.state("web"))
    assert not os.path.exists(str(shown["package"])) and shown["consequence"] == "start"
    actual = run(flake)
    assert calls == ["evaluate", "evaluate", "build"] and shown["actions"] == actual["actions"]
    assert f"build {installable}" in actual["actions"] and actual["package"] == shown["package"] == current(host)
    assert host.units["microvm@web.service"].active_state == "active" and actual["generation"] == 1
    assert Path(host.places.state("web", "flake")).read_text() == flake
    remove_garbage("nix-store", "--gc")
    assert os.path.exists(current(host))
    del calls[:]
    again = run(flake)
    assert not again["changed"] and calls == ["evaluate"]


def test_nothing_is_written_beside_the_result(
    host: FakeHost, known: RealNix, capfd: pytest.CaptureFixture[str]
) -> None:
    # What Ansible reads over a terminal has both, and a line that begins so is taken for the result.
    run(known.write({"web": runner("web", script="echo '{ \"a\"' >&2")}))
    assert os.path.exists(current(host)) and capfd.readouterr() == ("", "")


def test_an_update_is_another_generation_and_a_restart(host: FakeHost, known: RealNix) -> None:
    first = run(known.write({"web": runner("web", "one")}))
    flake = known.write({"web": runner("web", "two")})
    vm = {"name": "web", "flake": flake}
    predicted = run_all(vm, check_mode=True)
    after = predicted["diff"][0]["after"]
    assert "is another derivation, which is not built yet" in after and "file: " not in after
    assert f"package: {first['package']}\n" in predicted["diff"][0]["before"]
    built = run_all(vm, check_mode=True, check_builds=True)
    assert "file: bin/microvm-run" in built["diff"][0]["after"] and current(host) == first["package"]
    assert not list((known.root / "gcroots/web").glob(f"*{os.path.basename(str(built['vms'][0]['package']))}"))
    second = run(flake)
    assert second["consequence"] == "restart" and second["generation"] == 2 and current(host) == second["package"]
    roll_back("web", None, False, False, False, host.places)
    refused = run(flake)
    assert refused["failed"] and refused["refused_package"] == second["package"]


def test_flakes_are_evaluated_once_for_all_microvms_and_builds_are_apart(
    host: FakeHost, known: RealNix, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flake = known.write({name: runner(name) for name in ("web", "db", "mail")})
    vms = [{"name": name, "flake": flake} for name in ("web", "db", "mail")]
    preflight = run_all(*vms, preflight=True)
    assert calls == ["evaluate"] and set(preflight["evaluations"]) == {"web", "db", "mail"}
    # Passed on within a run.
    result = run_all(*vms, built=preflight["evaluations"])
    assert calls == ["evaluate", "build", "build", "build"]
    assert {vm["name"] for vm in result["vms"] if os.path.exists(current(host, vm["name"]))} == {"web", "db", "mail"}
    # Nix looks once for all in a run that has nothing to do.
    looks: list[Any] = []
    start = subprocess.run

    def counted(words: list[str], check: bool = False, **options: Any) -> Any:
        looks.append(words)
        return start(words, check=check, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    again = run_all(*vms, built=result["evaluations"])
    assert not again["changed"] and len([words for words in looks if "--check-validity" in words]) == 1
    # Of another attribute, evaluations say nothing.
    del calls[:]
    other = known.write({"web": runner("other")}, "other")
    assert run_all({"name": "web", "flake": other}, check_mode=True, built=preflight["evaluations"])["changed"]
    assert calls == ["evaluate"]


@pytest.mark.parametrize(
    "entry", [7, {}, {"path": "/nix/store/x"}, {"path": "/tmp/x", "installable": "/f#x"}, {"installable": "/f#x"}]
)
def test_what_no_run_has_evaluated_is_refused_by_its_name(entry: object) -> None:
    with pytest.raises(DeclarationError, match="is not what `evaluations` of this module are") as refusal:
        earlier_packages({"web": entry})
    assert refusal.value.path == "built.web"


def test_evaluations_are_passed_on_whole(host: FakeHost, known: RealNix) -> None:
    evaluations = run_all({"name": "web", "flake": known.write({"web": runner("web")})}, preflight=True)["evaluations"]
    assert earlier_packages(evaluations) == evaluations and evaluations["web"]["derivation"]


def test_failing_evaluations_are_refused_together_before_anything_changes(host: FakeHost, known: RealNix) -> None:
    flake = known.write(
        {"web": runner("web"), "db": 'throw "no database"', "arm": runner("arm", system="riscv64-linux")}
    )
    vms = [{"name": name, "flake": flake} for name in ("web", "db", "arm")]
    with pytest.raises(DeclarationError) as refusal:
        run_all(*vms)
    text = str(refusal.value)
    assert refusal.value.path == "vms[1].flake" and "no database" in text and f"{flake}#" in text
    assert "vms[2] (arm).flake: " in text and "built for riscv64-linux" in text
    assert not os.path.exists(host.places.state("web")) and not list(known.store.glob("*-microvm-web"))


def test_only_the_first_of_many_errors_are_shown() -> None:
    errors = [DeclarationError(f"vms[{number}].flake", f"no {number}") for number in range(500)]
    text = str(joined_errors(errors))
    assert text.startswith("vms[0].flake: no 0\nvms[1].flake: no 1\n") and "no 9\n" in text and "no 10\n" not in text
    assert text.endswith("490 more MicroVMs have such errors")
    assert "more" not in str(joined_errors(errors[:10]))


def test_a_failing_build_is_an_error_of_its_microvm_alone(host: FakeHost, known: RealNix) -> None:
    before = run(known.write({"web": runner("web")}))
    flake = known.write({"web": runner("web", script="echo no space >&2; exit 3"), "db": runner("db")})
    result = run_all({"name": "web", "flake": flake}, {"name": "db", "flake": flake})
    web, db = result["vms"]
    assert web["failed"] and "cannot be built" in web["msg"] and "no space" in web["msg"] and f"{flake}#" in web["msg"]
    # What Nix is about to do comes before what has gone wrong, and a summary has the first line alone.
    assert "failed with exit code 3" in str(web["msg"]).partition("\n")[0]
    assert not web["changed"] and current(host) == before["package"] and not db["failed"]
    assert os.path.exists(current(host, "db")) and host.units["microvm@web.service"].active_state == "active"
    record = host.places.records.read("web")
    assert record is not None and len(record.generations) == 1
    new = run_all({"name": "mail", "flake": known.write({"mail": runner("mail", script="exit 3")})})["vms"][0]
    assert new["failed"] and not os.path.exists(host.places.state("mail"))


def test_what_a_collector_removes_between_evaluation_and_build_is_evaluated_again(
    host: FakeHost, known: RealNix, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    realise = nix.realise
    removed: list[str] = []
    changed: dict[str, str] = {}

    def after_collector(path: str, link: str, arguments: list[str]) -> str:
        if len(removed) < 2:
            removed.append(path)
            remove_garbage("nix-store", "--delete", path)
            known.write({"web": runner("web", **changed)})
        return realise(path, link, arguments)

    monkeypatch.setattr(nix, "realise", after_collector)
    flake = known.write({"web": runner("web")})
    result = run(flake)
    assert not result["failed"] and current(host) == result["package"]
    assert calls == ["evaluate", "build"] * 3 and removed[0] == removed[1]
    # Another package than the one that was verified is left to another run.
    del removed[:]
    changed["mark"] = "three"
    known.write({"web": runner("web", "two")})
    failed = run(flake)
    assert "cannot be built: the flake has changed since this run has evaluated it; run again" in str(failed["msg"])
    assert current(host) == result["package"]


def test_a_run_that_others_have_overtaken_installs_nothing(
    host: FakeHost, known: RealNix, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(known.write({"web": runner("web", "one")}))
    slow, newer = known.write({"web": runner("web", "two")}), known.write({"web": runner("web", "three")}, "newer")
    realise = nix.realise
    overtaking: list[VmResult] = []

    def overtaken(path: str, link: str, arguments: list[str]) -> str:
        monkeypatch.setattr(nix, "realise", realise)
        overtaking.append(run(newer))
        return realise(path, link, arguments)

    monkeypatch.setattr(nix, "realise", overtaken)
    result = run(slow)
    assert result["failed"] and "was installed while this run built or copied one; run again" in str(result["msg"])
    assert current(host) == overtaking[0]["package"]
    again = run(slow)
    assert not again["failed"] and current(host) == again["package"]


def test_a_build_that_is_no_package_is_refused(host: FakeHost, known: RealNix) -> None:
    flake = known.write({"web": runner("web").replace("mkdir -p $out/bin", "/bin/touch $out; exit 0")})
    with pytest.raises(DeclarationError, match="lacks the executable bin/microvm-run") as refusal:
        run(flake)
    assert refusal.value.path == "vms[0].flake" and not os.path.exists(host.places.state("web"))


def test_nothing_is_evaluated_for_a_microvm_that_is_removed(host: FakeHost, known: RealNix, calls: list[str]) -> None:
    run(known.write({"web": runner("web")}))
    del calls[:]
    assert not run("path:/absent", state="absent")["failed"] and calls == []
    assert not os.path.exists(host.places.state("web"))


@pytest.mark.parametrize("place", ["flake", "flake/flake.nix", "."])
@pytest.mark.parametrize("scheme", ["path:", ""])
def test_a_flake_that_others_than_root_may_change_is_refused_before_it_is_evaluated(
    host: FakeHost, known: RealNix, calls: list[str], place: str, scheme: str
) -> None:
    flake = known.write({"web": runner("web")}).replace("path:", scheme)
    changeable = known.root / place
    mode = changeable.stat().st_mode
    changeable.chmod(mode | 0o020)
    for check in (True, False):
        with pytest.raises(DeclarationError, match=f" {changeable} can be changed by others than root") as refusal:
            run(flake, check)
        assert refusal.value.path == "vms[0].flake" and f"root evaluates the flake {flake} " in refusal.value.message
    assert calls == [] and not os.path.exists(host.places.state("web"))
    # What is evaluated elsewhere is elsewhere too, and what is evaluated no longer may be whatever it is.
    with pytest.raises(DeclarationError, match="needs the action plugin"):
        run(flake, build_on="controller")
    changeable.chmod(mode)
    run(flake, manage="once")
    changeable.chmod(mode | 0o020)
    assert not run(flake, manage="once")["failed"]


def test_a_repository_is_refused_for_what_others_may_change_beside_its_flake(host: FakeHost, known: RealNix) -> None:
    known.write({"web": runner("web")}, "repository")
    (known.root / "repository/machines").mkdir()
    (known.root / "repository/flake.nix").rename(known.root / "repository/machines/flake.nix")
    subprocess.run(["git", "init", "--quiet", str(known.root / "repository")], check=True)
    subprocess.run(["git", "-C", str(known.root / "repository"), "add", "."], check=True)
    (known.root / "repository/library.nix").write_text("")
    (known.root / "repository/library.nix").chmod(0o666)
    with pytest.raises(DeclarationError, match=r"repository/library\.nix can be changed"):
        run(f"{known.root}/repository/machines")
    (known.root / "repository/library.nix").chmod(0o644)
    (known.root / "open").mkdir()
    (known.root / "open/link").symlink_to(known.root / "repository/machines")
    (known.root / "open").chmod(0o777)
    with pytest.raises(DeclarationError, match="open can be changed"):
        run(f"{known.root}/open/link")
    assert not run(f"{known.root}/repository/machines")["failed"]


def test_an_input_that_others_than_root_may_change_is_refused(host: FakeHost, known: RealNix) -> None:
    flake, other = known.write({"web": runner("web")}), known.write({}, "other")
    (known.root / "other").chmod(0o777)
    with pytest.raises(DeclarationError, match="other can be changed by others than root") as refusal:
        run(flake, nix_arguments=["--override-input", "nixpkgs", other])
    assert refusal.value.path == "vms[0].nix_arguments"


def test_another_attribute_and_a_flake_of_updates(host: FakeHost, known: RealNix) -> None:
    flake = known.write({"web": runner("web"), "other": runner("other")})
    run(flake, update_flake="github:you/machines")
    assert Path(host.places.state("web", "flake")).read_text() == "github:you/machines"
    result = run(flake, attribute="nixosConfigurations.other.config.microvm.declaredRunner")
    assert str(result["package"]).endswith("-microvm-other") and f"record the flake {flake}" in result["actions"]


def test_a_rename_leaves_nothing_to_the_next_run(host: FakeHost, known: RealNix) -> None:
    flake = known.write({"web": runner("web"), "shop": runner("shop")})
    for name, attribute in (("shop", None), ("mail", "nixosConfigurations.web.config.microvm.declaredRunner")):
        run(flake, state="stopped")
        renamed = {"name": name, "renamed_from": "web", "flake": flake, "attribute": attribute, "state": "stopped"}
        (first,) = run_all(renamed)["vms"]
        assert not first["failed"] and not any("record the flake" in action for action in first["actions"])
        source = update_source(name, host.places)
        assert source is not None and (source.flake, source.attribute) == (flake, attribute)
        assert not run_all(renamed)["vms"][0]["changed"]


@pytest.mark.parametrize(
    ("flake", "build_on", "recorded"),
    [
        ("path:/srv/machines", "target", "path:/srv/machines"),
        ("path:/srv/machines", "controller", ""),
        ("/srv/machines", "east", ""),
        ("git+file:///srv/machines?ref=v1", "controller", ""),
        ("file:///srv/machines.tar", "controller", ""),
        ("git+https://example.org/machines", "controller", "git+https://example.org/machines"),
        ("machines", "controller", "machines"),
    ],
)
def test_a_path_of_another_machine_is_no_flake_of_updates(flake: str, build_on: str, recorded: str) -> None:
    vm = {"name": "web", "flake": flake, "build_on": build_on}
    assert DeclaredFlake("", parse_vm(vm), None).updates.flake == recorded
    chosen = DeclaredFlake("", parse_vm({**vm, "update_flake": "path:/etc/machines"}), None)
    assert chosen.updates.flake == "path:/etc/machines"


def test_a_microvm_that_the_command_has_created_goes_on(host: FakeHost, known: RealNix) -> None:
    flake = known.write({"web": runner("web")})
    path = _built(flake)
    adopt("web", path, host.places, flake)
    result = run(flake, state="present")
    assert result["generation"] == 1 and not result["failed"] and current(host) == path
    assert not any("flake" in action or "link" in action for action in result["actions"])
    assert not run(flake, state="present")["changed"]


def _built(flake: str) -> str:
    return str(run_all({"name": "web", "flake": flake}, check_mode=True, check_builds=True)["vms"][0]["package"])


def test_what_is_installed_once_is_left_to_updates(host: FakeHost, known: RealNix, calls: list[str]) -> None:
    flake = known.write({"web": runner("web", "one")})
    first = run(flake, manage="once")
    assert first["generation"] == 1 and calls == ["evaluate", "build"]
    del calls[:]
    newer = known.write({"web": runner("web", "two")})
    assert not run(newer, manage="once")["changed"] and calls == []
    # As `microvm update` does.
    adopt("web", _built(newer), host.places, newer)
    del calls[:]
    updated = run(newer, manage="once")
    assert calls == [] and updated["restart_pending"] and updated["generation"] == 2
    assert not any("systemctl" in action or "link" in action for action in updated["actions"])
    assert not run(newer, manage="once")["changed"]
    assert Path(host.places.state("web", "flake")).read_text() == newer
    assert run(newer)["consequence"] == "restart"


@pytest.mark.parametrize("build_on", ["controller", "target"])
def test_what_is_installed_once_keeps_its_package_under_another_name(
    host: FakeHost, known: RealNix, calls: list[str], monkeypatch: pytest.MonkeyPatch, build_on: str
) -> None:
    flake = known.write({"web": runner("web"), "shop": runner("shop", "two")})
    package = str(run(flake)["package"])
    del calls[:]
    renamed = {"name": "shop", "renamed_from": "web", "flake": flake, "manage": "once", "build_on": build_on}
    with pytest.raises(DeclarationError, match="'web' is running, and a rename requires a stop"):
        run_all({**renamed, "restart_policy": "never"})
    vm = {**renamed, "restart_policy": "if_changed"}
    expected = run_all(vm, check_mode=True)["vms"][0]
    result = run_all(vm)["vms"][0]
    assert calls == [] and result["package"] == package == current(host, "shop") and not result["failed"]
    assert result["actions"] == expected["actions"] and result["consequence"] == "restart"
    assert not any(words in action for action in result["actions"] for words in ("build ", "copy ", "flake"))
    assert Path(host.places.state("shop", "flake")).read_text() == flake and result["generation"] == 1
    assert nix.kept_packages("shop") == [package] and not os.path.lexists(host.places.state("web"))
    assert not run_all(vm)["changed"] and calls == []


def test_a_package_of_another_name_is_installed_anew(host: FakeHost, tmp_path: Path) -> None:
    vm = {"runner": made(tmp_path / "made"), "manage": "once", "state": "stopped"}
    run_all({**vm, "name": "web"})
    assert not run_all({**vm, "name": "shop", "renamed_from": "web"})["vms"][0]["failed"]
    assert os.path.basename(current(host, "shop")).endswith("-shop")
    shutil.rmtree(tmp_path / "made")
    assert not run_all({**vm, "name": "shop", "renamed_from": "web"})["changed"]


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Let something else change the host between what a run prepares and the locks that it takes."""
    real: Any = reconcile_operation
    locked = real.locked

    @contextlib.contextmanager
    def late(names: Iterable[str]) -> Iterator[None]:
        monkeypatch.setattr(reconcile_operation, "locked", locked)
        change()
        with locked(names):
            yield

    monkeypatch.setattr(reconcile_operation, "locked", late)


def made(directory: Path, mark: str = "one") -> str:
    """Write a package by hand, and return its path."""
    (directory / "bin").mkdir(parents=True)
    (directory / "bin/microvm-run").write_text(f"#!/bin/sh\n# {mark}\n")
    for path in (directory, directory / "bin", directory / "bin/microvm-run"):
        path.chmod(0o755)
    return str(directory)


def test_a_package_of_a_directory_can_be_installed_once_too(host: FakeHost, tmp_path: Path) -> None:
    vm = {"name": "web", "runner": made(tmp_path / "made"), "manage": "once"}
    assert run_all(vm)["vms"][0]["generation"] == 1
    shutil.rmtree(tmp_path / "made")
    assert not run_all(vm)["changed"] and os.path.exists(current(host))


def test_what_is_updated_while_a_run_prepares_others_stays(
    host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = {"name": "web", "runner": made(tmp_path / "one"), "manage": "once", "restart_policy": "if_changed"}
    run_all(vm)
    first, newer = current(host), made(tmp_path / "two", "two")
    meanwhile(monkeypatch, lambda: adopt("web", newer, host.places))
    result = run_all(vm)["vms"][0]
    assert current(host) != first and result["package"] == os.path.basename(current(host))
    assert not any("link" in action or "systemctl" in action for action in result["actions"])
    assert result["generation"] == 2 and result["restart_pending"] and not run_all(vm)["changed"]
    # One that was not there when the run began.
    meanwhile(monkeypatch, lambda: adopt("db", newer, host.places))
    created = run_all({**vm, "name": "db"})["vms"][0]
    assert created["generation"] == 1 and created["consequence"] == "start"
    assert Path(current(host, "db"), "bin/microvm-run").read_text().endswith("# two\n")


def test_what_is_removed_while_a_run_prepares_others_is_an_error_of_its_own(
    host: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vms = [{"name": name, "runner": made(tmp_path / name, name), "manage": "once"} for name in ("web", "db")]
    run_all(vms[0])
    meanwhile(monkeypatch, lambda: run_all({"name": "web", "state": "absent"}))
    web, db = run_all(*vms)["vms"]
    assert (
        "was removed" in str(web["msg"]) and "run again" in web["msg"] and not os.path.lexists(host.places.state("web"))
    )
    assert not db["failed"] and os.path.exists(current(host, "db"))
    assert run_all(*vms)["vms"][0]["consequence"] == "start"


def test_a_damaged_package_that_is_installed_once_becomes_no_generation(host: FakeHost, tmp_path: Path) -> None:
    vm = {"name": "web", "runner": made(tmp_path / "made"), "manage": "once"}
    run_all(vm)
    before, script = current(host), Path(current(host), "bin/microvm-run")
    script.write_text("#!/bin/sh\n# tampered with\n")
    assert not run_all(vm)["changed"] and current(host) == before
    # As a start does that has failed.
    host.places.store.mark_damaged(os.path.basename(before))
    replaced = run_all(vm)["vms"][0]
    assert replaced["generation"] == 1 and current(host) == before and script.read_text().endswith("# one\n")
    assert not run_all(vm)["changed"]


def test_a_lost_package_that_is_installed_once_is_installed_anew(
    host: FakeHost, known: RealNix, tmp_path: Path
) -> None:
    made_by_hand = {"name": "db", "runner": made(tmp_path / "made"), "manage": "once"}
    vms = [{"name": "web", "flake": known.write({"web": runner("web")}), "manage": "once"}, made_by_hand]
    run_all(*vms)
    shutil.rmtree(known.root / "gcroots")
    remove_garbage("nix-store", "--gc")
    shutil.rmtree(current(host, "db"))
    assert not os.path.exists(current(host))
    # By this, the controller knows that it has to bring packages again which it builds.
    assert all("is damaged" in str(vm["error"]) for vm in inform(host.places))
    assert run_all(*vms, preflight=True)["evaluations"]["web"]["path"] == current(host)
    assert [vm["generation"] for vm in run_all(*vms)["vms"]] == [1, 1]
    assert os.path.exists(current(host)) and os.path.exists(current(host, "db"))
    assert not run_all(*vms)["changed"]


def test_a_host_without_nix_is_refused_unless_the_same_run_installs_it(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nix, "find_program", lambda _name: None)
    vm = {"name": "web", "flake": "github:you/machines"}
    for request in ({}, {"preflight": True}, {"nix": True}):
        with pytest.raises(DeclarationError, match=r"Nix is not installed.*microvm_nix: true.*build_on"):
            run_all(vm, **request)
    expected = run_all(vm, check_mode=True, nix=True)
    after = expected["diff"][0]["after"]
    assert "is evaluated when Nix has been installed" in after and "another derivation" not in after
    installable = "github:you/machines#nixosConfigurations.web.config.microvm.declaredRunner"
    assert f"build {installable}" in expected["vms"][0]["actions"]
    # What is not known is not passed on.
    assert run_all(vm, preflight=True, nix=True)["evaluations"] == {} == expected["evaluations"]


def test_what_others_build_is_taken_from_them(host: FakeHost, known: RealNix) -> None:
    flake = known.write({"web": runner("web")})
    vm = {"name": "web", "flake": flake, "build_on": "controller"}
    with pytest.raises(DeclarationError, match="needs the action plugin") as refusal:
        run_all(vm)
    assert refusal.value.path == "vms[0].build_on"
    installable = f"{flake}#nixosConfigurations.web.config.microvm.declaredRunner"
    path = f"{known.store}/{'0' * 32}-microvm-web"
    built = {
        "web": {"installable": installable, "path": path, "derivation": None, "is_built": False, "diff": "a: 1 → 2"}
    }
    predicted = run_all(vm, check_mode=True, built=built)
    assert "closure: a: 1 → 2\n" in predicted["diff"][0]["after"] and predicted["vms"][0]["package"] == path
    lacking = run_all(vm, built=built)["vms"][0]
    assert lacking["failed"] and re.search("is not on this host, .*; .* run again", lacking["msg"])
    copied = _built(flake)
    result = run_all(vm, built={"web": {**built["web"], "path": copied, "is_built": True}})["vms"][0]
    assert result["generation"] == 1 and f"make GC root of {copied}" in result["actions"]


def test_what_is_copied_in_the_run_is_predicted_so(host: FakeHost, known: RealNix) -> None:
    flake = known.write({"web": runner("web")})
    vm = {"name": "web", "flake": flake, "build_on": "controller"}
    built: Any = run_all({**vm, "build_on": "target"}, preflight=True)["evaluations"]["web"]
    predicted = run_all(vm, check_mode=True, built={"web": built})
    assert "is another package, which is not copied yet" in predicted["diff"][0]["after"]
    # In between the controller copies it.
    assert _built(flake) == built["path"]
    [result] = run_all(vm, built={"web": built})["vms"]
    assert result["actions"] == predicted["vms"][0]["actions"]
    assert result["actions"][0] == f"copy the package of {built['installable']}"
    assert nix.kept_packages("web") == [built["path"]]
    assert not run_all(vm, built={"web": {**built, "is_built": True}})["changed"]


def test_a_package_that_is_marked_bad_is_not_built_again(host: FakeHost, known: RealNix, calls: list[str]) -> None:
    run(known.write({"web": runner("web", "one")}))
    flake = known.write({"web": runner("web", "two")})
    bad = str(run(flake)["package"])
    roll_back("web", None, False, False, False, host.places)
    nix.release("web", bad)
    remove_garbage("nix-store", "--delete", bad)
    del calls[:]
    for check in (True, False):
        refused = run(flake, check)
        assert refused["refused_package"] == bad and not refused["changed"] and refused["actions"] == []
    assert calls == ["evaluate", "evaluate"]


def test_a_damaged_record_is_an_error_of_its_microvm_alone(host: FakeHost, known: RealNix) -> None:
    flake = known.write({"web": runner("web"), "db": runner("db")})
    run(flake)
    (host.root / "records/web.json").write_text("{")
    web, db = run_all(*({"name": name, "flake": flake} for name in ("web", "db")))["vms"]
    assert web["failed"] and not db["failed"] and os.path.exists(current(host, "db"))
