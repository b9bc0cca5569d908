# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What packages say of the system of their guests, and of the share by which a guest sees it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.switches import (
    needs_restart,
    shares_store,
    system_of,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.package import File

SYSTEM = "/nix/store/aaa-nixos-system-web-25.05"


def package(run: str = "", system: str = SYSTEM, **shared: str) -> dict[str, File]:
    """Return the files of a package; keywords are files in ``share/microvm`` with underscores for slashes."""
    files = {"bin/microvm-run": File(run.encode(), executable=True)}
    files.update({f"share/microvm/{name.replace('_', '/')}": File(text.encode()) for name, text in shared.items()})
    return {**files, "share/microvm/system": File(system.encode(), is_link=True)}


def test_the_system_is_where_the_link_of_the_package_leads_in_nix_s_store() -> None:
    assert system_of(package()) == SYSTEM
    assert system_of(package(system="/root/system")) is None
    assert system_of({}) is None
    assert system_of({"share/microvm/system": File(SYSTEM.encode())}) is None


@pytest.mark.parametrize(
    ("files", "shares"),
    [
        (package(virtiofs_store_source="/nix/store\n"), True),
        (package(virtiofs_store_source="/nix/store/sub\n"), False),
        (package(virtiofs_data_source="/srv\n"), False),
        (package("qemu -fsdev local,id=fs0,path=/nix/store,security_model=none"), True),
        (package("qemu -fsdev local,id=fs0,path=/nix/store/aaa-x,security_model=none"), False),
        (package(**{"declaration.json": json.dumps({"shares": [{"tag": "s", "source": "/nix/store"}]})}), True),
        (package("path=/nix/store,", **{"declaration.json": json.dumps({"shares": [{"source": "/srv"}]})}), False),
        (package(**{"declaration.json": json.dumps({"name": "web"})}), False),
        (package(**{"declaration.json": "{"}), False),
        (package(**{"declaration.json": "[1]"}), False),
    ],
)
def test_a_share_of_the_store_is_found_in_each_kind_of_package(files: dict[str, File], shares: bool) -> None:
    assert shares_store(files) is shares


def test_packages_that_differ_in_their_systems_alone_need_no_restart() -> None:
    script = "/nix/store/ppp-pre-start.sh\n/nix/store/qqq-qemu-10.0/bin/qemu -m 512 -kernel /nix/store/kkk-linux-6.12/k"
    of_system = " -append 'console=ttyS0 init={}/init regInfo=/nix/store/{}-closure-info/registration'"
    before = package(script + of_system.format(SYSTEM, "rrr"))
    other = "/nix/store/bbb-nixos-system-web-25.11"
    after = package(script + of_system.format(other, "sss"), other)
    assert not needs_restart(before, after)
    # Also a build of the same version is another one.
    for old, new in (("512", "1024"), ("qqq", "xxx"), ("ppp", "xxx"), ("kkk", "xxx"), ("6.12", "6.13")):
        assert needs_restart(before, package(script.replace(old, new) + of_system.format(other, "sss"), other)), old
    assert needs_restart(before, {**after, "share/microvm/tap-interfaces": File(b"vm-web\n")})
