# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command, as it is called."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.main import main

ONE = {"name": "one", "kernel": "/k", "interfaces": [{"type": "tap"}]}
BAD = {"name": "bad", "kernel": "/k", "interfaces": [{"type": "wireless"}]}


def write(path: Path, data: Any) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def test_json_lists_packages_and_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "f.json", {"microvm_vms": [ONE, BAD]})
    assert main(["render", file, "--json", "--platform", "x86_64-linux"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"one", "bad"}
    assert set(answer["one"]) == {"argv", "files", "digest", "refused"}
    assert answer["one"]["argv"][0] == "qemu-system-x86_64" and answer["one"]["refused"] is None
    assert answer["one"]["files"]["share/microvm/hypervisor"] == "qemu\n" and len(answer["one"]["digest"]) == 32
    assert answer["bad"]["refused"]["path"] == "interfaces[0].type" and answer["bad"]["argv"] == []


def test_a_package_that_was_made_elsewhere_is_valid_and_not_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "f.json", [ONE, {"name": "two", "runner": "/srv/two"}])
    assert main(["validate", file]) == 0
    assert main(["render", file, "--name", "one"]) == 0
    assert main(["render", file]) == 1
    assert "runner: names a package that was made elsewhere" in capsys.readouterr().err


def test_several_forms_of_files_are_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for data in (ONE, [ONE], {"microvm_vms": [ONE], "other": 1}):
        assert main(["render", write(tmp_path / "f", data), "--json"]) == 0
        assert list(json.loads(capsys.readouterr().out)) == ["one"]
    (tmp_path / "f.yml").write_text("- name: one\n  kernel: /k\n")
    assert main(["render", str(tmp_path / "f.yml")]) == 0
    assert "-kernel /k" in capsys.readouterr().out


def test_declarations_are_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ONE)))
    assert main(["validate", "-"]) == 0


@pytest.mark.parametrize("text", ["", "3", "[", "{}", "microvm_vms: 3", "a: !other x", "a: 9999-99-99", "\0"])
def test_files_without_declarations_are_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").write_text(text)
    assert main(["render", str(tmp_path / "f")]) == 1
    assert capsys.readouterr().err.startswith("microvm: ")
    assert main(["render", str(tmp_path / "missing")]) == 1


@pytest.mark.parametrize("element", [3, None, [], {}, {"kernel": "/k"}, {"name": 7}, {"name": "a", "kernel": 1}])
def test_elements_that_are_no_declarations_are_refused(
    element: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", write(tmp_path / "f", [element, ONE]), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer.pop("one")["refused"] is None
    assert next(iter(answer.values()))["refused"]["message"]


def test_clashes_are_found_across_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = {**ONE, "name": "two", "interfaces": [{"id": "same"}]}
    file = write(tmp_path / "f", [{**ONE, "interfaces": [{"id": "same"}]}, two])
    assert main(["render", file, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["two"]["refused"]["path"] == "interfaces[0].id"
    assert main(["render", file, "--json", "--name", "one"]) == 0
    assert main(["validate", file]) == 1
    assert (
        "[1] (two).interfaces[0].id: the interface 'same' is already used by [0] (one).interfaces[0].id"
        in capsys.readouterr().err
    )


def test_hypervisor_and_platform_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "f", {"name": "one", "kernel": "/k"})
    assert main(["render", file, "--hypervisor", "vfkit", "--platform", "aarch64-darwin", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["one"]["argv"][0] == "vfkit"
    assert main(["render", file, "--hypervisor", "vfkit", "--platform", "x86_64-linux"]) == 1
    assert "qemu" in capsys.readouterr().err
    assert main(["render", file, "--name", "two"]) == 1


def test_packages_are_written_aside_and_replaced(tmp_path: Path) -> None:
    file, target = write(tmp_path / "f", {**ONE, "system_symlink": True}), tmp_path / "package"
    for _time in range(2):
        assert main(["render", file, "--output", str(target)]) == 0
    run = target / "bin" / "microvm-run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o755
    assert os.readlink(target / "share" / "microvm" / "system") == "/"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "package"]
    several = write(tmp_path / "f", [ONE, {"name": "two", "kernel": "/k"}])
    assert main(["render", several, "--output", str(tmp_path / "all")]) == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["one", "two"]


def test_a_directory_that_is_no_package_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").touch()
    assert main(["render", write(tmp_path / "f", ONE), "--output", str(tmp_path / "mine")]) == 1
    assert (tmp_path / "mine" / "thesis").exists()


def test_nothing_is_written_where_something_is_refused(tmp_path: Path) -> None:
    assert main(["render", write(tmp_path / "f", [ONE, BAD]), "--output", str(tmp_path / "all")]) == 1
    assert not (tmp_path / "all").exists()


def test_two_microvms_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "f", [{"name": "a", "kernel": "/k"}, {"name": "a", "kernel": "/other"}])
    assert main(["render", file, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["a"]["refused"]["path"] == "name"
    assert main(["render", file, "--output", str(tmp_path / "all")]) == 1


@pytest.mark.parametrize("place", ["prefix", "link"])
def test_a_directory_that_only_resembles_a_package_is_kept(place: str, tmp_path: Path) -> None:
    file = write(tmp_path / "f", ONE)
    target = tmp_path / place
    if place == "link":
        assert main(["render", file, "--output", str(tmp_path / "package")]) == 0
        target.symlink_to("package")
    else:
        (target / "share" / "microvm").mkdir(parents=True)
        (target / "lib").mkdir()
    (tmp_path / f"{place}.partial").mkdir()
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert main(["render", file, "--output", str(target)]) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("place", ["/proc/x", "", "/dev/null", "a,b"])
def test_unwritable_places_are_reported(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["render", write(tmp_path / "f", ONE), "--output", place]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "firecracker: {extra_config: {a: 2020-01-01}}",
        "firecracker: {cpu: {1: 2, b: 3}}",
        "firecracker: {extra_config: &a {x: *a}}",
        "firecracker: {extra_config: {a: .nan}}",
        "firecracker: {extra_config: {a: !!set {b}}}",
        'pre_start: "\\ud800"',
    ],
)
def test_values_that_json_lacks_are_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").write_text(f"name: a\nkernel: /k\nhypervisor: firecracker\n{text}\n")
    assert main(["render", str(tmp_path / "f"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["a"]["refused"]["path"]


def test_excessive_depths_and_lengths_are_refused(tmp_path: Path) -> None:
    for text in ("[" * 100_000, '{"name": ' + "9" * 5000 + "}"):
        (tmp_path / "f").write_text(text)
        assert main(["render", str(tmp_path / "f"), "--json"]) == 1


def test_tags_of_ansible_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("other: !vault |\n  $ANSIBLE_VAULT\nmicrovm_vms: [{name: a, kernel: !unsafe /k}]\n")
    assert main(["validate", str(tmp_path / "f")]) == 0
