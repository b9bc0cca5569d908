# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One examination for all hypervisors: a table of cells, run through the product's own road on a real host.

`CONTRIBUTING.md` describes how it is run. The collection's code is imported as from a checkout, without Ansible.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_CODE = str(ROOT / "plugins" / "module_utils")

if _CODE not in sys.path:
    sys.path.append(_CODE)
