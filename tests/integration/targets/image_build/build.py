# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a small guest image in the store that is given, and says where."""

from __future__ import annotations

import os
import sys

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.images.build import build
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.images.declaration import digest, parse_image

store, kind = sys.argv[1:]
declaration = parse_image({"name": "probe", "store_disk_type": kind})
build(declaration, store, "/var/cache/microvm-fleet/archives")
print(os.path.join(store, digest(declaration)))
