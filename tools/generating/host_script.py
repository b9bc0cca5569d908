# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``roles/host/files/microvm-package``: runs a package's scripts, or does the same for a package that has none.

It has the very functions that packages have, so there is one way to make a tap.
"""

from __future__ import annotations

from pathlib import Path

from _microvm.declaration.names import BOOTED_LINK, CONSOLE_DIRECTORY, CURRENT_LINK, GROUP, USER
from _microvm.runner.scripts.shell import assignments

from .sources import body

FUNCTIONS = (
    "make_tap",
    "remove_tap",
    "make_macvtap",
    "remove_macvtap",
    "take_pci_device",
    "give_pci_device_back",
    "virtiofsd",
    "package_actions",
)
"""Scripts of packages that it is made of."""

HEADER = """\
#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the scripts of packages.

# What the units of a MicroVM do beside its hypervisor, in its state directory, for any runner package: the package's
# own script if it has one, else the same by its lists, as packages of microvm.nix had them before they had scripts.
# Usage: microvm-package ACTION NAME

set -euo pipefail

"""


def microvm_package(scripts: Path) -> str:
    """Return the script, of the functions that lie in ``scripts``."""
    names = assignments(
        user=USER, group=GROUP, current=CURRENT_LINK, booted=BOOTED_LINK, console_directory=CONSOLE_DIRECTORY
    )
    functions = "".join(body(scripts / f"{name}.bash") for name in FUNCTIONS)
    return f'{HEADER}{names}{functions}\nrun_action "$1" "$2"\n'
