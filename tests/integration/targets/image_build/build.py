# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a small guest image in the store that is given, and says where."""

from __future__ import annotations

import os
import platform
import sys

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.build import build
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.digest import digest

store, kind = sys.argv[1:]
declaration = parse_image({"name": "probe", "store_disk_type": kind}, platform.machine())
build(declaration, store, "/var/cache/microvm-fleet/archives")
print(os.path.join(store, digest(declaration)))
