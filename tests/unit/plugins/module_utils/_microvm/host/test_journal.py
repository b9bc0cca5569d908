# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words that explain why a unit has failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import unit_names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import journal, lost_shares
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.capture import Captured
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import explain

SERVICE, HELPER, NETWORKD = "microvm@db.service", "microvm-macvtap-interfaces@db.service", "systemd-networkd.service"
PRIORITIES = ("err", "warning", "notice", "info", "debug")
DEPENDENCY = "`systemctl start -- microvm@db.service` failed: A dependency job for microvm@db.service failed.\nSee …"

Line = tuple[str, str, str]
"""Unit, priority and text of a line; that of a unit with a `*` is systemd's about it."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A host: ``failed``, its failed units, and ``lines``, its journal."""
    state: dict[str, Any] = {"failed": {}, "lines": []}

    def ask(argv: Sequence[str]) -> str:
        names = argv[argv.index("--") + 1 :]
        return "\n\n".join(
            f"Id={name}\nActiveState={'failed' if name in state['failed'] else 'inactive'}\n"
            f"Result={state['failed'].get(name, 'success')}\nInvocationID=start-of-{name}"
            for name in names
        )

    def capture(argv: Sequence[str], _seconds: float) -> Captured:
        unit = next(word for word in argv if word.startswith("_SYSTEMD_INVOCATION_ID=")).partition("start-of-")[2]
        limit = PRIORITIES.index(argv[argv.index("--priority") + 1])
        shown = (unit, f"{unit}*") if "+" in argv else (unit,)
        lines = [text for of, priority, text in state["lines"] if of in shown and PRIORITIES.index(priority) <= limit]
        count = int(argv[argv.index("--lines") + 1])
        assert "--reverse" in argv
        return Captured(0, "\n".join(reversed(lines[-count:])).encode(), b"", False)

    monkeypatch.setattr(journal, "ask", ask)
    monkeypatch.setattr(journal, "capture", capture)
    return state


CASES: dict[str, tuple[dict[str, str], list[Line], str, list[str]]] = {
    "a helper's own words": (
        {HELPER: "exit-code"},
        [
            (HELPER, "info", "looking for eth9"),
            (HELPER, "info", "eth9 does not exist\x1b[2J"),
            (f"{HELPER}*", "warning", "Failed with result 'exit-code'."),
            (SERVICE, "debug", "login:"),
        ],
        DEPENDENCY,
        [
            f"{HELPER}, which {SERVICE} needs, has failed (exit-code): eth9 does not exist\\x1b[2J",
            "Last lines of its journal:",
            "looking for eth9",
        ],
    ),
    "a helper that could not be executed": (
        {HELPER: "resources"},
        [(f"{HELPER}*", "err", "Failed to set up mount namespacing"), (f"{HELPER}*", "info", "Starting")],
        DEPENDENCY,
        [f"{HELPER}, which {SERVICE} needs, has failed (resources): Failed to set up mount namespacing"],
    ),
    "the hypervisor's own line is first, and no line is there twice": (
        {SERVICE: "exit-code"},
        [
            (SERVICE, "debug", "Booting"),
            (SERVICE, "warning", "vmm: cannot lock data.img"),
            (SERVICE, "debug", "BIOS"),
            (SERVICE, "info", "MicroVM db has crashed (status 1) and stays down"),
            (f"{SERVICE}*", "warning", "Failed with result 'exit-code'."),
        ],
        "microvm@db.service stopped before its guest was up (exit-code)",
        [
            "microvm@db.service stopped before its guest was up (exit-code): vmm: cannot lock data.img",
            "Last lines of its journal:",
            "Booting",
            "BIOS",
            "MicroVM db has crashed (status 1) and stays down",
            "Failed with result 'exit-code'.",
        ],
    ),
    "a guest alone": (
        {},
        [(SERVICE, "debug", "Kernel panic")],
        "the guest is not up after 7 s",
        ["the guest is not up after 7 s", "Last lines of its journal:", "Kernel panic"],
    ),
    "the guest's panic, however far from its end": (
        {},
        [
            (
                SERVICE,
                "debug",
                "[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            ),
            *((SERVICE, "debug", f"trace {number}") for number in range(60)),
            (SERVICE, "warning", "[2026-11-25T01:02:03.000000000+00:00 INFO  vmm] exiting with success"),
            (SERVICE, "info", "MicroVM db has powered off and stays down"),
        ],
        "microvm@db.service stopped before its guest was up",
        [
            "microvm@db.service stopped before its guest was up: "
            "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            "Last lines of its journal:",
            "[2026-11-25T01:02:03.000000000+00:00 INFO  vmm] exiting with success",
            *(f"trace {number}" for number in range(50, 60)),
            "MicroVM db has powered off and stays down",
        ],
    ),
    "a hypervisor that only logs its end": (
        {},
        [
            (SERVICE, "warning", "[2026-11-25T01:02:03.000000000+00:00 INFO  vmm] exiting with success"),
            (SERVICE, "info", "MicroVM db has powered off and stays down"),
        ],
        "microvm@db.service stopped before its guest was up",
        [
            "microvm@db.service stopped before its guest was up: MicroVM db has powered off and stays down",
            "Last lines of its journal:",
            "[2026-11-25T01:02:03.000000000+00:00 INFO  vmm] exiting with success",
        ],
    ),
    "nothing": ({}, [], "the guest is not up after 8 s", ["the guest is not up after 8 s"]),
}


@pytest.mark.parametrize(("failed", "lines", "problem", "said"), CASES.values(), ids=CASES.keys())
def test_the_most_telling_words_are_first(
    host: dict[str, Any], failed: dict[str, str], lines: list[Line], problem: str, said: list[str]
) -> None:
    host.update(failed=failed, lines=lines)
    assert str(explain(SERVICE, problem)).splitlines() == [*said, "More: microvm logs db"]


def test_every_helper_that_failed_is_named(host: dict[str, Any]) -> None:
    helpers = unit_names("db")[1:3]
    host["failed"] = dict.fromkeys(helpers, "timeout")
    text = str(explain(SERVICE, DEPENDENCY))
    assert [line.partition(",")[0] for line in text.splitlines()[:-1]] == list(helpers)


def test_units_of_others_have_no_helpers(host: dict[str, Any]) -> None:
    host.update(lines=[(NETWORKD, "warning", "no carrier")])
    assert str(explain(NETWORKD, "not up")).splitlines() == [
        "not up: no carrier",
        f"More: journalctl --unit {NETWORKD}",
    ]


def test_a_host_that_does_not_answer_leaves_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise HostError("no answer")

    monkeypatch.setattr(journal, "ask", fail)
    assert str(explain(SERVICE, "not up")).splitlines() == ["not up", "More: microvm logs db"]


def test_remarks_come_before_the_journal() -> None:
    error = HostError("not up: no disk\nLast lines of its journal:\nBIOS")
    assert str(journal.with_remark(error, "the package is damaged")).splitlines()[:2] == [
        "not up: no disk; the package is damaged",
        "Last lines of its journal:",
    ]
    assert str(journal.with_remark(HostError("not up"), "so what")) == "not up; so what"


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (f"start-of-{SERVICE}", "db is down: virtiofsd, which serves its shares, has ended (exit-code)"),
        ("an-earlier-start", "db is down: qemu: vhost-user write failed"),
    ],
)
def test_a_microvm_that_lost_its_shares_is_explained_by_their_daemons(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: str, first: str
) -> None:
    daemons = "microvm-virtiofsd@db.service"
    monkeypatch.setattr(lost_shares, "LOST_SHARES_DIRECTORY", str(tmp_path))
    (tmp_path / "db").write_text(f"{start} start-of-{daemons} exit-code\n")
    host["failed"] = {SERVICE: "exit-code"}
    host["lines"] = [
        (SERVICE, "warning", "qemu: vhost-user write failed"),
        (daemons, "info", "the virtiofsd of a.sock"),
    ]
    lines = str(explain(SERVICE, "db is down")).splitlines()
    assert lines[0] == first
    assert ("the virtiofsd of a.sock" in lines) == first.endswith("(exit-code)")
    assert "db is down" in str(explain(NETWORKD, "db is down"))


@pytest.mark.parametrize("content", ["", "start", "start daemons result more", "other daemons result"])
def test_a_note_of_something_else_is_no_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    monkeypatch.setattr(lost_shares, "LOST_SHARES_DIRECTORY", str(tmp_path))
    assert lost_shares.lost_shares("db", "start") is None
    (tmp_path / "db").write_text(content)
    assert lost_shares.lost_shares("db", "start") is None
    (tmp_path / "db").write_text("start daemons result")
    assert lost_shares.lost_shares("db", "start") == lost_shares.LostShares("daemons", "result")
