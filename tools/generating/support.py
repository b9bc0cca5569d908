# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says of an option which hypervisors honour it, from their profiles."""

from __future__ import annotations

from dataclasses import replace

from _microvm.declaration.vms.options import VM_OPTIONS
from _microvm.hypervisors.honouring import partly_honoured
from _microvm.hypervisors.profiles import PROFILES
from _microvm.schema.options import Option, Options

GROUPS = {profile.group.name: profile.name for profile in PROFILES.values()}
"""Groups of options that are called after a hypervisor."""

SUPPORT = {
    path: {
        "" if value is None else str(value).lower() if isinstance(value, bool) else str(value): names
        for value, names in by_value.items()
    }
    for path, by_value in partly_honoured(VM_OPTIONS, PROFILES.values()).items()
}
"""Hypervisors that honour an option, where not all do, by path and value; the empty value is any but the default."""


def honoured_by(path: str) -> dict[str, tuple[str, ...]]:
    """Return hypervisors by value; under the empty value those that honour any. Empty where all do."""
    group = path.partition(".")[0]
    return {"": (GROUPS[group],)} if group in GROUPS else SUPPORT.get(path, {})


def with_support(options: Options, prefix: str = "") -> Options:
    """Return the table with a paragraph in the description of each option that not all hypervisors honour."""
    return tuple(_described(option, prefix) for option in options)


def _described(option: Option, prefix: str) -> Option:
    # The MicroVMs of a list have the same options as one.
    path = "" if option.name == "vms" else f"{prefix}{option.name}"
    inner = "" if not path else f"{path}[]." if option.type == "list" else f"{path}."
    sentences = (
        [_sentence(value, names) for value, names in honoured_by(path).items()]
        if "." not in path or path in SUPPORT
        else []
    )
    paragraphs = (*option.paragraphs, *([" ".join(sentences)] if sentences else []))
    return replace(option, description=paragraphs, suboptions=with_support(option.suboptions, inner))


def _sentence(value: str, names: tuple[str, ...]) -> str:
    listed = ", ".join(f"V({name})" for name in names)
    return f"V({value}) is supported only by {listed}." if value else f"Supported only by {listed}."
