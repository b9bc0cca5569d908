# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is seen of a MicroVM on its host."""

from __future__ import annotations

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest_store import closure_name
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import closures
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.observe import observe_name
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ...examples import parse
from ...fake_host import FakeHost
from .model import FACTS

STORE_PATH = f"/nix/store/{'0' * 32}-tool"
SHARE = {"tag": "store", "source": "/nix/store", "mount_point": "/nix/.ro-store"}


def test_what_each_package_needs_of_the_kept_closures_is_seen(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = {"name": "web", "image": "/images/1", "shares": [SHARE]}
    packages = [
        render(parse({**guest, **declared})[0], FACTS) for declared in ({"store_paths": [STORE_PATH]}, {"mem": 777})
    ]
    for package in packages:
        host.places.store.install(package, 0)
    using, plain = (package.directory_name for package in packages)
    assert observe_name(host.places, "web").closures_of == {}
    kept = frozenset([closure_name([STORE_PATH]), "closure-of-an-older-one"])
    monkeypatch.setattr(closures, "kept_closures", lambda _name: kept)
    observed = observe_name(host.places, "web")
    assert observed.closures == kept and observed.closures_of == {
        using: frozenset([closure_name([STORE_PATH])]),
        plain: frozenset(),
    }
