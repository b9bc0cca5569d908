# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs that are declared by packages which were made elsewhere, on a fake of ``host/``."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.restrictions.parse import (
    parse_restrictions,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix, vsock
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import ImageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import reconcile as reconcile_operation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.adopt import adopt
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import roll_back
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.observe import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import parse
from ..fake_host import FakeHost

Vm = dict[str, Any]
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _mode() -> Iterator[None]:
    """Let nobody else write to what tests make, whatever the mode of new files is here."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a package made by hand, whose other files are given by their names in ``share/microvm``."""

    def written(script: str = "one", **facts: str) -> str:
        directory = tmp_path / "made" / "web"
        for name, text in {"bin/microvm-run": f"#!/bin/sh\n# {script}\n", **shared(facts)}.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        (directory / "bin/microvm-run").chmod(0o755)
        return str(directory)

    return written


def shared(facts: dict[str, str]) -> dict[str, str]:
    return {f"share/microvm/{name.replace('_', '-')}": text for name, text in facts.items()}


def write_rendered(directory: Path, **options: Any) -> str:
    """Write a package as ``microvm render`` would, and return its path."""
    declaration = parse({"name": "web", "kernel": "/k", "accel": "tcg", **options})[0]
    for name, file in render(declaration, HostFacts("x86_64")).files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(file.content)
        (directory / name).chmod(0o755 if file.executable else 0o644)
    return str(directory)


def run(runner: str, check: bool = False, limits: Vm | None = None, **options: Any) -> tuple[VmResult, str]:
    """Declare MicroVM ``web`` by its package; return its result and the diff."""
    vm = {"name": "web", "runner": runner, **options}
    restrictions = None if limits is None else parse_restrictions(limits, "restrictions")
    outcome = reconcile(Request(vms=[vm], check_mode=check, state_dir="/unused", restrictions=restrictions))
    diffs = outcome["diff"]
    return outcome["vms"][0], str(diffs[0]["after"]) if diffs else ""


def test_a_package_is_installed_started_and_then_left_as_it_is(host: FakeHost, write: Write) -> None:
    path = write()
    shown, _diff = run(path, check=True)
    assert not os.path.exists(host.places.state("web"))
    actual, _diff = run(path)
    assert shown["actions"] == actual["actions"] and "systemctl start microvm@web.service" in actual["actions"]
    assert host.units["microvm@web.service"].enabled and actual["generation"] == 1
    assert not run(path)[0]["changed"]


def test_other_contents_are_another_generation_and_a_restart(host: FakeHost, write: Write) -> None:
    first, _diff = run(write("one"))
    path = write("two")
    second, diff = run(path, check=True)
    assert second["changed"] and second["package"] != first["package"] and "file: bin/microvm-run " in diff
    second, _diff = run(path)
    assert second["consequence"] == "restart" and second["generation"] == 2
    pending, _diff = run(write("three"), restart_policy="never")
    assert pending["restart_pending"] and pending["consequence"] == "restart pending"


def test_its_own_context_identifier_is_in_use_while_it_runs(
    host: FakeHost, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(vsock_cid="1042\n", hypervisor="qemu\n")
    run(path)
    monkeypatch.setattr(vsock, "is_in_use", lambda context: context == 1042)
    assert not run(path)[0]["changed"]
    other = {"name": "other", "kernel": "/k", "accel": "tcg", "vsock": {"cid": 1042}, "ready": {"check": "none"}}
    with pytest.raises(DeclarationError, match="the MicroVM 'web', which this run leaves"):
        reconcile(Request(vms=[other], state_dir="/unused"))
    # A record that cannot be read hides no other MicroVM, and does not hide what its own runs with either.
    (host.root / "records" / "web.json").write_text("damaged")
    assert run(path)[0]["failed"]


@pytest.mark.parametrize("hypervisor", ["cloud-hypervisor\n", "firecracker\n", "another\n", ""])
def test_only_a_package_whose_hypervisor_takes_the_kernel_s_vsock_is_refused_for_it(
    host: FakeHost, write: Write, monkeypatch: pytest.MonkeyPatch, hypervisor: str
) -> None:
    monkeypatch.setattr(vsock, "is_in_use", lambda context: context == 1042)
    with pytest.raises(DeclarationError, match="no MicroVM of this collection"):
        run(write(vsock_cid="1042\n", hypervisor="qemu\n"))
    run(write(vsock_cid="1042\n", hypervisor=hypervisor))


def test_options_of_the_host_hold_for_it(host: FakeHost, write: Write) -> None:
    result, _diff = run(write(), tags=["blue"], autostart=False, stop_timeout=7)
    record = host.places.records.read("web")
    assert record is not None and record.tags == ("blue",) and record.generations[0].external
    assert "STOP_TIMEOUT=7" in Path(host.places.environment("web")).read_text()
    assert not host.units["microvm@web.service"].enabled and not result["failed"]


def test_a_package_that_was_rolled_back_from_is_refused_until_another_one_is_there(
    host: FakeHost, write: Write
) -> None:
    first, _diff = run(write("one"))
    second, _diff = run(write("two"))
    roll_back("web", None, False, False, False, host.places)
    refused, _diff = run(write("two"))
    assert refused["failed"] and refused["refused_package"] == second["package"]
    assert refused["package"] == first["package"]
    assert not run(write("three"))[0]["failed"]


def test_a_package_in_nix_s_store_stays_there(host: FakeHost, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write()
    monkeypatch.setattr(nix, "STORE", os.path.dirname(path) + "/")
    result, _diff = run(path)
    assert result["package"] == path == os.readlink(host.places.state("web", "current"))
    assert not any(action.startswith("install package") for action in result["actions"])
    assert not run(path)[0]["changed"]


def test_a_package_in_nix_s_store_is_kept_from_its_garbage_collector(
    host: FakeHost, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots, program = tmp_path / "gcroots", tmp_path / "nix-store"
    program.write_text('#!/bin/sh\n[ "$1 $3 $5" = "--realise --add-root --indirect" ] && ln -sfn "$2" "$4"\n')
    program.chmod(0o755)
    path = write()
    monkeypatch.setattr(nix, "STORE", os.path.dirname(path) + "/")
    monkeypatch.setattr(nix, "GARBAGE_ROOTS", str(roots))
    assert run(path)[0]["generation"] == 1 and not roots.exists()
    # It is installed later.
    monkeypatch.setattr(nix, "store_program", lambda: str(program))
    step = f"make GC root of {path}"
    assert step in run(path, check=True)[0]["actions"] and not roots.exists()
    assert run(path)[0]["actions"] == [step]
    assert os.readlink(roots / "web/web") == path and not run(path)[0]["changed"]
    places = host.places
    stores = observe(places, ImageStore(str(tmp_path / "images")), ["web"], frozenset(), str(roots))
    assert not plan(stores).steps
    assert f"remove GC root of {path}" in run(path, state="absent", check=True)[0]["actions"] and roots.exists()
    run(path, state="absent")
    assert list(roots.iterdir()) == []


def test_a_package_that_nix_does_not_know_is_an_error(
    host: FakeHost, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write()
    monkeypatch.setattr(nix, "STORE", os.path.dirname(path) + "/")
    monkeypatch.setattr(nix, "GARBAGE_ROOTS", str(tmp_path / "gcroots"))
    monkeypatch.setattr(nix, "store_program", lambda: "/bin/false")
    result, _diff = run(path)
    assert result["failed"] and f"/bin/false --realise {path}" in result["msg"]
    assert not os.path.lexists(host.places.state("web", "current"))


def test_an_adopted_microvm_goes_on_when_it_is_declared(host: FakeHost, write: Write) -> None:
    path = write()
    adopt("web", path, host.places, "github:a/b")
    result, _diff = run(path)
    assert result["generation"] == 1 and "forget the flake of web" in result["actions"]
    assert not run(path)[0]["changed"]


def test_a_declared_microvm_and_one_of_a_package_take_each_other_s_place(host: FakeHost, tmp_path: Path) -> None:
    own = {"name": "web", "kernel": "/k", "accel": "tcg", "ready": {"check": "none"}}
    reconcile(Request(vms=[own], state_dir="/unused"))
    path = write_rendered(tmp_path / "made", mem=600)
    result, diff = run(path, ready={"check": "none"})
    assert [change["option"] for change in result["changes"]] == ["mem"] and '"mem": 600' in diff
    assert result["consequence"] == "restart"
    assert reconcile(Request(vms=[own], state_dir="/unused"))["vms"][0]["generation"] == 3


def test_what_two_microvms_claim_is_refused(host: FakeHost, write: Write) -> None:
    vms: list[Vm] = [
        {"name": "db", "kernel": "/k", "accel": "tcg", "interfaces": [{"id": "vm-a"}]},
        {"name": "web", "runner": write(tap_interfaces="vm-a\n")},
    ]
    with pytest.raises(DeclarationError, match="interface 'vm-a' is already used"):
        reconcile(Request(vms=vms, state_dir="/unused"))
    assert not os.path.exists(host.places.state("db"))


def test_what_is_no_package_or_another_s_is_refused(host: FakeHost, tmp_path: Path) -> None:
    for path, message in ((str(tmp_path), "lacks the executable"), (write_rendered(tmp_path / "made"), "belongs to")):
        with pytest.raises(DeclarationError, match=message) as refusal:
            reconcile(Request(vms=[{"name": "db", "runner": path}], state_dir="/unused"))
        assert refusal.value.path == "vms[0].runner"
    assert not os.path.exists(host.places.state("db"))


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("place", [".", "bin", "bin/microvm-run", "share/microvm/vsock-cid", ".."])
def test_a_package_that_others_than_root_may_change_is_refused(
    host: FakeHost, write: Write, place: str, check: bool
) -> None:
    path = Path(write(vsock_cid="7\n"))
    (path / place).chmod((path / place).stat().st_mode | 0o002)
    with pytest.raises(DeclarationError, match=f"{os.path.normpath(path / place)} can be changed by others") as refusal:
        run(str(path), check)
    assert refusal.value.path == "vms[0].runner" and not os.path.exists(host.places.state("web"))
    # Whoever names it to the command has looked at it.
    adopt("web", str(path), host.places)


def test_a_package_that_others_than_root_can_exchange_by_a_link_is_refused(
    host: FakeHost, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "result").symlink_to(tmp_path / "open/result")
    (tmp_path / "open/result").symlink_to(write())
    assert not run(str(tmp_path / "result"))[0]["failed"]
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(DeclarationError, match="open can be changed by others"):
        run(str(tmp_path / "result"))
    script = Path(write(), "bin/microvm-run")
    script.rename(tmp_path / "open/run")
    script.symlink_to(tmp_path / "open/run")
    with pytest.raises(DeclarationError, match="open can be changed by others"):
        run(str(script.parents[1]))


@pytest.mark.parametrize("check", [False, True])
def test_restrictions_hold_before_the_package_is_read(host: FakeHost, check: bool) -> None:
    with pytest.raises(DeclarationError, match="external_packages") as refusal:
        run("/absent", check, {})
    assert refusal.value.path == "vms[0].runner"


def test_programs_of_a_package_are_those_of_its_declaration(
    host: FakeHost, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(reconcile_operation, "check_ability", lambda _placed, programs, *_others: seen.append(programs))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    volumes = [{"image": "a", "size": 300, "fs_type": "xfs"}]
    shares = [{"tag": "a", "source": "/srv/a", "proto": "virtiofs"}]
    run(write_rendered(tmp_path / "rendered", volumes=volumes, shares=shares), check=True)
    assert set(seen.pop()["vms[0]"]) >= {"qemu-system-x86_64", "virtiofsd", "mkfs.xfs"}
    # The declaration of another host, which cannot be rendered on this one.
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    run(write_rendered(tmp_path / "crosvm", hypervisor="crosvm", accel="kvm"), check=True)
    assert seen.pop() == {"vms[0]": ("crosvm",)}
    run(write(), check=True)
    assert seen.pop() == {"vms[0]": ()}


def test_restrictions_hold_for_what_the_package_declares(host: FakeHost, tmp_path: Path, write: Write) -> None:
    limits = {"external_packages": True, "path_prefixes": ["/srv"]}
    with pytest.raises(DeclarationError, match="weaker_sandbox"):
        run(write_rendered(tmp_path / "rendered", kernel="/srv/k", profile="compat"), True, limits)
    assert not run(write(), True, limits)[0]["failed"]


def test_unit_settings_are_filtered(host: FakeHost, write: Write) -> None:
    path = Path(write(), "share/microvm/systemd/microvm@.service.conf")
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nExecStartPre=+/bin/true\n")
    with pytest.raises(DeclarationError, match="line 2") as refusal:
        run(str(path.parents[3]))
    assert refusal.value.path == "vms[0].runner" and not os.path.exists(host.places.state("web"))


def test_a_removal_needs_no_package(host: FakeHost, write: Write) -> None:
    run(write())
    assert not run("/absent", state="absent")[0]["failed"]
    assert not os.path.exists(host.places.state("web"))
