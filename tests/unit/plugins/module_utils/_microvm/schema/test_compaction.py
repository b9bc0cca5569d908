# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What packages record, and that it can be read back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import PACKAGE_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.checks import mebibytes
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.compaction import compact, complete
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import Option

from ..examples import FULL, SMALL, parse

SIZES = ("mem", "hotplug_mem", "initial_balloon_mem")


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
    declaration = parse(raw)[0]
    read = complete(PACKAGE_OPTIONS, compact(PACKAGE_OPTIONS, declaration))
    read.update({key: mebibytes(read[key]) for key in SIZES})
    expected = {option.name: declaration[option.name] for option in PACKAGE_OPTIONS}
    groups = ("credential_files", "bin_scripts")
    assert {**read, **{key: read[key] or {} for key in groups}} == listed(expected)


def listed(value: Any) -> Any:
    """Lists that nobody has written are none or empty, which is the same."""
    if isinstance(value, dict):
        lists = {"extra_args", "pcie_root_ports", "platform_oem_strings", "mkfs_extra_args"}
        lists |= {"store_disk_erofs_flags", "store_disk_squashfs_flags", "kernel_params", "dns", "addresses"}
        return {key: (inner or []) if key in lists else listed(inner) for key, inner in value.items()}
    return [listed(element) for element in value] if isinstance(value, list) else value


def test_a_new_option_that_nobody_uses_changes_no_record() -> None:
    declaration = parse(FULL)[0]
    more = (*PACKAGE_OPTIONS, Option("watchdog", "bool", "New.", default=False))
    assert compact(more, {**declaration, "watchdog": False}) == compact(PACKAGE_OPTIONS, declaration)


def test_a_record_of_another_version_is_read() -> None:
    assert complete(PACKAGE_OPTIONS, {"name": "a", "from_tomorrow": 1})["vsock"] == {
        "cid": None,
        "ssh": {"enable": False},
    }
