# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm-run`` creates directories in the working directory, and none elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ...examples import SMALL, parse


def script(**options: Any) -> str:
    """Return the script of a MicroVM with these options."""
    (declaration,) = parse({**SMALL, **options})
    return render(declaration, HostFacts(accel="kvm")).files["bin/microvm-run"].content.decode()


def created(**options: Any) -> list[str]:
    """Return the lines that create directories."""
    return [line for line in script(**options).splitlines() if line.startswith("mkdir ")]


@pytest.mark.parametrize(
    ("options", "directories"),
    [
        ({"volumes": [{"image": "disks/a.img", "size": 1}, {"image": "b c/d/e.img", "size": 1}]}, "'b c/d' disks"),
        ({"volumes": [{"image": "disks/a.img", "auto_create": False}]}, ""),
        ({"volumes": [{"image": "./a.img", "size": 1}, {"image": "/srv/x/b.img", "size": 1}]}, ""),
        ({"shares": [{"tag": "a", "source": "shared/a"}, {"tag": "b", "source": "/srv/b"}]}, "shared/a"),
        ({"shares": [{"tag": "a", "source": "shared/a", "proto": "virtiofs"}]}, ""),
        ({"socket": "control/qmp.sock"}, "control"),
        ({"socket": "/run/qmp.sock"}, ""),
        ({"hypervisor": "cloud-hypervisor", "socket": "a/b/api"}, "a/b"),
        ({}, ""),
    ],
)
def test_directories_of_relative_paths_are_created(options: dict[str, Any], directories: str) -> None:
    assert created(**options) == ([f"mkdir -p -- {directories}"] if directories else [])


def test_a_directory_that_9p_shares_is_created_with_its_mode(tmp_path: Path) -> None:
    shares = [{"tag": "a", "source": "shared/a", "source_mode": "0700"}, {"tag": "b", "source": "shared/b"}]
    lines = created(shares=[*shares, {"tag": "c", "source": "c", "source_mode": "0700"}])
    (tmp_path / "c").mkdir(0o711)
    subprocess.run(["bash", "-euc", "\n".join(["umask 022", *lines])], cwd=tmp_path, check=True)
    modes = {path: (tmp_path / path).stat().st_mode & 0o777 for path in ("shared", "shared/a", "shared/b", "c")}
    assert modes == {"shared": 0o755, "shared/a": 0o700, "shared/b": 0o755, "c": 0o711}


def test_images_are_created_in_directories_of_any_name(tmp_path: Path) -> None:
    text = script(volumes=[{"image": "a b/$HOME/a.img", "size": 1}], socket=None).partition("record_process()")[0]
    subprocess.run(["bash", "-euc", text], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "a b/$HOME/a.img").stat().st_size == 1 << 20
