# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of what packages record, and that it can be read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import PACKAGE_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.compaction import compact, complete
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import Option

from ..examples import FULL, SMALL, parse


@pytest.mark.parametrize(
    "raw",
    [
        SMALL,
        FULL,
        {**SMALL, "socket": None, "virtiofsd": {"group": None, "inode_file_handles": None}},
        {**SMALL, "qemu": {"machine_opts": {}}, "balloon": True, "deflate_on_oom": False, "mem": 1024},
        {**SMALL, "shares": [{"tag": "a", "source": "/a", "proto": "virtiofs", "posix_acl": False}]},
    ],
)
def test_a_record_is_the_whole_declaration(raw: dict[str, Any]) -> None:
    declaration: Mapping[str, object] = parse(raw)[0]
    read = complete(PACKAGE_OPTIONS, compact(PACKAGE_OPTIONS, declaration))
    assert read == {option.name: declaration[option.name] for option in PACKAGE_OPTIONS}


def test_a_new_option_that_nobody_uses_changes_no_record() -> None:
    declaration = parse(FULL)[0]
    more = (*PACKAGE_OPTIONS, Option("watchdog", "bool", "New.", default=False))
    assert compact(more, {**declaration, "watchdog": False}) == compact(PACKAGE_OPTIONS, declaration)


def test_a_record_of_another_version_is_read() -> None:
    assert complete(PACKAGE_OPTIONS, {"name": "a", "from_tomorrow": 1})["vsock"] == {
        "cid": None,
        "ssh": {"enable": False},
    }
