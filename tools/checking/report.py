# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .runner import Result


def summary(results: Sequence[Result], seconds: float) -> str:
    """A table of all steps, what was left out, and one line that says it all."""
    details = [*_table(results), *_left_out(results), *_unsteady(results)]
    return "\n".join(["", "=== Summary", *details, "", _total(results, seconds)])


def _table(results: Sequence[Result]) -> Iterator[str]:
    width = max((len(result.step.name) for result in results), default=0)
    for result in results:
        status = result.status.upper() if result.status == "failed" else result.status
        yield f"{result.stage:12} {result.step.name:{width}}  {status:8} {result.seconds:7.1f} s"


def _left_out(results: Sequence[Result]) -> Iterator[str]:
    if any(result.left_out for result in results):
        yield "\nLeft out:"
    for result in results:
        yield from (f"  {result.stage}, {result.step.name}: {reason}" for reason in result.left_out)


def _unsteady(results: Sequence[Result]) -> Iterator[str]:
    if any(result.unsteady for result in results):
        yield "\nPassed only at the second try, which hides a race of the test or of the product:"
    for result in results:
        yield from (f"  {result.stage}, {result.step.name}: {test}" for test in result.unsteady)


def _total(results: Sequence[Result], seconds: float) -> str:
    counts = Counter(result.status for result in results)
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    return f"after {seconds:.0f} s:\n{counts['passed']} passed, {counts['failed']} failed{skipped}"
