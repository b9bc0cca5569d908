# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths, tags and names reach a hypervisor as they were declared, by its own parser, or are refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.registry import command
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.shell import readable
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from hypothesis import given, settings
from hypothesis import strategies as st

from . import parsers
from .readers import qemu_options

Read = dict[str, list[str]]
"""Values by what they are: ``disks``, ``sources``, ``tags``, ``sockets``, ``taps``, ``control``."""

PIECES = (
    *("root", "ro", "path", "file", "id", "id_", "readonly", "true", "false", "0", "0x1f", "1", "-1", "x.img"),
    *("=", ",", ":", ";", "'", '"', "[", "]", "\\", " ", "\u00a0", ".", "-", "_", "#", "%", "$", "@", "ä"),
    *("scsi:", "unix:", "json:", "fd=", "tag=", "socket=", "vu,", "/"),
)
"""What means something to a parser, and keys and words that it knows."""

nasty = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)

DISK = ("path", "ro", "root", "sparse", "direct", "lock", "block-size", "id", "packed-queue", "bootindex", "dontcache")
NET = ("tap-name", "tap-fd", "mac", "vq-pairs", "vhost-net", "packed-queue", "pci-address", "mrg-rxbuf")
USER = ("type", "socket", "max-queue-size", "pci-address")
"""Keys of crosvm's --block, --net and --vhost-user, in their order."""


def values(argv: list[str], option: str) -> list[str]:
    return [value for word, value in pairwise(argv) if word == option]


def read_by_qemu(argv: list[str]) -> Read:
    disks = [dict(qemu_options(value))["file"] for value in values(argv, "-drive")]
    directories = [dict(qemu_options(value))["path"] for value in values(argv, "-fsdev")]
    taps = [dict(qemu_options(value)).get("ifname") for value in values(argv, "-netdev")]
    for disk in disks:
        if ":" in disk.split("/")[0]:
            raise ValueError(f"{disk!r} has a protocol (block.c, path_has_protocol)")
    control = [parsers.qemu_socket(value) for value in values(argv, "-qmp")]
    return {"disks": disks, "sources": directories, "taps": [tap for tap in taps if tap], "control": control}


def read_by_cloud_hypervisor(argv: list[str]) -> Read:
    disks = _behind(argv, "--disk")
    return {
        "disks": [disk["path"] for disk in disks],
        "sockets": [share["socket"] for share in _behind(argv, "--fs")],
        "tags": [share["tag"] for share in _behind(argv, "--fs")],
        "taps": [interface["tap"] for interface in _behind(argv, "--net")],
        "control": values(argv, "--api-socket"),
    }


def _behind(argv: list[str], option: str) -> list[parsers.Pairs]:
    """Return the keys of all values behind an option."""
    if option not in argv:
        return []
    rest = argv[argv.index(option) + 1 :]
    ends = [index for index, word in enumerate(rest) if word.startswith("--")]
    return [parsers.cloud_hypervisor(word) for word in rest[: ends[0] if ends else len(rest)]]


def read_by_crosvm(argv: list[str]) -> Read:
    for word in argv:
        if word.startswith("-") and "=" in word:
            raise ValueError(f"{word!r} is split (src/main.rs, prepare_argh_args)")
    directories = [parsers.crosvm_shared_directory(value) for value in values(argv, "--shared-dir")]
    nets = [parsers.crosvm(value, NET, untyped=("tap-name", "tap-fd", "mac")) for value in values(argv, "--net")]
    return {
        "disks": [parsers.crosvm(value, DISK)["path"] for value in values(argv, "--block")],
        "sockets": [parsers.crosvm(value, USER)["socket"] for value in values(argv, "--vhost-user")],
        "sources": [directory["source"] for directory in directories],
        "tags": [directory["tag"] for directory in directories],
        "taps": [net["tap-name"] for net in nets],
        "control": values(argv, "-s"),
    }


def read_by_kvmtool(argv: list[str]) -> Read:
    directories = [parsers.kvmtool_directory(value) for value in values(argv, "--9p")]
    return {
        "disks": [parsers.kvmtool_disk(value)[0] for value in values(argv, "-d")],
        "sources": [source for source, _tag in directories],
        "tags": [tag for _source, tag in directories],
    }


def read_by_stratovirt(argv: list[str]) -> Read:
    devices = [parsers.stratovirt(value, has_type=True) for value in values(argv, "-device")]
    uris = [parsers.stratovirt(value, has_type=True)["classtype"] for value in values(argv, "-qmp")]
    nets = [parsers.stratovirt(value, has_type=True) for value in values(argv, "-netdev")]
    return {
        "disks": [parsers.stratovirt(value, has_type=False)["file"] for value in values(argv, "-drive")],
        "sockets": [parsers.stratovirt(value, has_type=True)["path"] for value in values(argv, "-chardev")],
        "tags": [device["tag"] for device in devices if "tag" in device],
        "serials": [device["serial"] for device in devices if "serial" in device],
        "taps": [net["ifname"] for net in nets],
        "control": [parsers.stratovirt_socket(uri) for uri in uris],
    }


def read_by_alioth(argv: list[str]) -> Read:
    disks, shares, nets = (
        [parsers.alioth(value) for value in values(argv, option)] for option in ("--blk", "--fs", "--net")
    )
    return {
        "disks": [keys["path"] for _file, keys in disks],
        "sockets": [keys["socket"] for _vu, keys in shares],
        "tags": [keys["tag"] for _vu, keys in shares],
        "taps": [keys["if"] for _tap, keys in nets],
    }


READERS: dict[str, Callable[[list[str]], Read]] = {
    "qemu": read_by_qemu,
    "cloud-hypervisor": read_by_cloud_hypervisor,
    "crosvm": read_by_crosvm,
    "kvmtool": read_by_kvmtool,
    "stratovirt": read_by_stratovirt,
    "alioth": read_by_alioth,
}
NINE = ("qemu", "crosvm", "kvmtool")
"""Hypervisors with 9p."""


def read_back(hypervisor: str, **options: Any) -> Read | None:
    """Return what the hypervisor reads of a declaration; nothing where it is refused."""
    declared = {"name": "vm", "kernel": "/k", "initrd_path": "/i", "hypervisor": hypervisor, **options}
    try:
        argv = [readable(word) for word in command(parse_vm(declared), HostFacts()).argv]
    except DeclarationError:
        return None
    return READERS[hypervisor](argv)


def assert_read(read: Read | None, kind: str, text: str) -> None:
    """Compare a value with what was declared; of a path, ``./`` may come first."""
    if read is not None and kind in read:
        declared = (text.rstrip("/") or "/") if kind == "sources" else text
        assert read[kind] in ([declared], [f"./{declared}"] if kind in ("disks", "sockets") else [declared])


@pytest.mark.parametrize("hypervisor", READERS)
@settings(max_examples=80)
@given(text=nasty)
def test_images_are_read_as_they_were_declared(hypervisor: str, text: str) -> None:
    assert_read(read_back(hypervisor, volumes=[{"image": text, "size": 1}]), "disks", text)


@pytest.mark.parametrize("hypervisor", READERS)
@settings(max_examples=40)
@given(text=nasty)
def test_sockets_are_read_as_they_were_declared(hypervisor: str, text: str) -> None:
    share = {"tag": "t", "source": "/s", "proto": "virtiofs", "socket": text}
    assert_read(read_back(hypervisor, shares=[share]), "sockets", text)
    assert_read(read_back(hypervisor, socket=text), "control", text)


@pytest.mark.parametrize("hypervisor", READERS)
@settings(max_examples=40)
@given(text=nasty)
def test_shares_are_read_as_they_were_declared(hypervisor: str, text: str) -> None:
    proto = "9p" if hypervisor in NINE else "virtiofs"
    assert_read(read_back(hypervisor, shares=[{"tag": text, "source": "/s", "proto": proto}]), "tags", text)
    assert_read(read_back(hypervisor, shares=[{"tag": "t", "source": text, "proto": proto}]), "sources", text)


@pytest.mark.parametrize("hypervisor", READERS)
@settings(max_examples=30)
@given(text=nasty)
def test_names_of_taps_and_disks_are_read_as_they_were_declared(hypervisor: str, text: str) -> None:
    assert_read(read_back(hypervisor, interfaces=[{"type": "tap", "id": text}]), "taps", text)
    assert_read(read_back(hypervisor, volumes=[{"image": "v", "size": 1, "serial": text}]), "serials", text)


EXACT = [
    *(("crosvm", name) for name in ("root.img", "ro", "path=x", 'a"b', "a,b", "it's", "[x]", "a\\b", "x ")),
    *(("alioth", name) for name in ("id_x.img", "file", "a:b", "x y")),
    *(("kvmtool", name) for name in ("scsi:x", "ro", "a=b")),
    *(("cloud-hypervisor", name) for name in ("a,b", "a=b", "x ", "path")),
    *(("stratovirt", name) for name in ("file", "a:b")),
    *(("qemu", name) for name in ("json:{}", "a,b", "file=x")),
]
"""Images that are not refused either."""


@pytest.mark.parametrize(("hypervisor", "image"), EXACT)
def test_images_with_odd_names_are_accepted(hypervisor: str, image: str) -> None:
    read = read_back(hypervisor, volumes=[{"image": image, "size": 1}])
    assert read is not None
    assert_read(read, "disks", image)


@pytest.mark.parametrize("socket", ["a=b", "path=x", "server", "a,b", "a,=b", "x:y"])
def test_the_control_socket_of_qemu_may_have_any_name(socket: str) -> None:
    read = read_back("qemu", socket=socket)
    assert read is not None and read["control"] == [socket]


@pytest.mark.parametrize("tap", ["0", "1234", "0x1f", "true", "false.1", "t0"])
def test_taps_may_be_called_like_numbers_and_booleans(tap: str) -> None:
    read = read_back("crosvm", interfaces=[{"type": "tap", "id": tap}])
    assert read is not None and read["taps"] == [tap]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("root.img,ro=false", "expected '='"), ("path=a b,ro", ""), ("a'b", "expected ','"), ("ro", "")],
)
def test_crosvm_takes_a_value_that_begins_like_a_key_for_that_key(text: str, problem: str) -> None:
    if problem:
        with pytest.raises(ValueError, match=problem):
            parsers.crosvm(text, DISK)
    else:
        assert "ro" in parsers.crosvm(text, DISK)
