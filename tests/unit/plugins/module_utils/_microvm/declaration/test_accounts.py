# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of accounts: what a host takes, and no two MicroVMs' the same."""

from __future__ import annotations

import re

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import SHARED, account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.identity import account_name

from ..examples import SMALL, parse

NAMES = ("web", "Web", "web.1", "web-1", "a" * 23, "a" * 24, "a" * 62 + "b", "a" * 63, "9", "x_y")


@pytest.mark.parametrize("name", NAMES)
def test_systemd_sysusers_takes_it(name: str) -> None:
    assert re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", account_name(name))


def test_account_names_are_unique() -> None:
    assert len({account_name(name) for name in NAMES}) == len(NAMES)
    assert account_name("web") == "microvm-web"


def test_microvms_have_a_user_of_their_own_unless_they_share_one() -> None:
    own = account(parse({**SMALL, "name": "web"})[0])
    assert (own.user, own.group, own.is_own) == ("microvm-web", "microvm-web", True)
    assert account(parse({**SMALL, "isolation": "shared"})[0]) == SHARED
    assert not SHARED.is_own
