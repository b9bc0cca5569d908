# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Script of guests with Nix: what it mounts and registers. Programs that need a guest only say what they are told."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.guest_tree import NIX_SCRIPTS

from ...real_nix import remove_garbage

TOOL, LIBRARY = "/nix/store/0-tool", "/nix/store/1-library"
REGISTRATION = f"""\
{LIBRARY}
sha256:00
120

0
{TOOL}
sha256:11
240
/nix/store/2-tool.drv
2
{LIBRARY}
{TOOL}
"""
FAKE = '#!/bin/sh\necho "{0} $*" >> "$CALLS"\n'
STAT = '#!/bin/sh\necho "${FILE_SYSTEM:-ext2/ext3}"\n'
NIX = FAKE.format("nix-store") + '[ "$1" != --load-db ] || cat >> "$CALLS"\n[ "$1" != --verify ] || exit 1\n'

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guests have Linux")


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    programs = {**{name: FAKE.format(name) for name in ("mount", "chown")}, "stat": STAT, "nix-store": NIX}
    for name, content in programs.items():
        (fakes / name).write_text(content)
        (fakes / name).chmod(0o755)
    (tmp_path / "root/lower").mkdir(parents=True)
    return tmp_path / "root"


def give(root: Path, name: str, content: str, source: str = "@system") -> None:
    directory = root / "run/credentials" / source
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(content)


def run(root: Path, **environment: str) -> list[str]:
    """Run the script. Returns the calls of programs, with the root as ROOT."""
    script, calls = root.parent / "script", root.parent / "calls"
    script.write_text(NIX_SCRIPTS["mount-nix-store"])
    path = f"{root.parent / 'fakes'}:{os.environ['PATH']}"
    environment = {"PATH": path, "CALLS": str(calls), **environment}
    with (root.parent / "errors").open("w") as errors:
        subprocess.run(["sh", script, root], env=environment, stderr=errors, check=True, timeout=60)
    return calls.read_text().replace(str(root), "ROOT").splitlines() if calls.exists() else []


def nix(environment: dict[str, str], *words: str) -> str:
    (Path(environment["NIX_STORE_DIR"]).parent / "tool").write_text("tool")
    path = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return remove_garbage(*words, environment={**path, **environment}).strip()


def test_a_guest_without_a_store_of_its_host_keeps_its_own(root: Path) -> None:
    assert run(root) == []


@pytest.mark.parametrize("source", ["@system", "@initrd"])
def test_without_a_writable_layer_the_store_is_read_only(root: Path, source: str) -> None:
    give(root, "microvm.nix_store", "lower /lower\n", source)
    own = root / "run/microvm-nix-store"
    assert run(root) == [
        "chown root:nixbld ROOT/run/microvm-nix-store",
        "mount -t overlay -o ro,lowerdir=ROOT/run/microvm-nix-store:ROOT/lower overlay ROOT/nix/store",
    ]
    assert stat.S_IMODE(own.stat().st_mode) == 0o1775 and (own / ".links").is_dir()


def test_the_database_is_kept_with_the_writable_layer(root: Path) -> None:
    give(root, "microvm.nix_store", "lower /lower\nwritable /rw\n")
    mounts = [
        "chown root:nixbld ROOT/rw/store",
        "mount -t overlay -o lowerdir=ROOT/lower,upperdir=ROOT/rw/store,workdir=ROOT/rw/work overlay ROOT/nix/store",
        "mount --bind ROOT/rw/var ROOT/nix/var/nix",
    ]
    assert run(root) == mounts
    (root / "rw/var/db").mkdir(parents=True)
    (root / "rw/var/db/db.sqlite").touch()
    # What Nix finds wrong is said, and the guest starts.
    assert run(root)[3:] == [*mounts, "nix-store --verify"]


def test_a_layer_on_the_root_is_in_memory(root: Path) -> None:
    give(root, "microvm.nix_store", "lower /lower\nwritable /rw\n")
    assert run(root, FILE_SYSTEM="overlayfs")[0] == "mount -t tmpfs -o mode=0755 tmpfs ROOT/rw"


def test_what_the_host_has_registered_is_loaded_and_takes_precedence(root: Path) -> None:
    give(root, "microvm.nix_store", "lower /lower\nwritable /rw\n")
    give(root, "microvm.nix_registration", "/nix/store/9-microvm-registration\n")
    (root / "lower/9-microvm-registration").write_text(REGISTRATION)
    for name in ("0-tool", "3-own"):
        (root / "rw/store" / name).mkdir(parents=True)
    assert run(root)[3:] == ["nix-store --load-db", *REGISTRATION.splitlines()]
    assert os.listdir(root / "rw/store") == ["3-own"]


def test_a_closure_without_references_is_no_error(root: Path) -> None:
    give(root, "microvm.nix_store", "lower /lower\nwritable /rw\n")
    give(root, "microvm.nix_registration", "/nix/store/9-microvm-registration\n")
    (root / "lower/9-microvm-registration").write_text(f"{LIBRARY}\nsha256:00\n120\n\n0\n")
    run(root)
    assert (root.parent / "errors").read_text() == ""
    assert os.listdir(root / "nix/var/nix/gcroots/microvm-registration") == [os.path.basename(LIBRARY)]


@pytest.mark.skipif(shutil.which("nix-store") is None, reason="Nix is not installed")
def test_the_collector_of_the_guest_leaves_what_is_registered(root: Path) -> None:
    (root.parent / "fakes/nix-store").unlink()
    state, store = root / "nix/var/nix", root.parent / "store"
    settings = {f"NIX_{name}_DIR": str(root.parent / name) for name in ("LOG", "CONF")}
    settings = {**settings, "NIX_STORE_DIR": str(store), "NIX_CONFIG": "build-users-group =\nsubstitute = false"}
    tool = nix(
        {**settings, "NIX_STATE_DIR": str(root.parent / "host")}, "nix-store", "--add", str(root.parent / "tool")
    )
    registration = nix({**settings, "NIX_STATE_DIR": str(root.parent / "host")}, "nix-store", "--dump-db", tool)
    give(root, "microvm.nix_store", "lower /lower\n")
    give(root, "microvm.nix_registration", "/nix/store/9-microvm-registration\n")
    (root / "lower/9-microvm-registration").write_text(f"{registration}\n")
    guest = {**settings, "NIX_STATE_DIR": str(state)}
    run(root, **guest)
    nix(guest, "nix-store", "--gc")
    assert os.path.exists(tool)
    # What was registered at an earlier boot only is garbage.
    (root / "run/credentials/@system/microvm.nix_registration").write_text("")
    run(root, **guest)
    nix(guest, "nix-store", "--gc")
    assert not os.path.exists(tool)


def test_a_registration_that_the_share_does_not_have_is_an_error(root: Path) -> None:
    give(root, "microvm.nix_store", "lower /lower\n")
    give(root, "microvm.nix_registration", "/nix/store/9-microvm-registration\n")
    with pytest.raises(subprocess.CalledProcessError):
        run(root)


def test_without_a_registration_only_the_mounts_are_made(root: Path) -> None:
    give(root, "microvm.nix_store", "lower /lower\n")
    give(root, "microvm.nix_registration", "")
    assert not any(call.startswith("nix-store") for call in run(root))
