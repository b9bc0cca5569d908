# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties of quoting: the program that reads a value has it back, character by character, and nothing besides."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.accounts import _sysusers_line
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.unit_files import parse_service
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.rules import rules
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.shell import call
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema import checks, quoting
from hypothesis import given, settings
from hypothesis import strategies as st

from .readers import (
    Mount,
    complaints_of_systemd,
    homes_of,
    mounts_of,
    mounts_of_findmnt,
    settings_of,
    variables_of,
    without_specifiers,
    words_of,
)

ODD = "ab \\\\\"'%%i$`#;=:,[]{}*?~!-\u00a0\u3000é😀"
"""Characters that mean something to a reader, some more than once, since runs of them are what goes wrong."""
texts = st.text(
    st.one_of(st.sampled_from(ODD), st.characters(min_codepoint=1, max_codepoint=0xD7FF)), min_size=1, max_size=12
)
paths = texts.map(lambda text: f"/srv/{text}").filter(lambda path: checks.absolute_path(path) is None)
files = paths.filter(lambda path: checks.file_path(path) is None)


plain_values = st.from_regex(r"[A-Za-z0-9_.:/@+,-]{0,9}|[0-9]{1,5}%", fullmatch=True)


def lacks(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None


@settings(max_examples=500)
@given(st.lists(paths, min_size=1, max_size=4))
def test_words_of_a_unit_are_read_back(values: list[str]) -> None:
    line = quoting.setting("ReadWritePaths", *map(quoting.unit_word, values))
    text = quoting.section("Service", [line, quoting.setting("User", quoting.plain("x"))])
    first, second = settings_of(text)
    assert [without_specifiers(word) for word in words_of(first.value)] == values
    assert second == ("[Service]", "User", "x")


@settings(max_examples=500)
@given(files)
def test_the_file_of_a_credential_is_read_back_or_refused(path: str) -> None:
    if checks.credential_files(("token", path)) is not None:
        assert set(path) & {"\\", " "}
        return
    line = quoting.setting("LoadCredential", quoting.unit_credential("token", path))
    first, second = settings_of(quoting.section("Service", [line, quoting.setting("User", quoting.plain("x"))]))
    name, _colon, value = first.value.partition(":")
    assert (name, without_specifiers(value)) == ("token", path)
    assert second == ("[Service]", "User", "x")
    # The foreground has the settings of the unit.
    read = list(parse_service(quoting.section("Service", [line]), "vm"))
    assert read == [("LoadCredential", f"token:{path}")]


def hostile_paths(count: int) -> list[str]:
    """Return paths of odd characters, the same in each run."""
    chance = random.Random(12)
    return ["/srv/" + "".join(chance.choices(ODD, k=chance.randint(1, 12))).strip("/") for _number in range(count)]


@pytest.mark.skipif(lacks("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_ignores_no_line() -> None:
    accepted = [path for path in hostile_paths(400) if checks.file_path(path) is None]
    lines = [quoting.setting("ReadWritePaths", quoting.unit_word(path)) for path in accepted]
    lines += [quoting.setting("ReadOnlyPaths", *map(quoting.unit_word, accepted[:100]))]
    credentials = [path for path in accepted if checks.credential_files(("token", path)) is None]
    assert len(credentials) > 50
    lines += [
        quoting.setting("LoadCredential", quoting.unit_credential(f"c{index}", path))
        for index, path in enumerate(credentials)
    ]
    assert complaints_of_systemd({"vm": "".join(lines)}) == []


@pytest.mark.skipif(lacks("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    "line", ["LoadCredential=a:b:/x", "LoadCredential=a:/x/../y", "ReadWritePaths=/x/../y", f"MemoryMax={10**20}M"]
)
def test_systemd_ignores_what_is_refused_here(line: str) -> None:
    assert "ignoring" in complaints_of_systemd({"vm": f"{line}\n"})[0]


@settings(max_examples=60)
@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z_]{0,8}x", fullmatch=True), plain_values, min_size=1, max_size=5))
def test_environment_files_are_read_back_with_and_without_a_shell(values: dict[str, str]) -> None:
    lines = [quoting.setting(name, quoting.environment_value(value)) for name, value in values.items()]
    assert variables_of("".join(lines)) == values
    # As microvm-start does.
    assert dict(line.split("=", 1) for line in "".join(lines).split("\n")[:-1]) == values


mounts = st.tuples(
    texts.filter(lambda tag: checks.tag(tag) is None), paths.filter(lambda path: checks.mount_point(path) is None)
)


@settings(max_examples=150)
@given(st.lists(mounts, min_size=1, max_size=4))
def test_fstab_is_read_back(pairs: list[tuple[str, str]]) -> None:
    lines = [quoting.fields(*map(quoting.fstab_field, (*pair, "9p", "ro")), quoting.plain(0)) for pair in pairs]
    assert mounts_of(quoting.one_per_line(lines)) == [Mount(*pair, "9p", "ro") for pair in pairs]


@pytest.mark.skipif(lacks("findmnt"), reason="findmnt is not installed")
def test_util_linux_reads_fstab_back() -> None:
    expected = [
        Mount(f"tag{index}", path, "9p", "ro")
        for index, path in enumerate(dict.fromkeys(hostile_paths(300)))
        if checks.mount_point(path) is None
    ]
    lines = [quoting.fields(*map(quoting.fstab_field, mount), quoting.plain(0)) for mount in expected]
    assert mounts_of_findmnt(quoting.one_per_line(lines)) == expected
    assert len(expected) > 200


@settings(max_examples=60)
@given(texts, st.lists(texts, max_size=4))
def test_bash_and_python_read_shell_words_back(first: str, more: list[str]) -> None:
    words = [text.replace("\0", "") for text in (first, *more)]
    line = call("printf", "%s\\0", *words)
    assert shlex.split(line) == ["printf", "%s\\0", *words]
    printed = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert printed.decode(errors="surrogateescape").split("\0")[:-1] == words


@pytest.mark.skipif(lacks("systemd-sysusers"), reason="systemd-sysusers is not installed")
def test_systemd_sysusers_reads_homes_back() -> None:
    homes = {
        f"u{index}": f"/srv/{name}" for index, name in enumerate(["a b", "a'b", 'a"b', "a\\b", "100%i", "é", "$x"])
    }
    assert homes_of(_sysusers_line(user, home) for user, home in homes.items()) == homes


@pytest.mark.skipif(lacks("nft") or os.geteuid() != 0, reason="nft is not installed, or the user is not root")
def test_nftables_takes_the_names_of_all_bridges() -> None:
    names = ["br0", "br.-_1", "_x", "0", "a" * 15, "drop", "accept", "ip", "x-", "br.", "12"]
    networks = parse_networks(
        [{"name": name, "address": f"10.7.{index}.1/24", "nat": index % 2 == 0} for index, name in enumerate(names)]
    )
    subprocess.run(["nft", "-c", "-f", "-"], input=rules(networks), text=True, check=True)
