# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers of automatic starts, which systemd forgets."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import restarts, systemd

SHOWN = "Id=microvm@db.service\nActiveState=active\nNRestarts={number}\n\nId=ssh.service\nNRestarts=1\n"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of the numbers."""
    monkeypatch.setattr(restarts, "RESTART_DIRECTORY", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("systemd_s", "counted", "shown"), [("0", "3\n", "3"), ("5", "2\n", "5"), ("1", None, "1"), ("0", "evil", "0")]
)
def test_a_unit_has_the_greater_number(
    directory: Path, monkeypatch: pytest.MonkeyPatch, systemd_s: str, counted: str | None, shown: str
) -> None:
    if counted is not None:
        (directory / "db").write_text(counted)
    monkeypatch.setattr(systemd, "ask", lambda _argv: SHOWN.format(number=systemd_s))
    units = systemd.show(["microvm@db.service", "ssh.service"])
    assert (units["microvm@db.service"].restarts, units["ssh.service"].restarts) == (shown, "1")


def test_a_start_by_somebody_begins_anew(directory: Path) -> None:
    for name in ("db", "web"):
        (directory / name).write_text("7\n")
    restarts.forget(
        ["microvm@db.service", "microvm-virtiofsd@web.service", "microvm@none.service", "microvm@../x.service"]
    )
    assert restarts.count("microvm@db.service") == 0 and restarts.count("microvm@web.service") == 7
