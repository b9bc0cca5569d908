# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Closures in the store of Nix that guests use, by a real Nix with a store of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms import guest_store
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest_store import (
    closure_link,
    closure_name,
    registration_file,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import closures
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix as nix_store
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError

from ..real_nix import remove_garbage

EXPRESSION = """\
let needed = builtins.toFile "needed" "needed";
in { inherit needed; loose = builtins.toFile "loose" "loose"; tool = builtins.toFile "tool" "${needed}"; }.NAME
"""

pytestmark = pytest.mark.skipif(shutil.which("nix-store") is None, reason="Nix is not installed")


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = str(tmp_path / "roots")
    monkeypatch.setattr(nix_store, "GARBAGE_ROOTS", roots)
    monkeypatch.setattr(guest_store, "GARBAGE_ROOTS", roots)
    monkeypatch.setattr(nix_store, "STORE", f"{tmp_path}/store/")
    monkeypatch.setenv("NIX_STORE_DIR", str(tmp_path / "store"))
    for variable, name in (("STATE", "var"), ("LOG", "log"), ("CONF", "etc")):
        monkeypatch.setenv(f"NIX_{variable}_DIR", str(tmp_path / name))
    monkeypatch.setenv("NIX_CONFIG", "build-users-group =\nsubstitute = false")
    monkeypatch.delenv("NIX_REMOTE", raising=False)


def nix(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def add(name: str) -> str:
    expression = EXPRESSION.replace("NAME", name)
    return nix("nix-instantiate", "--eval", "--read-write-mode", "--expr", expression).strip('"')


def test_the_closure_outlives_the_garbage_collector_and_its_registration_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, loose = add("tool"), add("loose")
    closures.keep_closure("web", [tool])
    assert closures.kept_closures("web") == {closure_name([tool])} and closures.kept_closures("other") == frozenset()
    remove_garbage("nix-store", "--gc")
    needed = Path(tool).read_text()
    assert os.path.exists(needed) and not os.path.exists(loose)
    link = closure_link("web", [tool])
    registration = Path(registration_file(link)).read_text().strip()
    assert registration == os.readlink(link)
    # A guest loads it into a database of its own.
    monkeypatch.setenv("NIX_STATE_DIR", str(tmp_path / "guest"))
    with open(registration, "rb") as file:
        subprocess.run(["nix-store", "--load-db"], stdin=file, check=True, timeout=60)
    assert sorted(nix("nix-store", "--query", "--requisites", tool).split()) == sorted([needed, tool])


def test_the_same_closure_is_the_same_file() -> None:
    tool = add("tool")
    closures.keep_closure("web", [tool])
    first = os.readlink(closure_link("web", [tool]))
    closures.keep_closure("other", [tool])
    assert os.readlink(closure_link("other", [tool])) == first


def test_a_closure_whose_link_or_file_is_gone_is_not_kept() -> None:
    tool = add("tool")
    link = closure_link("web", [tool])
    for path in (link, registration_file(link)):
        closures.keep_closure("web", [tool])
        os.remove(path)
        assert closures.kept_closures("web") == frozenset()


def test_a_closure_that_is_removed_is_garbage() -> None:
    tool = add("tool")
    closures.keep_closure("web", [tool])
    closures.release_closure("web", closure_name([tool]))
    remove_garbage("nix-store", "--gc")
    assert not os.path.exists(tool) and not os.path.exists(os.path.dirname(closure_link("web", [tool])))


def test_all_that_links_keep_for_a_name_becomes_garbage() -> None:
    tool, loose, other = add("tool"), add("loose"), add("needed")
    closures.keep_closure("web", [tool])
    for name, path in (("web", loose), ("db", other)):
        nix_store.keep(name, path)
    for _twice in range(2):
        closures.release_all("web")
    remove_garbage("nix-store", "--gc")
    assert [os.path.exists(path) for path in (tool, loose, other)] == [False, False, True]
    assert os.listdir(os.path.dirname(nix_store.roots_directory("db"))) == ["db"]


def test_paths_that_the_store_lacks_are_found_and_cannot_be_kept() -> None:
    tool, lacking = add("tool"), add("loose")
    remove_garbage("nix-store", "--delete", lacking)
    impossible = f"{os.path.dirname(tool)}/{'e' * 32}-tool"
    assert closures.missing_paths([tool, lacking]) == [lacking]
    assert closures.missing_paths([tool, lacking, impossible]) == [lacking, impossible]
    with pytest.raises(HostError, match="loose"):
        closures.keep_closure("web", [lacking])
    assert closures.kept_closures("web") == frozenset()


def test_many_paths_are_looked_up_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = [add("loose")]
    remove_garbage("nix-store", "--delete", *lacking)
    program, calls = tmp_path / "nix-store", tmp_path / "calls"
    program.write_text(f'#!/bin/sh\necho "$1" >> {calls}\nexec {shutil.which("nix-store")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert closures.missing_paths([add("tool"), *lacking, *lacking]) == lacking * 2
    assert calls.read_text() == "--check-validity\n"
    assert closures.missing_paths([]) == [] and calls.read_text() == "--check-validity\n"
