# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees of others are removed whatever they contain."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import files


@pytest.mark.parametrize("depth", [10, 3000])
def test_a_tree_of_any_depth_is_removed_and_no_link_in_it_followed(tmp_path: Path, depth: int) -> None:
    (tmp_path / "kept").mkdir()
    tree = tmp_path / "tree"
    tree.mkdir()
    directory = os.open(tree, os.O_RDONLY)
    for _level in range(depth):
        os.symlink(tmp_path / "kept", "link", dir_fd=directory)
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)
    files.remove(str(tree))
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("path", ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/hostname", "/proc/version"])
def test_files_of_the_kernel_are_read(path: str) -> None:
    assert files.read_text(path) == Path(path).read_text()
