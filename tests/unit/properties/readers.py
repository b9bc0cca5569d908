# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readers of the formats that we write, independent of what writes them: our own by the manuals, and the programs'."""

from __future__ import annotations

import ctypes
import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

BLANKS = " \t\r"


class Setting(NamedTuple):
    """A line of a unit or of a file of systemd-networkd."""

    section: str
    key: str
    value: str


def settings_of(text: str) -> list[Setting]:
    """Return the lines as systemd.syntax(7) describes them: a backslash at the end of one joins the next."""
    result, section, joined = [], "", ""
    for line in text.split("\n"):
        if line.strip(BLANKS)[:1] in ("#", ";"):
            continue
        joined += line
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        stripped, joined = joined.strip(BLANKS), ""
        if stripped.startswith("["):
            section = stripped
        elif stripped:
            key, equals, value = stripped.partition("=")
            assert equals, f"{stripped!r} is no setting"
            result.append(Setting(section, key.strip(BLANKS), value.strip(BLANKS)))
    assert not joined, f"{joined!r} goes on at the end of the file"
    return result


def words_of(value: str) -> list[str]:
    """Return the words of a setting: quotes keep blanks, a backslash keeps any character."""
    words, word, quote, escaped = [], None, "", False
    for character in value:
        if escaped:
            word, escaped = (word or "") + character, False
        elif character == "\\":
            word, escaped = word or "", True
        elif quote:
            word, quote = (word or "") + (character if character != quote else ""), quote if character != quote else ""
        elif character in "\"'":
            word, quote = word or "", character
        elif character in BLANKS:
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + character
    assert not quote and not escaped, f"{value!r} is not complete"
    return words + ([] if word is None else [word])


def without_specifiers(text: str) -> str:
    """Return a word without doubled percent signs; a single one would be a specifier (systemd.unit(5))."""
    parts = text.split("%%")
    assert not [part for part in parts if "%" in part], f"{text!r} has a specifier"
    return "%".join(parts)


def complaints_of_systemd(units: Mapping[str, str]) -> list[str]:
    """Return what systemd's own parser says of the sections [Service] of units; nothing where it ignores no line."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in units.items():
            Path(directory, f"{name}.service").write_text(f"[Service]\nExecStart=/bin/true\n{text}", encoding="utf-8")
        command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"]
        command += [f"{directory}/{name}.service" for name in units]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return [line for line in (done.stdout + done.stderr).split("\n") if line]


def variables_of(text: str) -> dict[str, str]:
    """Return the variables of an environment file, as bash reads it."""
    script = 'set -eu; before=$(compgen -v); . "$1"; for name in $(compgen -v); do '
    script += 'case " ${before//$\'\\n\'/ } before name " in *" $name "*) ;; *) printf "%s=%s\\0" "$name" "${!name}";; '
    script += "esac; done"
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(["bash", "-c", script, "-", file.name], capture_output=True, text=True, check=True)
    pairs = [variable.partition("=") for variable in done.stdout.split("\0")[:-1]]
    return {name: value for name, _equals, value in pairs if name not in ("_", "BASH_LINENO", "PIPESTATUS")}


class Mount(NamedTuple):
    """A line of fstab(5)."""

    device: str
    mount_point: str
    kind: str
    options: str


class _Entry(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("device", "mount_point", "kind", "options")]


def mounts_of(text: str) -> list[Mount]:
    """Return the lines of fstab(5) as the C library reads them, which systemd uses (getmntent(3))."""
    library = ctypes.CDLL(None)
    library.setmntent.restype = ctypes.c_void_p
    library.getmntent.restype = ctypes.POINTER(_Entry)
    library.getmntent.argtypes = library.endmntent.argtypes = [ctypes.c_void_p]
    result = []
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        stream = library.setmntent(file.name.encode(), b"r")
        while entry := library.getmntent(stream):
            fields = entry.contents
            values = (fields.device, fields.mount_point, fields.kind, fields.options)
            result.append(Mount(*(value.decode() for value in values)))
        library.endmntent(stream)
    return result


def mounts_of_findmnt(text: str) -> list[Mount]:
    """Return the lines of fstab(5) as util-linux reads them."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        command = ["findmnt", "--tab-file", file.name, "--json", "--list", "--output", "SOURCE,TARGET,FSTYPE,OPTIONS"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    mounts = json.loads(done.stdout)["filesystems"]
    return [Mount(mount["source"], mount["target"], mount["fstype"], mount["options"]) for mount in mounts]


def homes_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the homes of users whom systemd-sysusers(8) makes, by their names."""
    with tempfile.TemporaryDirectory() as root:
        Path(root, "etc").mkdir()
        subprocess.run(["systemd-sysusers", f"--root={root}", "--inline", *lines], check=True, capture_output=True)
        entries = [line.split(":") for line in Path(root, "etc/passwd").read_text(encoding="utf-8").splitlines()]
    return {entry[0]: entry[5] for entry in entries}


Options = list[tuple[str, str]]
"""Keys and values of one option of a hypervisor; a word without an equals sign has no value."""


def qemu_options(text: str) -> Options:
    """Return the keys of an option of QEMU, which writes a comma in a value twice (its manual, -drive)."""
    marked = text.replace(",,", "\0")
    pairs = (part.partition("=") for part in marked.split(","))
    return [(key.replace("\0", ","), value.replace("\0", ",")) for key, _equals, value in pairs]


def quoted_options(text: str, escapes: bool) -> Options:
    """Return the keys of an option of Cloud Hypervisor, or of crosvm, in whose quotes a backslash ``escapes``."""
    options, word, quoted, escaped = [], "", False, False
    for character in f"{text},":
        if escaped:
            word, escaped = word + character, False
        elif quoted and escapes and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            options.append(word)
            word = ""
        else:
            # What is in quotes separates nothing.
            word += "\0" if quoted and character == "=" else character
    assert not quoted and not escaped, f"{text!r} is not complete"
    pairs = (option.partition("=") for option in options)
    return [(key.replace("\0", "="), value.replace("\0", "=")) for key, _equals, value in pairs]
