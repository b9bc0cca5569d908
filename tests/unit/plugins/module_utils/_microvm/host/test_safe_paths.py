# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""No link is followed that others than root could have placed, at whatever moment it is placed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.safe_paths import (
    changeable_place,
    opened_directory,
    opened_parent,
    place_open_to_all,
    refuse_changeable,
)


@pytest.fixture(name="shared")
def _shared(tmp_path: Path) -> Path:
    """Directory that others may write to, beside one with secrets."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/file").write_text("secret")
    directory = tmp_path / "shared"
    (directory / "a/b").mkdir(parents=True)
    directory.chmod(0o777)
    (directory / "a").chmod(0o777)
    return directory


@pytest.mark.parametrize("path", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("target", ["../secrets", "../../secrets", "/etc", "."])
def test_a_link_on_the_way_is_refused(shared: Path, path: str, target: str) -> None:
    place = shared / path
    if place.exists():
        place.rename(place.with_name("aside"))
    place.symlink_to(target)
    with pytest.raises(HostError, match="leads through the link"), opened_parent(str(place / "file")):
        pass
    with pytest.raises(HostError, match="leads through the link"), opened_directory(str(place)):
        pass


def test_the_last_component_is_not_followed(shared: Path) -> None:
    (shared / "image").symlink_to("../secrets/file")
    with opened_parent(str(shared / "image")) as (directory, name):
        assert os.readlink(name, dir_fd=directory) == "../secrets/file"


def test_links_that_seem_to_be_root_s_are_not_followed(shared: Path) -> None:
    # Root of a guest is root in the directories that the guest shares.
    (shared / "a").chmod(0o755)
    (shared / "a/b").rmdir()
    (shared / "a/b").symlink_to("/etc")
    with pytest.raises(HostError, match="leads through the link 'b'"), opened_directory(str(shared / "a/b/ssl")):
        pass


@pytest.mark.skipif(not os.path.islink("/bin"), reason="this machine has no link in its root directory")
def test_links_of_the_root_directory_are_followed() -> None:
    with opened_directory("/bin") as directory:
        assert os.fstat(directory).st_ino == os.stat("/usr/bin").st_ino


def test_a_path_of_root_s_alone_has_no_changeable_place(shared: Path) -> None:
    secrets = shared.parent / "secrets"
    secrets.chmod(0o755)
    (secrets / "file").chmod(0o644)
    (secrets / "link").symlink_to("../secrets/file")
    for name in ("file", "link", "missing/below"):
        assert changeable_place(str(secrets / name)) is None
    (secrets / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        changeable_place(str(secrets / "loop"))


@pytest.mark.parametrize("path", ["shared", "shared/a", "shared/a/b/missing", "shared/missing", "secrets/link"])
def test_a_place_that_others_may_write_to_is_named(shared: Path, path: str) -> None:
    (shared.parent / "secrets").chmod(0o755)
    (shared.parent / "secrets/link").symlink_to(shared / "a")
    assert changeable_place(str(shared.parent / path)) == str(shared)


def test_the_sticky_bit_keeps_what_is_root_s_but_lets_others_make_what_is_missing(shared: Path) -> None:
    shared.chmod(0o1777)
    (shared / "a").chmod(0o755)
    (shared / "a/b").chmod(0o755)
    assert changeable_place(str(shared / "a/b")) is None
    assert changeable_place(str(shared / "missing")) == changeable_place(str(shared)) == str(shared)


def test_what_is_in_a_directory_is_refused_for_what_others_can_change(shared: Path) -> None:
    secrets = shared.parent / "secrets"
    (secrets / "deep/er").mkdir(parents=True)
    (secrets / "deep/er/file").write_text("")
    for link, target in (("gone", "missing"), ("up", ".."), ("inside", "er/file")):
        (secrets / "deep" / link).symlink_to(target)
    refuse_changeable(str(secrets), "root reads it", "or nothing")
    (secrets / "deep/out").symlink_to(shared / "a")
    with pytest.raises(HostError, match=f"^{shared} can be changed by others than root.* root reads it; .* or nothing"):
        refuse_changeable(str(secrets), "root reads it", "or nothing")
    refuse_changeable(str(secrets), "root reads it", "or nothing", is_walked=False)
    (secrets / "deep/out").unlink()
    os.chown(secrets / "deep/er/file", 65534, 65534)
    with pytest.raises(HostError, match="secrets/deep/er/file can be changed"):
        refuse_changeable(str(secrets), "root reads it", "or nothing")


def test_only_what_everybody_can_change_is_open_to_all(shared: Path) -> None:
    (shared / "a").chmod(0o775)
    os.chown(shared / "a", 65534, 65534)
    assert place_open_to_all(str(shared / "a/b")) == str(shared)
    shared.chmod(0o1777)
    assert place_open_to_all(str(shared / "a/b")) is None and place_open_to_all(str(shared)) == str(shared)


@pytest.fixture(name="attacker")
def _attacker(shared: Path) -> Iterator[Path]:
    """Replace a directory by a link to the secrets and back, without pause."""
    victim, aside, link = shared / "a/b", shared / "a/aside", shared / "a/link"
    link.symlink_to("../../secrets")
    (victim / "file").write_text("own")
    ends = threading.Event()

    def flip() -> None:
        while not ends.is_set():
            os.rename(victim, aside)
            os.rename(link, victim)
            os.rename(victim, link)
            os.rename(aside, victim)

    thread = threading.Thread(target=flip)
    thread.start()
    yield victim
    ends.set()
    thread.join()


def test_a_link_that_comes_at_any_moment_is_not_followed(attacker: Path) -> None:
    outcomes = {"own": 0, "refused": 0}
    end = time.monotonic() + 60
    tries = 0
    # On a busy machine, one of both threads may run for long while the other one does not.
    while tries < 2000 or (not all(outcomes.values()) and time.monotonic() < end):
        tries += 1
        try:
            with opened_parent(str(attacker / "file")) as (directory, name):
                content = os.read(os.open(name, os.O_RDONLY, dir_fd=directory), 100).decode()
        except (HostError, OSError):
            content = "refused"
        outcomes[content] = outcomes.get(content, 0) + 1
    assert set(outcomes) == {"own", "refused"}
    assert outcomes["own"] > 0
