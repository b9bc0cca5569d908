# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm gc``."""

from __future__ import annotations

from argparse import Namespace

from ...operations.collect_garbage import collect
from ..host import places, require_root
from ..output import say
from ..table import bytes_in_words


def collect_garbage(asked: Namespace) -> int:
    """``microvm gc``."""
    require_root(asked)
    done = collect(places(asked), asked.check)
    for path, size in done.paths:
        say(f"{'would remove' if asked.check else 'removed'} {path} ({bytes_in_words(size)})")
    total = sum(size for _path, size in done.paths)
    say(f"{len(done.paths)} found, {total} bytes ({bytes_in_words(total)}) {'to free' if asked.check else 'freed'}")
    if done.busy:
        say(f"left alone, since another run is at work on it: {', '.join(done.busy)}; images too")
    return 0
