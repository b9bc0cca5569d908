# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines by meaning: options with their values, and what differs between two of them."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Value = dict[str, str]
"""``key=value,…`` as a mapping; what has no key is under ``""``, ``"1"`` and so on."""
Meaning = dict[str, list[Value]]

PLAIN = {
    "-append",
    "--cmdline",
    "-p",
    "-c",
    "-name",
    "-kernel",
    "-initrd",
    "--kernel",
    "--initramfs",
    "-k",
    "-i",
    "--data",
}
"""Options whose value is not a list of keys."""
SEVERAL = {"--disk", "--net", "--fs", "--device", "--vsock"}
"""Options of cloud-hypervisor behind which several values stand."""

ALONE = {
    *("-nodefaults", "-enable-kvm", "--enable-pci", "--no-smt", "--no-balloon", "--rng", "--entropy", "--watchdog"),
    *("--extended-status", "--disable-sandbox"),
}
"""Options without a value."""

FIRST = {"--block": "path"}
"""Keys of values that may stand without it, in the first place."""

ORDERED = {"--disk", "-drive", "--block", "-d", "--blk"}
"""Disks: the guest knows them by their order."""

ACRONYMS = {"deflateOnOOM": "deflate_on_oom", "platformOEMStrings": "platform_oem_strings"}
FREE = {"machineOpts", "credentialFiles", "binScripts", "cpu", "extraConfig"}
"""Mappings whose keys are the user's."""


def snake_case(name: str) -> str:
    """microvm.nix's name as ours."""
    return ACRONYMS.get(name) or re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.replace("-", "_")).lower()


def converted(value: Any) -> Any:
    """A declaration of microvm.nix as ours."""
    if isinstance(value, Mapping):
        return {
            snake_case(key): inner if key in FREE and isinstance(inner, Mapping) else converted(inner)
            for key, inner in value.items()
        }
    return [converted(element) for element in value] if isinstance(value, list) else value


def declaration(case: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration of a case, with the files that its command line names, and with the user that all share there."""
    arm = (case.get("guest_system") or case["system"]).startswith("aarch64")
    hypervisor = case["microvm"]["hypervisor"]
    kernel = "/kernel/Image" if arm else "/kernel/bzImage"
    if not arm and hypervisor in ("cloud-hypervisor", "firecracker", "crosvm"):
        kernel = "/kernel-dev/vmlinux"
    kind = case["microvm"].get("storeDiskType", "erofs")
    files = {"kernel": kernel, "initrd_path": "/initrd/initrd", "store_disk": f"/gen/microvm-store-disk.{kind}"}
    guest = {"guest_system": case["guest_system"]} if case.get("guest_system") else {}
    shared = {"isolation": "shared"}
    return {"name": case["hostname"], **files, **guest, **shared, **converted(case["microvm"])}


def split(text: str) -> list[str]:
    """Split at commas, except for those in brackets or quotes, and for QEMU's double ones."""
    parts, depth, quoted, current = [""], 0, False, text.replace(",,", "\0")
    for character in current:
        quoted ^= character == '"'
        depth += 0 if quoted else (character == "[") - (character == "]")
        if character == "," and not quoted and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.replace("\0", ",").strip('"') for part in parts if part]


def value(text: str, first: str = "") -> Value:
    """Return a value as a mapping; several equal keys (``hostfwd=``) stay apart.

    ``first`` is the key of a value in the first place that has none.
    """
    meaning: Value = {}
    for index, part in enumerate(split(text)):
        key, equals, inner = part.partition("=")
        if not equals or "/" in key:
            key, inner = str(index or first), part
        if key in ("hostfwd", "guestfwd"):
            key = f"{key} {inner}"
        meaning[key] = program(inner.strip('"'))
    return meaning


def program(text: str) -> str:
    """Programs by their base name."""
    return re.sub(r"/pkgs/[^/ ]+/bin/", "", text)


def meaning(argv: Sequence[str]) -> Meaning:
    """All options with their values; words without an option are under ``""``."""
    found: Meaning = defaultdict(list)
    index = 0
    while index < len(argv):
        word = argv[index]
        index += 1
        if not word.startswith("-"):
            found[""].append({"": program(word).rpartition("/")[2] if index == 1 else program(word)})
            continue
        values: list[str] = []
        while index < len(argv) and not argv[index].startswith("-") and (not values or word in SEVERAL):
            if word in ALONE:
                break
            values.append(argv[index])
            index += 1
        texts = values or [""]
        first = FIRST.get(word, "")
        found[word] += [{"": " ".join(text.split())} if word in PLAIN else value(text, first) for text in texts]
    return found


def differences(expected: Meaning, ours: Meaning) -> Iterator[str]:
    """Return what is missing (``-``), new (``+``) or changed (``~``), one line each."""
    for option in sorted({*expected, *ours}):
        wanted, rest = list(expected.get(option, [])), list(ours.get(option, []))
        if option in ORDERED:
            before, after = _order(wanted, rest), _order(rest, wanted)
            if before != after:
                yield f"~ order of {option}: {before} -> {after}"
        for same in [one for one in wanted if one in rest]:
            if same in rest:
                wanted.remove(same)
                rest.remove(same)
        for one in wanted:
            match = max(rest, key=lambda other: _overlap(one, other), default=None)
            # An option that stands there once is itself, whatever its value.
            if match is None or not (_overlap(one, match) or (len(wanted) == len(rest) == 1 and option != "-device")):
                yield f"- {option} {_text(one)}".rstrip()
                continue
            rest.remove(match)
            yield from _changes(option, one, match)
        for new in rest:
            yield f"+ {option} {_text(new)}".rstrip()


def _order(values: list[Value], others: list[Value]) -> list[str]:
    """The files of the disks that both have, in their order."""
    known = {_file(other) for other in others}
    return [_file(one) for one in values if _file(one) in known]


def _file(one: Value) -> str:
    return one.get("file") or one.get("path") or one.get("", "")


def _overlap(one: Value, other: Value) -> int:
    return sum(other.get(key) == inner for key, inner in one.items())


def _changes(option: str, wanted: Value, got: Value) -> Iterator[str]:
    for key in sorted({*wanted, *got}):
        before, after = wanted.get(key), got.get(key)
        label = f"{option} {key}".strip()
        if before is None:
            yield f"+ {label}={after}"
        elif after is None:
            yield f"- {label}={before}"
        elif before != after:
            yield f"~ {label}: {before} -> {after}"


def _text(one: Value) -> str:
    return ",".join(f"{key}={inner}" if key and not key.isdigit() else inner for key, inner in one.items())


def flattened(data: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of JSON with its path; ``null`` is the same as nothing."""
    if isinstance(data, Mapping):
        for key, inner in data.items():
            yield from flattened(inner, f"{path}.{key}" if path else key)
        if not data:
            yield path, "{}"
    elif isinstance(data, list):
        for inner in data:
            identity = next((inner[key] for key in ("drive_id", "iface_id") if key in inner), "")
            yield from flattened(inner, f"{path}[{identity}]")
    elif data is not None:
        yield path, json.dumps(data)
