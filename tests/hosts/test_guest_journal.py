# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of a real guest on its host, by the declaration and the commands that docs/shares.md shows."""

from __future__ import annotations

import json
import re

import yaml

from .host import ROOT, Host
from .hypervisors import image

PAGE = (ROOT / "docs" / "shares.md").read_text(encoding="utf-8").partition("## Journals of guests")[2]
LINE = "Reached target multi-user.target"
"""Part of what systemd says in the guest when it has started."""


def shown(language: str, number: int = 0) -> str:
    """Return a block of the page."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return blocks[number]


def test_the_journal_of_a_guest_is_read_on_its_host(host: Host) -> None:
    [declared] = yaml.safe_load(shown("yaml"))
    boot = {"image": image.provide(host).path, "accel": "tcg", "mem": 512, "ready": {"check": "none"}}
    # A guest that is emulated on a busy machine.
    boot["kernel_params"] = ["quiet", "mitigations=off", "systemd.default_device_timeout_sec=600"]
    host.send("/root", {"journal.json": json.dumps([{**declared, **boot}])})
    host.microvm("apply /root/journal.json")
    directory, link, merge = (
        shown("console").replace("# ", "", 1).replace("--follow", "--no-pager --output cat").strip(),
        " && ".join(re.findall("# (mkdir.*|ln.*)", shown("console", 1))),
        f"{re.findall('# (journalctl.*)', shown('console', 1))[0]} --no-pager --output cat",
    )
    host.wait_for("journal of the guest", lambda: host.run(f"{directory} 2>&1 || true"), lambda seen: LINE in seen, 150)
    kernel = "_TRANSPORT=kernel --grep 'Kernel command line: .*quiet mitigations=off'"
    assert "quiet mitigations=off" not in host.run(f"{merge} {kernel} || true")
    host.run(link)
    assert "quiet mitigations=off" in host.run(f"{merge} {kernel}")
    host.run("find /var/log/journal -type l -delete")
