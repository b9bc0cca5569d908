# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest image of the examination: built on this machine by the collection, kept by its digest, sent to the host."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from _microvm.declaration.images.parse import parse_image
from _microvm.declaration.names import IMAGE_STORE
from _microvm.host.image_store import ImageStore, build_cache
from _microvm.operations.images import reconcile_image
from _microvm.resources.images.digest import digest
from _microvm.resources.images.state import State, Wanted

from ..host import Host

ASKED = "examination: the guest was asked to end"
"""Line on the console of a guest that ends gracefully."""

FLUSHED = "/data/ended"
"""File that a guest writes, and does not flush, when it ends gracefully."""

MARKER = f"""\
[Unit]
RequiresMountsFor=/data
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/rm -f {FLUSHED}
ExecStop=/bin/sh -c 'echo gracefully > {FLUSHED}; echo "{ASKED}" > /dev/console'
[Install]
WantedBy=multi-user.target
"""

IMAGE = {
    "name": "examination",
    "files": [{"path": "/etc/systemd/system/examination.service", "content": MARKER}],
    "commands": ["systemctl enable examination.service"],
}


@dataclass(frozen=True)
class GuestImage:
    """Image on a host."""

    path: str
    description: str
    """Suite and kernel."""


def build() -> tuple[Path, GuestImage]:
    """Build the image unless the cache of images has it. Returns where it is here, and what it is on hosts."""
    store = ImageStore(f"{build_cache()}/images")
    declaration = parse_image(IMAGE, platform.machine())
    wanted = Wanted(digest(declaration), State.BUILT, declaration=declaration, cache=f"{build_cache()}/archives")
    reconcile_image(wanted, store, check_mode=False)
    manifest = store.manifest(wanted.digest)
    assert manifest is not None
    kernel = f"{manifest.suite}, Linux {manifest.kernel_version}"
    return Path(store.path(wanted.digest)), GuestImage(f"{IMAGE_STORE}/{wanted.digest}", kernel)


def provide(host: Host) -> GuestImage:
    """Bring the image to a host that lacks it."""
    source, image = build()
    if host.run(f"test -e {image.path}/manifest.json && echo there || true") == "":
        staging = f"{image.path}.partial"
        host.send(staging, {path.name: path.read_bytes() for path in source.iterdir()})
        host.run(f"rm -rf {image.path} && mv {staging} {image.path}")
    return image
