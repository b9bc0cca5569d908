# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of an image's kernel that are off, of those that MicroVMs may need: read from it, or known before."""

from __future__ import annotations

import re
from typing import List, Optional, Sequence, Tuple

from ...declaration.images.parse import ImageDeclaration
from ...hypervisors.kernel_needs import SETTINGS

_KNOWN = (
    (r"linux-image-(cloud-)?amd64", "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES"),
    (r"linux-image-cloud-(amd64|arm64)", "CONFIG_NET_9P_VIRTIO"),
)
"""Settings that Debian's kernels are built without, by the packages that depend on the newest of them."""


def switched_off(configuration: str, settings: Sequence[str] = SETTINGS) -> Tuple[str, ...]:
    """Return those settings that are neither built in nor modules by a kernel's ``.config``."""
    on = set(re.findall(r"^(CONFIG_\w+)=[ym]$", configuration, re.MULTILINE))
    return tuple(setting for setting in settings if setting not in on)


def lacking(declaration: ImageDeclaration, recorded: Optional[Sequence[str]]) -> List[str]:
    """Return the settings that the kernel of an image is known to lack.

    ``recorded`` is what its manifest says; ``None`` for an image that is not yet built, or by an earlier version.
    """
    if recorded is not None:
        return list(recorded)
    return [setting for pattern, setting in _KNOWN if re.fullmatch(pattern, declaration["kernel_package"])]
