# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examine hypervisors on a host of the test bed, and bring the file of results up to date. `make exam` runs it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from _microvm.hypervisors.profiles import PROFILES

from ..host import Host
from . import image, programs
from .examination import HostIsGone, examine, require_host
from .guest import place, program
from .results import RESULTS, Row, summary, write
from .table import TABLE

NAMES = [cell.name for cell in TABLE]


def arguments() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(prog="exam", description=__doc__)
    parser.add_argument("--hypervisor", action="append", choices=programs.ON_LINUX, help="only this one; repeatable")
    parser.add_argument("--cell", action="append", choices=NAMES, help="only this cell; repeatable")
    parser.add_argument("--short", action="store_true", help="only the cells that `make test` runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of results")
    parser.add_argument("--bed", default=os.environ.get("TEST_BED", "exam"), help="name of the test bed")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="use the host of the last run, with this checkout's command, and leave it there",
    )
    return parser.parse_args()


def answers(host: Host) -> bool:
    """Return whether a host of an earlier run is there."""
    try:
        require_host(host)
    except HostIsGone:
        return False
    return True


def main() -> int:
    """Run; the exit status says whether the whole selection could be examined, not whether all of it held."""
    asked = arguments()
    cells = [
        cell for cell in TABLE if (not asked.cell or cell.name in asked.cell) and (cell.is_short or not asked.short)
    ]
    paths = programs.found(os.environ.get("MICROVM_HYPERVISORS"))
    chosen = {name: path for name, path in paths.items() if not asked.hypervisor or name in asked.hypervisor}
    for name in asked.hypervisor or programs.ON_LINUX:
        if name not in paths:
            print(f"{name}: skipped, {program(name)} is not in MICROVM_HYPERVISORS", flush=True)
    rows: list[Row] = []

    def report(row: Row) -> None:
        rows.append(row)
        write(asked.results, [row], NAMES)

    host = Host(asked.bed, "vm")
    try:
        if asked.keep and answers(host):
            host.install_role()
        else:
            host.up()
        programs.send(host, chosen)
        where = place(host, image.provide(host))
        for name in chosen:
            version = programs.version(host, name)
            print(f"{name} {version}", flush=True)
            examine(where, PROFILES[name], version, cells, report)
    except HostIsGone as error:
        print(f"the host does not answer any more: {error}", flush=True)
        return 1
    finally:
        if not asked.keep:
            host.down()
        print(summary(rows), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
