# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build a small guest image in a store, and print its path."""

from __future__ import annotations

import platform
import sys

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import ImageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.images import reconcile_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.digest import digest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.state import State, Wanted

directory, kind = sys.argv[1:]
store = ImageStore(directory)
declaration = parse_image({"name": "probe", "store_disk_type": kind}, platform.machine())
wanted = Wanted(digest(declaration), State.BUILT, declaration=declaration, cache="/var/cache/microvm-fleet/archives")
reconcile_image(wanted, store, check_mode=False)
print(store.path(wanted.digest))
