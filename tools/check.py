# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the stages that are named, or all, each to its end; then says how each step went, and what was left out and why.

``python tools/check.py [STAGE…]``; the exit status is 0 when no step failed. Logs are in ``.logs``.
"""

from __future__ import annotations

import sys
import time

from checking.report import summary
from checking.runner import Result, run_lanes
from checking.stages import LONG_STAGES, ORDER, STAGES


def main(names: list[str]) -> int:
    """Run, summarise."""
    stages = {**STAGES, **LONG_STAGES}
    unknown = [name for name in names if name not in stages]
    if unknown:
        print(f"no such stage: {', '.join(unknown)}; there are: {', '.join(stages)}", file=sys.stderr)
        return 2
    begin, results = time.monotonic(), list[Result]()
    for lanes in [((name,),) for name in names] or ORDER:
        results += run_lanes([(name, stages[name]) for name in lane] for lane in lanes)
    print(summary(results, time.monotonic() - begin))
    return 1 if any(result.status == "failed" for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
