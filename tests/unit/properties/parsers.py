# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parsers of hypervisors' options, as their sources have them, with the ways in which they misunderstand a value.

Each takes the value of one option and returns its keys. ``ValueError`` stands for the program's own refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .readers import qemu_options

Pairs = dict[str, str]


def _once(pairs: Iterator[tuple[str, str]]) -> Pairs:
    read: Pairs = {}
    for key, value in pairs:
        if key in read:
            raise ValueError(f"{key!r} more than once")
        read[key] = value
    return read


def _check(text: str, is_right: object, expected: str) -> None:
    if not is_right:
        raise ValueError(f"expected {expected} in {text!r}")


_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_SINGLE = re.compile(r"'([^']*)'")
_UNQUOTED = re.compile(r"[^,\"'\[\]]+")
_NUMBER = re.compile(r"-?((0x[0-9A-Fa-f]+|0o[0-7]+|0b[01]+)|[0-9]+)(?=,|\]|$)")


def qemu_socket(text: str) -> str:
    """Return the path of QEMU's ``-qmp unix:…`` (qemu_chr_parse_compat in chardev/char.c, util/qemu-option.c)."""
    _check(text, text.startswith("unix:"), "unix:")
    pairs = qemu_options(text[len("unix:") :])
    key, value = pairs[0]
    read = _once(iter([("path", key), *pairs[1:]] if "=" not in text.split(",")[0] else pairs))
    _check(text, set(read) == {"path", "server", "wait"}, f"path, not {key!r} and {value!r}")
    return read["path"]


def crosvm(text: str, fields: tuple[str, ...], untyped: tuple[str, ...] = ()) -> Pairs:
    """Return the keys of an option of crosvm (serde_keyvalue/src/key_values.rs).

    The first key may be missing, unless the value begins as one of the ``fields`` does. Values of ``untyped`` keys are
    read as a number or a boolean where they look like one.
    """
    return _once(_crosvm(text, fields, untyped))


def _crosvm(text: str, fields: tuple[str, ...], untyped: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    begin = _IDENTIFIER.match(text)
    has_key = begin is not None and (text[begin.end() :][:1] == "=" or begin.group() in fields)
    rest, is_first = text, not has_key
    while rest:
        key, is_flag = fields[0], False
        if not is_first:
            name = _IDENTIFIER.match(rest)
            if name is None or name.group() not in fields:
                raise ValueError(f"no key at {rest!r}")
            key, rest = name.group(), rest[name.end() :]
            is_flag = rest[:1] in (",", "")
            _check(text, is_flag or rest[0] == "=", "'='")
            rest = rest if is_flag else rest[1:]
        is_first = False
        value, rest = ("true", rest) if is_flag else _crosvm_value(rest, key in untyped)
        yield key, value
        _check(text, rest[:1] in (",", ""), "','")
        rest = rest[1:]


def _crosvm_value(rest: str, is_untyped: bool) -> tuple[str, str]:
    if is_untyped and (_NUMBER.match(rest) or rest.startswith(("true", "false"))):
        raise ValueError(f"{rest!r} is no string")
    for form in (_DOUBLE, _SINGLE):
        match = form.match(rest)
        if match:
            unescaped = re.sub(r"\\(.)", r"\1", match.group(1)) if form is _DOUBLE else match.group(1)
            return unescaped, rest[match.end() :]
    match = _UNQUOTED.match(rest)
    if match is None:
        raise ValueError(f"no string at {rest!r}")
    return match.group(), rest[match.end() :]


def crosvm_shared_directory(text: str) -> Pairs:
    """Return the keys of crosvm's ``--shared-dir`` (SharedDir in src/crosvm/sys/linux/config.rs)."""
    source, tag, *options = text.split(":")
    _check(text, all("=" in option for option in options), "kind=value")
    return {"source": source, "tag": tag, **_once(tuple(option.split("=", 1)) for option in options)}  # type: ignore[misc]


def cloud_hypervisor(text: str) -> Pairs:
    """Return the keys of an option of Cloud Hypervisor (option_parser/src/lib.rs)."""
    parts, depth, quoted = [""], 0, False
    for character in text.strip():
        quoted ^= character == '"'
        if not quoted:
            depth += (character == "[") - (character == "]")
            _check(text, depth >= 0, "'['")
        if character == "," and not quoted and not depth:
            parts.append("")
        else:
            parts[-1] += character
    _check(text, not quoted and not depth, "an end of what is open")
    _check(text, all("=" in part for part in parts), "'='")
    pairs = (part.partition("=") for part in parts)
    return _once((key, value.strip().replace('"', "")) for key, _equals, value in pairs)


def stratovirt(text: str, has_type: bool) -> Pairs:
    """Return the keys of an option of StratoVirt (str_slip_to_clap in machine_manager/src/config/mod.rs)."""
    words = []
    for part in (f"classtype={text}" if has_type else text).split(","):
        words += [f"--{word}" if index % 2 == 0 else word for index, word in enumerate(part.split("="))]
    return _once(_clap(words))


def _clap(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield options and their values, as clap reads them where no value may begin with a dash."""
    index = 0
    while index < len(words):
        key = words[index]
        _check(key, re.fullmatch(r"--[a-z-]+", key), "an option")
        has_value = index + 1 < len(words) and not words[index + 1].startswith("-")
        yield key[2:], words[index + 1] if has_value else ""
        index += 2 if has_value else 1


def stratovirt_socket(text: str) -> str:
    """Return the path in a URI of StratoVirt (parse_unix_uri in util/src/unix.rs)."""
    kind, *paths = text.split(":")
    _check(text, kind == "unix" and len(paths) == 1, "unix:PATH")
    return paths[0]


def kvmtool_disk(text: str) -> tuple[str, list[str]]:
    """Return the file and the flags of kvmtool's ``--disk`` (disk/core.c)."""
    _check(text, not text.startswith("scsi:"), "a file")
    path, *flags = text.split(",")
    return path, flags


def kvmtool_directory(text: str) -> tuple[str, str]:
    """Return the directory and the tag of kvmtool's ``--9p`` (virtio/9p.c)."""
    source, comma, tag = text.partition(",")
    _check(text, comma, "','")
    return source, tag


def alioth(text: str) -> tuple[str, Pairs]:
    """Return the variant and the keys of an option of alioth (serde-aco/src/de.rs), which has no objects."""
    variant, _comma, rest = text.partition(",")
    return variant, _once(_alioth(text, rest))


def _alioth(text: str, rest: str) -> Iterator[tuple[str, str]]:
    while rest:
        key, equals, rest = rest.partition("=")
        _check(text, equals and "," not in key, "key=value")
        value, _comma, rest = rest.partition(",")
        _check(text, not value.startswith("id_"), "an object")
        yield key, value
