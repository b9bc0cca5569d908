# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records are read as they were written, also by a newer and an older collection."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record, Records

RECORD = Record(
    "web", "/s", (Generation(1, "a"), Generation(4, "b", bad=True)), "microvm-web", ("/d",), ("v.img",), tags=("eu",)
)


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "vms"))
    assert records.names() == []
    assert records.read("web") is None
    records.write(RECORD)
    assert records.read("web") == RECORD
    assert records.names() == ["web"]
    records.remove("web")
    assert records.names() == []


def test_unknown_fields_of_a_record_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "web.json").write_text(json.dumps({"name": "web", "state_directory": "/s", "later": 1}))
    assert Records(str(tmp_path)).read("web") == Record("web", "/s")


def test_generations_can_be_marked_and_repeated() -> None:
    assert RECORD.is_bad("b")
    assert not RECORD.is_bad("a")
    assert not RECORD.marked("b", False).is_bad("b")
    assert RECORD.with_generation("c").generations[-1] == Generation(5, "c")
    assert [one.number for one in RECORD.with_generation("a").generations] == [4, 5]
