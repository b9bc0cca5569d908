# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of QEMU's machine protocol that readiness needs (QEMU's manual, interop/qmp-spec)."""

from __future__ import annotations

import json

from . import unix


def status(path: str, timeout: float = 2.0) -> str:
    """Return what the hypervisor reports of its guest: ``running``, ``paused``, ``internal-error``.

    Raises OSError when it does not answer.
    """
    with unix.connect(path, timeout) as connection:
        stream = connection.makefile("rw", encoding="utf-8")
        stream.readline()
        for command in ("qmp_capabilities", "query-status"):
            stream.write(json.dumps({"execute": command}) + "\n")
        stream.flush()
        for line in stream:
            answer = json.loads(line)
            if isinstance(answer.get("return"), dict) and "status" in answer["return"]:
                return str(answer["return"]["status"])
    raise ConnectionError("the hypervisor closed its control socket")
