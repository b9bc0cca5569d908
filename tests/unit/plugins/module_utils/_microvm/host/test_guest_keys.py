# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys that a host makes for its guests."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms import host_key
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import commands, guest_keys, known_hosts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.guest_tree import SCRIPTS

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "host-keys"
    monkeypatch.setattr(known_hosts, "KNOWN_HOSTS", str(tmp_path / "known_hosts"))
    monkeypatch.setattr(guest_keys, "HOST_KEY_DIRECTORY", str(directory))
    monkeypatch.setattr(host_key, "HOST_KEY_DIRECTORY", str(directory))
    return directory


def recorded(keys: Path) -> list[str]:
    return (keys.parent / "known_hosts").read_text().splitlines()


def public_half_of(private: Path) -> str:
    done = subprocess.run(["ssh-keygen", "-y", "-f", private], check=True, capture_output=True, text=True)
    return " ".join(done.stdout.split()[:2])


def made_by_hand(path: Path, *options: str) -> Path:
    """Return a private key that `ssh-keygen` has made."""
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", path, *options], check=True, timeout=60)
    return path


def test_a_key_is_made_once_and_is_the_only_recorded_one_of_its_type(keys: Path) -> None:
    others = ["web ssh-ed25519 OWN", "web.partial ecdsa-sha2-nistp256 OTHER"]
    (keys.parent / "known_hosts").write_text("\n".join([*others, "web ecdsa-sha2-nistp256 OLD", ""]))
    assert guest_keys.given_names(["web", "web.partial", "old", "new"]) == frozenset()
    guest_keys.give("web")
    private = (keys / "web").read_bytes()
    guest_keys.give("web")
    assert (keys / "web").read_bytes() == private and [path.name for path in keys.iterdir()] == ["web"]
    assert (keys / "web").stat().st_mode & 0o777 == 0o600 and keys.stat().st_mode & 0o777 == 0o700
    assert recorded(keys) == [*others, f"web {public_half_of(keys / 'web')}"]
    assert guest_keys.given_names(["web", "web.partial", "old", "new"]) == {"web"}


def test_the_keys_type_is_none_that_guests_make(keys: Path) -> None:
    # A server shows one key of each type.
    guest_keys.give("web")
    assert recorded(keys)[0].split()[1] == "ecdsa-sha2-nistp256"
    assert "ssh-keygen -q -t ed25519 " in SCRIPTS["provide-host-key"]


def test_a_key_that_is_not_recorded_is_recorded_again(keys: Path) -> None:
    guest_keys.give("web")
    before = recorded(keys)
    known_hosts.forget("web")
    assert guest_keys.given_names(["web", "web.partial", "old", "new"]) == frozenset()
    guest_keys.give("web")
    assert recorded(keys) == before


def test_a_key_that_others_may_read_is_neither_given_nor_replaced(keys: Path) -> None:
    guest_keys.give("web")
    before = (keys / "web").read_bytes()
    (keys / "web").chmod(0o644)
    assert guest_keys.given_names(["web", "web.partial", "old", "new"]) == frozenset()
    with pytest.raises(
        commands.HostError, match=r"web is no SSH key that only root can read.*mode \(0600\), or delete"
    ):
        guest_keys.give("web")
    assert (keys / "web").read_bytes() == before


def test_a_key_is_renamed_and_removed(keys: Path) -> None:
    guest_keys.give("old")
    guest_keys.rename_made_key("old", "new")
    known_hosts.rename_key("old", "new")
    assert guest_keys.given_names(["web", "web.partial", "old", "new"]) == {"new"} and not guest_keys.is_made("old")
    guest_keys.rename_made_key("old", "new")
    guest_keys.delete_made_key("new")
    assert not guest_keys.is_made("new")


def test_a_key_of_another_host_takes_the_place_of_the_own_one(keys: Path) -> None:
    arrived = made_by_hand(keys.parent / "arrived", "-t", "ecdsa")
    for name in ("web", "web.partial"):
        guest_keys.give(name)
    kept = (keys / "web.partial").read_bytes()
    guest_keys.receive_key("web", str(arrived))
    assert (keys / "web").read_bytes() == arrived.read_bytes() and (keys / "web").stat().st_mode & 0o777 == 0o600
    assert f"web {public_half_of(arrived)}" in recorded(keys) and len(recorded(keys)) == 2
    assert (keys / "web.partial").read_bytes() == kept and guest_keys.given_names(
        ["web", "web.partial", "old", "new"]
    ) == {"web", "web.partial"}


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_what_has_arrived_and_is_no_key_is_refused(keys: Path, mode: int) -> None:
    arrived = made_by_hand(keys.parent / "arrived") if mode != 0o600 else keys.parent / "arrived"
    if mode == 0o600:
        arrived.write_text("half")
    arrived.chmod(mode)
    with pytest.raises(commands.HostError, match="run the move again"):
        guest_keys.receive_key("web", str(arrived))
    assert not guest_keys.is_made("web")


def test_a_half_made_key_of_a_killed_run_is_made_anew(keys: Path) -> None:
    keys.mkdir()
    (keys / ".web.partial").write_text("half")
    guest_keys.give("web")
    assert [path.name for path in keys.iterdir()] == ["web"]


def test_keys_of_many_guests_are_made_and_recorded_at_the_same_time(keys: Path) -> None:
    names = [f"vm{number}" for number in range(20)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(guest_keys.give, names))
    assert guest_keys.given_names([*names, "other"]) == set(names)


def test_a_host_without_ssh_keygen_says_what_to_do(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "search_path", lambda: "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(commands.HostError, match=r"microvm\.fleet\.host installs ssh-keygen.*guest\.host_key: false"):
        guest_keys.give("web")


@pytest.mark.parametrize("options", [("-t", "ed25519"), ("-t", "rsa", "-b", "2048"), ("-t", "ecdsa", "-b", "384")])
def test_the_public_half_is_the_one_that_ssh_keygen_reads(tmp_path: Path, options: tuple[str, ...]) -> None:
    private = made_by_hand(tmp_path / "key", *options)
    assert guest_keys.public_half(private.read_text()) == public_half_of(private)


def test_a_key_that_is_encrypted_or_cut_off_has_no_public_half(tmp_path: Path) -> None:
    private = made_by_hand(tmp_path / "key", "-t", "ed25519").read_text()
    lines = private.splitlines()
    assert guest_keys.public_half("\n".join([lines[0], lines[1][:40], lines[-1]])) is None
    assert guest_keys.public_half("\n".join(lines[:-1])) is None
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", tmp_path / "key"], check=True)
    assert guest_keys.public_half((tmp_path / "key").read_text()) is None


@pytest.mark.parametrize(
    "text", ["", "key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"]
)
def test_what_is_no_key_has_no_public_half(text: str) -> None:
    assert guest_keys.public_half(text) is None
