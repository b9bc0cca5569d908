# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of hosts: what differs between them, with one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from . import container, vm
from .paths import Host


class Base(Protocol):
    """What hosts of one kind and one suite are started from, complete in the cache."""

    @property
    def name(self) -> str:
        """Name that no other base has."""

    def files(self, host: Host) -> dict[str, str]:
        """Return the host's own files, by their paths below the root, that this kind needs besides those of all."""

    def command(self, host: Host) -> list[str | Path]:
        """Return the command that becomes the host's supervisor; its standard input is the bed's lock.

        It runs in the bed's network, and joins the host's control group before it lets go of the lock. When the host
        runs, all processes are in the groups ``supervisor`` and ``payload`` below; SIGTERM to the first ends the host.
        """


KINDS: Mapping[str, Callable[[str], Base]] = {"container": container.ensure, "vm": vm.ensure}
"""Functions that return the base of a suite, built first if need be, by the name of the kind."""
