# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the pages of the documentation that are tables of the code's data."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from _microvm.hypervisors.kernel_needs import OF_ALL
from _microvm.hypervisors.profiles import PROFILES
from _microvm.schema.options import PLAIN, Option, Options, walk
from hosts.hypervisors.programs import ON_LINUX
from hosts.hypervisors.results import read
from hosts.hypervisors.table import LIFE_CYCLE, TABLE, WITHOUT_CELL

from .evidence import UNCLAIMED, UNSEEN, Evidence
from .support import SUPPORT, honoured_by

WRITTEN = "<!-- Written by `make generate`. -->\n"
RESTRICTIONS_BEGIN = "<!-- restrictions: written by `make generate` -->\n"
RESTRICTIONS_END = "<!-- end of restrictions -->\n"
BEGIN, END = "<!-- deviations: written by `make generate` -->\n", "<!-- end of deviations -->\n"

OPTIONS_HEAD = """\
# Options of a MicroVM

All options of a MicroVM: those of microvm.nix's guest module, in snake_case and with the same nesting, and the options
of the host. One table in the code is the source of this page, of the modules' documentation and of the
[JSON Schema](microvm.schema.json).

*Honoured by* lists the hypervisors that support the option, unless all of them do. With other hypervisors, the option
is refused before anything is changed. *Change* is the cost of a change for a running MicroVM: none (live), a restart,
or a new volume image or directory (recreate). Option groups that are named after a hypervisor have no effect on other
hypervisors.
"""

HYPERVISORS_HEAD = """\
# Hypervisors

Capabilities of the supported hypervisors, generated from their profiles in the code and from the results of the
[examination](https://github.com/microvm/fleet/blob/main/CONTRIBUTING.md#the-examination), which runs them with real
guests. An option that the declared hypervisor does not support is refused before anything is changed, with a list of
the hypervisors that support it.

| in the tables | meaning |
|---|---|
| run with VERSION | seen in a guest of this version |
| read in its source | claimed, but not run by the examination |
| falls short with VERSION | claimed, but not seen in a guest of this version, see [below](#what-falls-short) |
| – | not supported |

"""

KERNELS = """\
## Kernels of guests

An image records what its kernel is built without. A MicroVM that needs it is refused before anything is changed, with
the option, the reason and the way out. Of a kernel from elsewhere (`kernel`) nothing is known, and it is not refused.
"""


def options(table: Options) -> str:
    """Return docs/options.md."""
    rows = ["| option | type | default | honoured by | change | meaning |", "|---|---|---|---|---|---|"]
    rows += [_row(path, option) for path, option in walk(table)]
    return WRITTEN + OPTIONS_HEAD + "\n" + "\n".join(rows) + "\n"


def _row(path: str, option: Option) -> str:
    words = f"{option.type} of {option.elements}" if option.elements else option.type
    words = f"{words} of strings" if option.values else words
    words = f"{option.elements}, or {words}" if option.single else words
    default = "required" if option.required else shown_default(option.default)
    text = " ".join(plain(paragraph) for paragraph in option.paragraphs)
    choices = f" One of {', '.join(f'`{choice}`' for choice in option.choices)}." if option.choices else ""
    cells = (f"`{path}`", kind(words), default, _support(path), option.cost, text + choices)
    return "| " + " | ".join(map(cell, cells)) + " |"


def cell(text: str) -> str:
    """Return the content of a table's cell."""
    return text.replace("|", "\\|")


def kind(type_of_option: str) -> str:
    """Return the type of an option in words."""
    return {"raw": "number or string", "dict": "mapping", "list of dict": "list of mappings"}.get(
        type_of_option, type_of_option
    )


def shown_default(value: Any) -> str:
    """Return the default of an option as Markdown; nothing if there is none."""
    return "" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _support(path: str) -> str:
    parts = [(f"`{value}`: " if value else "") + ", ".join(names) for value, names in honoured_by(path).items()]
    return "; ".join(parts) or "all"


def plain(text: str) -> str:
    """Return Ansible markup as Markdown."""
    text = re.sub(r"O\(ignore:([^)]*)\)", r"`\1`", text)
    text = re.sub(r"P\(([^)#]*)#role\)", r"`\1`", text)
    # Of an option of another module, the option: its module is named beside it.
    text = re.sub(r"[VCO]\((?:[a-z_.]+#module:)?([^)]*)\)", r"`\1`", text)
    return re.sub(r"M\(([^)]*)\)", r"`\1`", text)


def hypervisors() -> str:
    """Return docs/hypervisors.md."""
    emulators = " and ".join(profile.name for profile in PROFILES.values() if profile.emulates)
    head = f"{HYPERVISORS_HEAD}Hosts without KVM, and guests of a foreign architecture, require {emulators}.\n"
    evidence = Evidence(TABLE, read())
    parts = [*_life(), "", *_kernels(), "", *_seen(evidence), "", "## Options", "", *_matrix(evidence), ""]
    return WRITTEN + head + "\n" + "\n".join([*parts, *_shortcomings(evidence)]) + "\n"


def _life() -> Iterator[str]:
    yield "## Life cycle"
    yield ""
    yield "| hypervisor | hosts | shutdown | guest is up when | guest powers off | guest reboots | credentials |"
    yield "|---|---|---|---|---|---|---|"
    for profile in PROFILES.values():
        channel = {"fw_cfg": "fw_cfg", "initrd": "appended to the initial RAM disk", None: "none"}[profile.credentials]
        cells = (
            profile.name,
            ", ".join(profile.systems),
            profile.stop,
            profile.ready,
            profile.on_poweroff,
            profile.on_reboot,
            channel,
        )
        yield "| " + " | ".join(cells) + " |"


def _kernels() -> Iterator[str]:
    """Yield what hypervisors and options need of the guest's kernel."""
    yield KERNELS
    yield "| hypervisor | option | setting | reason | way out |"
    yield "|---|---|---|---|---|"
    for name, needs in (("all", OF_ALL), *((profile.name, profile.kernel_needs) for profile in PROFILES.values())):
        for need in needs:
            value = f": {need.value}`" if need.value is not None else "` not set,"
            option = f"`{need.option}{value} on {', '.join(need.architectures)}"
            yield f"| {name} | {option} | `{need.setting}` | {need.reason} | {need.remedy} |"


def _seen(evidence: Evidence) -> Iterator[str]:
    """Yield the table of the life cycle as it was examined."""
    yield "## Life cycle in the examination"
    yield ""
    yield from _heading("examined", ON_LINUX)
    for examined in LIFE_CYCLE:
        yield _line(examined.title, [evidence.of_cell(PROFILES[name], examined) for name in ON_LINUX])
    yield ""
    yield "These programs were run:"
    yield ""
    yield "| hypervisor | version | guest | days |"
    yield "|---|---|---|---|"
    yield from (_line(hypervisor, cells) for hypervisor, *cells in evidence.programs())


def _matrix(evidence: Evidence) -> Iterator[str]:
    yield from _heading("option", PROFILES)
    for path, by_value in SUPPORT.items():
        for value, names in by_value.items():
            label = option_label(path, value)
            yield _line(
                f"`{label}`",
                [
                    evidence.of_option(profile, label) if name in names else UNCLAIMED
                    for name, profile in PROFILES.items()
                ],
            )
    yield ""
    yield f"The examination has no cell for these rows, so that they are always *{UNSEEN}*:"
    yield ""
    yield from (f"* `{label}`: {reason}" for label, reason in WITHOUT_CELL.items())


def option_label(path: str, value: str) -> str:
    """Return the label of an option's row, or of one of its values."""
    return f"{path}: {value}" if value else path


def _heading(subject: str, hypervisors: Collection[str]) -> Iterator[str]:
    yield f"| {subject} | " + " | ".join(hypervisors) + " |"
    yield "|---" * (len(hypervisors) + 1) + "|"


def _line(label: str, cells: Sequence[str]) -> str:
    return f"| {label} | " + " | ".join(cells) + " |"


def _shortcomings(evidence: Evidence) -> Iterator[str]:
    yield "## What falls short"
    yield ""
    short = list(evidence.shortcomings(PROFILES.values()))
    if not short:
        yield "Nothing that was run."
        return
    yield "| hypervisor | claim | seen |"
    yield "|---|---|---|"
    for row, examined in short:
        yield _line(f"{row.hypervisor} {row.version}", [examined.title, cell(row.reason)])


def with_restrictions(page: str, table: Options, restrictions: Options, keys: Mapping[str, str]) -> str:
    """Return docs/trust.md with the keys of restrictions, and the options that each closes, between its marks."""
    closed: dict[str, list[str]] = {option.name: [] for option in restrictions}
    for path, trust in _trusted(table):
        closed[keys[trust]].append(f"`{path}`")
    rows = ["| key | default | meaning | options |", "|---|---|---|---|"]
    for option in restrictions:
        text = " ".join(plain(paragraph) for paragraph in option.paragraphs)
        cells = (f"`{option.name}`", shown_default(option.default) or "none", text, ", ".join(closed[option.name]))
        rows.append("| " + " | ".join(cells) + " |")
    return between(page, RESTRICTIONS_BEGIN, rows, RESTRICTIONS_END)


def _trusted(table: Options, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the options that need trust, and their kinds; what is in such an option is closed together with it."""
    for option in table:
        path = f"{prefix}{option.name}"
        if option.trust not in (None, PLAIN):
            yield path, str(option.trust)
        else:
            yield from _trusted(option.suboptions, f"{path}[]." if option.type == "list" else f"{path}.")


def between(page: str, begin: str, rows: Sequence[str], end: str) -> str:
    """Return a page with rows of a table between two marks."""
    before, after = page.split(begin)[0], page.split(end)[1]
    return before + begin + "\n".join(rows) + "\n" + end + after


def with_deviations(page: str, deviations: Sequence[Mapping[str, Any]]) -> str:
    """Return docs/parity.md with the table of tests/parity/deviations.yml between its marks."""
    rows = [
        "| deviation | why |",
        "|---|---|",
        *(f"| `{deviation['id']}` | {deviation['reason']} |" for deviation in deviations),
    ]
    return between(page, BEGIN, rows, END)
