# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are killed at any of their writes."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

WRITES = ("fsync", "rename", "mkdir", "open", "unlink", "rmdir")


def killed_at_call(number: int, work: Callable[[], object]) -> bool:
    """Run in a child that is killed before its ``number``-th write-like call. Returns whether it was killed."""
    child = os.fork()
    if child == 0:
        calls = iter(range(number))

        def counting(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                if next(calls, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **options)

            return call

        for name in WRITES:
            setattr(os, name, counting(getattr(os, name)))
        # Whatever comes of it, the child does not go on with the tests.
        outcome = 1
        try:
            work()
            outcome = 0
        finally:
            if outcome:
                traceback.print_exc()
            os._exit(outcome)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"killed at call {number}: see the error above"
    return os.WIFSIGNALED(status)
