# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm gc``."""

from __future__ import annotations

from argparse import Namespace

from ...host.settings import host_images
from ...operations.collect_garbage import collect
from ..host import places, require_root
from ..output import complain, say
from ..table import bytes_in_words


def collect_garbage(arguments: Namespace) -> int:
    """Run ``microvm gc``; returns the exit status."""
    require_root(arguments)
    collected = collect(places(arguments), arguments.check, host_images(), verifies=arguments.verify)
    for entry in collected.entries:
        say(f"{entry.step} ({bytes_in_words(entry.size)})")
        if entry.error is not None:
            complain(f"microvm: {entry.path}: {entry.error}")
    total = f"{collected.freed} bytes ({bytes_in_words(collected.freed)})"
    for problem in collected.problems:
        complain(f"microvm: {problem}")
    say(f"unused entries: {len(collected.removed)}, {total} {'to free' if arguments.check else 'freed'}")
    if collected.busy:
        say(f"left in place because another run is working on them: {', '.join(collected.busy)}, and all images")
    has_failed = any(entry.error is not None for entry in collected.entries)
    return 1 if has_failed or collected.problems else 0
