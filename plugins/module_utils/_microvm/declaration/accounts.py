# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts that run MicroVMs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from .identity import account_name
from .names import GROUP, USER
from .types import PackagedVm


@dataclass(frozen=True)
class Account:
    """User of the host and its group."""

    user: str
    group: str

    @property
    def is_own(self) -> bool:
        """Return whether the account is one MicroVM's alone."""
        return self != SHARED


SHARED = Account(USER, GROUP)

ROOT = Account("root", "root")

ROOT_NAMES = ("root", "0")
"""What declarations call root."""

NO_SHELL = "/usr/sbin/nologin"


@dataclass(frozen=True)
class User:
    """A user of the host as passwd(5) has it."""

    group: str
    home: str
    shell: str = NO_SHELL
    other_groups: Tuple[str, ...] = ()
    """Groups that it is in besides, of those that matter here."""


def account(declaration: PackagedVm) -> Account:
    """Return the account of a MicroVM's hypervisor."""
    if declaration["isolation"] == "shared":
        return SHARED
    name = account_name(declaration["name"])
    return Account(name, name)
