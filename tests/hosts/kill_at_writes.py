# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kill ``microvm apply`` on a test host at its write-like system calls, one after the other, by strace(1).

After each kill no link dangles, running MicroVMs keep running, and the next run ends in the wanted state. Prints a JSON
object for each scenario. Usage: python3 -m hosts.kill_at_writes EVERY, where 1 is every call, 5 every fifth.

The hypervisor is a fake that sleeps: only the host's side is tested.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .paths import RECORDS, SETTINGS, STATE, STORE, TARGET, UNITS

CALLS = ["write", "rename", "unlink", "unlinkat", "symlink", "mkdir", "rmdir", "fsync", "chmod", "fchmod", "chown"]
"""System calls that the command makes; strace counts each kind by itself."""
FILE = "/root/fleet.yml"
NAMES = ("first", "second")
RENAMED = {"third": "first", "fourth": "second"}
"""Former names by the new ones."""
STRACE = ("strace", "-f", "-b", "execve", "-qq", "-o")
"""Follows all threads of the command, not the programs that it starts: userdel(8) does not survive its own death."""
COMMAND = ("python3", "/usr/local/bin/microvm", "apply", FILE)


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run one command without a check of its exit status."""
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def declare(formers: dict[str, str] | None = None, **options: Any) -> None:
    """Write the declarations of both MicroVMs, or of those with other names before."""
    vms = [
        {
            "name": name,
            **({"renamed_from": formers[name]} if formers else {}),
            "kernel": "/etc/hostname",
            "accel": "tcg",
            "ready": {"check": "none"},
            "socket": None,
            "volumes": [{"image": "data.img", "size": 8, "auto_create": True}],
            **options,
        }
        for name in formers or NAMES
    ]
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump(vms, file)


def apply(*more: str) -> subprocess.CompletedProcess[str]:
    """Run ``microvm apply`` to its end."""
    return run("microvm", "apply", FILE, *more)


def processes() -> dict[str, str]:
    """Return the main process of each MicroVM."""
    ask = ("systemctl", "show", "--property=MainPID", "--value")
    return {name: run(*ask, f"microvm@{name}.service").stdout.strip() for name in NAMES}


def broken() -> list[str]:
    """Return dangling links and incomplete packages."""
    links = [path for path in glob.glob(f"{STATE}/*/*") if os.path.islink(path) and not os.path.exists(path)]
    packages = [path for path in glob.glob(f"{STORE}/[!.]*") if not os.access(f"{path}/bin/microvm-run", os.X_OK)]
    return links + packages


@dataclass
class Scenario:
    """Initial state, change that is killed, and conditions that hold at any time and at the end."""

    name: str
    before: Callable[[], None]
    wanted: Callable[[], None]
    keeps_running: bool
    ended: Callable[[], list[str]]
    kills: int = 0
    completed: int = 0
    lost: list[str] = field(default_factory=list)


def install_first(**options: Any) -> Callable[[], None]:
    """Return a function that installs both MicroVMs."""

    def begin() -> None:
        declare(restart_policy="never", **options)
        check(apply())

    return begin


def declare_nothing() -> None:
    """Declare both MicroVMs and their volumes absent."""
    declare(state="absent", on_absent={"volumes": "delete", "confirm": ["data.img"]})


def install_before_rename() -> None:
    """Install both MicroVMs under their former names, which their volumes contain at the end."""
    declare(RENAMED, state="absent", on_absent={"volumes": "delete", "confirm": ["data.img"]})
    check(apply())
    install_first()()
    for name in NAMES:
        with open(f"{STATE}/{name}/work/data.img", "r+b") as image:
            image.seek(-len(name), os.SEEK_END)
            image.write(name.encode())


def is_renamed() -> list[str]:
    """Return what is not under its new name, or still under its former one."""
    problems = [f"{path} is still there" for path in is_gone() if os.path.basename(path) in NAMES or "@first" in path]
    for name, former in RENAMED.items():
        image = f"{STATE}/{name}/work/data.img"
        owner = run("stat", "--format=%U", image).stdout.strip()
        problems += [] if owner == f"microvm-{name}" else [f"{image} belongs to {owner!r}"]
        content = run("tail", "--bytes", str(len(former)), image).stdout
        problems += [] if content == former else [f"{image} is not that of {former}"]
        is_active = run("systemctl", "is-active", f"microvm@{name}.service").returncode == 0
        problems += [] if is_active else [f"{name} is not running"]
        problems += glob.glob(f"{STORE}/*-{former}") + glob.glob(f"{RECORDS}/{former}.json")
    return problems


def nothing_there() -> None:
    """Remove both MicroVMs and their volumes."""
    declare_nothing()
    check(apply())


def check(result: subprocess.CompletedProcess[str]) -> None:
    """Exit with the output of a command that has failed."""
    if result.returncode != 0:
        raise SystemExit(f"{result.args}: {result.returncode}\n{result.stdout}{result.stderr}")


def runs_as_declared() -> list[str]:
    """Return differences from the declarations."""
    problems = [f"{name} is not running" for name, process in processes().items() if process == "0"]
    for name in NAMES:
        image = f"{STATE}/{name}/work/data.img"
        if not os.path.exists(image):
            problems.append(f"{image} is gone")
    return problems


def volumes_are_kept() -> list[str]:
    """Return missing volumes, and remains other than volumes, their users and their records."""
    images = [f"{STATE}/{name}/work/data.img" for name in NAMES]
    missing = [f"{image} is gone" for image in images if not os.path.exists(image)]
    records = [f"{RECORDS}/{name}.json" for name in NAMES]
    return missing + [
        path for path in is_gone() if path not in (*(f"{STATE}/{name}" for name in NAMES), *records, *NAMES)
    ]


def is_gone() -> list[str]:
    """Return remains of removed MicroVMs."""
    patterns = (
        f"{STATE}/*",
        f"{STORE}/*",
        f"{RECORDS}/*",
        f"{SETTINGS}/*",
        f"{UNITS}/microvm*@first*",
        f"{UNITS}/{TARGET}.wants/*",
    )
    paths = [path for pattern in patterns for path in glob.glob(pattern)]
    return paths + [name for name in NAMES if run("getent", "passwd", f"microvm-{name}").stdout]


SCENARIOS = (
    Scenario("install", nothing_there, lambda: declare(restart_policy="never"), False, runs_as_declared),
    Scenario(
        "update", install_first(), lambda: declare(restart_policy="never", mem=64, vcpu=2), True, runs_as_declared
    ),
    Scenario("remove", install_first(), lambda: declare(state="absent"), False, volumes_are_kept),
    Scenario("remove with volumes", install_first(), declare_nothing, False, is_gone),
    Scenario("rename", install_before_rename, lambda: declare(RENAMED), False, is_renamed),
)


def attempt(scenario: Scenario, call: str, number: int) -> None:
    """Kill the command at its ``number``-th system call of a kind, and record the losses."""
    scenario.before()
    before = processes()
    scenario.wanted()
    inject = f"inject={call}:signal=KILL:when={number}"
    killed = run(*STRACE, "/dev/null", "-e", f"trace={call}", "-e", inject, *COMMAND)
    if killed.returncode == 0:
        scenario.completed += 1
    else:
        scenario.kills += 1
    where = f"{scenario.name}, {call} {number}"
    scenario.lost += [f"{where}: {problem}" for problem in broken()]
    if scenario.keeps_running and processes() != before:
        scenario.lost.append(f"{where}: {before} became {processes()}")
    again = apply()
    if again.returncode != 0:
        scenario.lost.append(f"{where}: the next run: {again.stdout[-300:]}{again.stderr[-300:]}")
    scenario.lost += [f"{where}: {problem}" for problem in (*broken(), *scenario.ended())]
    rest = apply("--check")
    if rest.returncode != 0 or "would be changed" in rest.stdout:
        scenario.lost.append(f"{where}: not enough: {rest.stdout[-300:]}{rest.stderr[-300:]}")


def calls(scenario: Scenario) -> list[tuple[str, int]]:
    """Return every system call of an undisturbed run: its kind, and its number among those of the kind."""
    scenario.before()
    scenario.wanted()
    check(run(*STRACE, "/root/trace", "-e", f"trace={','.join(CALLS)}", *COMMAND))
    with open("/root/trace", encoding="utf-8", errors="replace") as file:
        kinds = [words[1].partition("(")[0] for words in map(str.split, file) if len(words) > 1]
    return [(call, number) for call in CALLS for number in range(1, kinds.count(call) + 1)]


def main(every: int) -> int:
    """Run all scenarios; the exit status is 1 if anything was lost."""
    lost = 0
    for scenario in SCENARIOS:
        made = calls(scenario)
        for call, number in made[::every]:
            attempt(scenario, call, number)
        result = {"scenario": scenario.name, "kills": scenario.kills, "calls": len(made), "lost": scenario.lost}
        print(json.dumps(result), flush=True)
        lost += len(scenario.lost)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
