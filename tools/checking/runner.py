# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one step after the other: a command with a time limit, its output in a log."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv" / "bin"
LOGS = ROOT / ".logs"

LEFT_OUT = re.compile(r"^(?:SKIPPED (?:\[\d+\] )?|WARNING: (?=Skipping|Excluding))(.*)")
"""Patterns by which pytest and ansible-test report what they skipped."""
FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) (tests/\S+)")
"""Pattern by which pytest's summary reports a test that failed."""
SHOWN_LINES = 100
"""Number of lines shown of a failed step's output that has not been shown before."""


@dataclass(frozen=True)
class Step:
    """A command, or why it can't run here."""

    name: str
    command: tuple[str | Path, ...]
    directory: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=dict)
    minutes: float = 10
    is_live: bool = False
    skip: str = ""
    second_try: tuple[str | Path, ...] = ()
    """Command that runs alone what has failed; what passes then is named in the summary, since it hides a race."""


@dataclass(frozen=True)
class Result:
    """Result of a step."""

    stage: str
    step: Step
    status: Literal["passed", "failed", "skipped"]
    seconds: float = 0
    left_out: tuple[str, ...] = ()
    unsteady: tuple[str, ...] = ()
    """Tests that passed only at the second try."""


_RUNNING: set[subprocess.Popen[str]] = set()
"""Processes of steps that have not ended."""

_INTERRUPTED = threading.Event()
"""Set when no further step is to begin."""

Stage = Callable[[ExitStack], list[Step]]
"""Prepares what its steps need, undone at the end of the stack, and returns the steps."""


def run_lanes(lanes: Iterable[Iterable[tuple[str, Stage]]]) -> list[Result]:
    """Run lanes of stages at the same time, the stages of each one after the other."""
    return _run_at_once([functools.partial(_run_lane, list(lane)) for lane in lanes])


def _run_lane(stages: Iterable[tuple[str, Stage]]) -> list[Result]:
    return [result for name, stage in stages for result in run_stage(name, stage)]


def run_stage(name: str, stage: Stage) -> list[Result]:
    """Every step of a stage; one that fails stops none of the others."""
    print(f"\n=== {name}", flush=True)
    with ExitStack() as stack:
        return [_run(name, step) for step in stage(stack)]


def _run_at_once(works: Sequence[Callable[[], list[Result]]]) -> list[Result]:
    """Return the results of all, in order; an interruption of this process ends every step that runs."""
    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        futures = [pool.submit(work) for work in works]
        try:
            return [result for future in futures for result in future.result()]
        except BaseException:
            _INTERRUPTED.set()
            for process in tuple(_RUNNING):
                _kill(process)
            raise


def _run(stage: str, step: Step) -> Result:
    if step.skip or _INTERRUPTED.is_set():
        reason = step.skip or "interrupted"
        print(f"--- {step.name}: skipped, {reason}", flush=True)
        return Result(stage, step, "skipped", left_out=(reason,))
    if step.is_live:
        print(f"--- {step.name}", flush=True)
    log, begin = LOGS / f"{stage}-{step.name.replace(' ', '-')}.log", time.monotonic()
    LOGS.mkdir(exist_ok=True)
    with log.open("w+", encoding="utf-8", errors="replace") as output:
        status, unsteady = _execute(step, step.command, output), tuple[str, ...]()
        if status == 1 and step.second_try:
            unsteady = _failed_tests(output)
            print(f"--- {step.name}: a second try of {len(unsteady)} failed tests", flush=True)
            status = _execute(step, step.second_try, output)
        seconds = time.monotonic() - begin
        output.seek(0)
        lines = output.read().splitlines()
    if status and not step.is_live:
        print("\n".join(lines[-SHOWN_LINES:]))
    outcome = f"FAILED ({_reason(status, step)}), log: {log.relative_to(ROOT)}" if status else "passed"
    print(f"--- {step.name}: {outcome}, {seconds:.1f} s", flush=True)
    left_out = tuple(dict.fromkeys(match[1] for match in map(LEFT_OUT.match, lines) if match))
    return Result(stage, step, "failed" if status else "passed", seconds, left_out, () if status else unsteady)


def _failed_tests(output: TextIO) -> tuple[str, ...]:
    output.seek(0)
    return tuple(dict.fromkeys(match[1] for match in map(FAILED_TEST.match, output) if match))


def _reason(status: int, step: Step) -> str:
    limit = f"killed, perhaps by its limit of {step.minutes:g} minutes"
    return limit if status == -signal.SIGKILL else f"exit status {status}"


def _environment(step: Step) -> dict[str, str]:
    path = {"PATH": f"{VENV}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    return {**os.environ, **path, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1", **step.environment}


def _execute(step: Step, command: tuple[str | Path, ...], output: TextIO) -> int:
    """The exit status. The command's process group never outlives its time limit or this process's interruption."""
    try:
        process = subprocess.Popen(
            command,
            cwd=step.directory,
            env=_environment(step),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        output.write(f"{error}\n")
        return 127
    limit = threading.Timer(step.minutes * 60, _kill, (process,))
    limit.start()
    _RUNNING.add(process)
    try:
        _copy(process, output, step.is_live)
        return process.wait()
    except BaseException:
        _kill(process)
        raise
    finally:
        limit.cancel()
        _RUNNING.discard(process)


def _copy(process: subprocess.Popen[str], output: TextIO, is_live: bool) -> None:
    for line in process.stdout or ():
        output.write(line)
        if is_live:
            sys.stdout.write(line)
            sys.stdout.flush()


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
