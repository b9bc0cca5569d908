# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts to ask about permissions before anything is changed."""

from __future__ import annotations

from typing import Optional

from ....declaration.accounts import Account, account
from ....declaration.identity import account_name
from ....declaration.vms.parse import Declaration
from ....host import accounts
from ..state import Observed


def owner(declaration: Declaration, before: Optional[Observed]) -> Account:
    """Return the account that runs a MicroVM; before a rename, the former one, which is about to get the new name.

    ``before`` is the MicroVM as the host has it, under its former name if it is to be renamed.
    """
    own = account(declaration)
    if before is None or before.name == declaration["name"] or not own.is_own or accounts.exists(own.user):
        return own
    former = account_name(before.name)
    return Account(former, former) if before.group == former else own
