# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reasons that guests and hypervisors give for their end, among all that they print. Pure.

Programs differ in where they say it: some in the first of several errors, some in the last, some before a list of its
causes. Forms are recognised, not programs: levels of logs, reports of errors in Rust, messages of the kernel.
"""

from __future__ import annotations

import re
from typing import List, Optional, Sequence

CAUSES = 8
"""Lines of causes that are joined with an error."""

_KERNEL_TIME = re.compile(r"^\[ *\d+\.\d+\] *")

_OF_GUEST = tuple(
    map(
        re.compile,
        (
            # The initial RAM disk of our images; the kernel then only says that its first process has ended.
            r"^microvm initrd: .+",
            r"(?<!end )Kernel panic - not syncing: .+",
            r"^VFS: (Cannot open root device|Unable to mount root) .+",
            # The initial RAM disk of Debian.
            r"^ALERT! .+",
        ),
    )
)
"""Ends of guests, the most telling ones first."""

_REPORT = re.compile(r"^\s*(Error: |error: |thread '.*' (\(\d+\) )?panicked at )|\bexiting with error\b")
"""Error that a program gives for its end; of several, the first is the reason."""

_ERROR = re.compile(r"^[^\"']{0,120}\bERROR\b|^\s*Fatal: ")
"""Error of a log; of several, the last is the one that nobody has handled."""

_BESIDES = re.compile(
    r"^[^\"']{0,120}\b(WARN|WARNING|INFO|DEBUG|TRACE)\b|^\s*([^\s:]+: )?(Info|Warning|Debug|info|warning|debug): "
    r"|: terminating on signal \d+|^note: run with |^Please update the cmd line "
)
"""Lines that are no reason for an end, and those of an end that was asked for."""

_CAUSE = re.compile(r"^\s*\d+: (?P<text>.+)|^\s{2,}(?P<other>.+)")
_PLACE = re.compile(r", at /\S+:\d+:\d+$")


def reason_of_guest(console: Sequence[str]) -> Optional[str]:
    """Return the line of a guest's output that says why it has ended, if there is one."""
    lines = [_KERNEL_TIME.sub("", line) for line in console]
    matches = (match.group() for form in _OF_GUEST for match in map(form.search, lines) if match is not None)
    return next(matches, None)


def reason_of_hypervisor(errors: Sequence[str]) -> Optional[str]:
    """Return why a hypervisor has ended, by its errors; ``None`` where it has said nothing but that it has."""
    reports = [index for index, line in enumerate(errors) if _REPORT.search(line)]
    if reports:
        return _with_causes(errors[reports[0] :])
    logged = [index for index, line in enumerate(errors) if _ERROR.search(line)]
    if logged:
        return _with_causes(errors[logged[-1] :])
    others = [line for line in errors if not _BESIDES.search(line)]
    return others[-1].strip() if others else None


def _with_causes(lines: Sequence[str]) -> str:
    """Return the first line, with the causes that follow it."""
    error, rest = lines[0].strip(), list(lines[1 : CAUSES + 2])
    if rest and rest[0].strip() == "Caused by:":
        rest = rest[1:]
    elif not (error.endswith(":") or (rest and re.match(r"\s*0: ", rest[0]))):
        return error
    # What a panic of Rust says is not indented.
    causes = [rest[0].strip()] if rest and "panicked at" in error else _causes(rest)
    return ": ".join([error.rstrip(":"), *causes])


def _causes(lines: Sequence[str]) -> List[str]:
    causes = []
    for line in lines[:CAUSES]:
        match = _CAUSE.match(line)
        if match is None:
            break
        causes.append(_PLACE.sub("", match.group("text") or match.group("other")).strip())
    return causes
