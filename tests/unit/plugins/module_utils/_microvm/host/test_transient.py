# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of systemd-run for scripts of packages and for programs that are declared."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands.run import transient_unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import transient
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.capture import Captured
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.transient import run_confined, run_script

SETTINGS = [
    ("Type", "exec"),
    ("User", "microvm"),
    ("User", "microvm-web"),
    ("WorkingDirectory", "/srv/web"),
    ("ExecStart", "/bin/start"),
    ("ExecPaths", "/srv"),
    ("Restart", "on-failure"),
    ("RestrictRealtime", "yes"),
    ("LoadCredential", "key:/root/key"),
    ("SetCredential", "word:secret"),
    ("StandardOutput", "file:/root/out"),
    ("TimeoutStopSec", "150"),
    ("DeviceAllow", "/dev/kvm rw"),
    ("MemoryMax", "8G"),
    ("CapabilityBoundingSet", "CAP_SYS_ADMIN"),
]


class FakeSystemd:
    """What was run, and how it ends."""

    def __init__(self, outcome: Captured) -> None:
        self.outcome = outcome
        self.argv: list[str] = []
        self.stopped: list[str] = []

    def capture(self, argv: Sequence[str], _seconds: float, _limit: int, _until: bytes) -> Captured:
        """Stand for systemd-run."""
        self.argv = list(argv)
        return self.outcome

    def run(self, argv: Sequence[str], timeout: float) -> str:
        """Stand for systemctl."""
        self.stopped.append(argv[-1])
        return ""

    @property
    def properties(self) -> list[str]:
        """Properties of the unit, in their order."""
        return [self.argv[index + 1] for index, option in enumerate(self.argv) if option == "--property"]


def fake(
    monkeypatch: pytest.MonkeyPatch, status: int | None = 0, output: bytes = b"", errors: bytes = b""
) -> FakeSystemd:
    """Return a systemd whose programs end so."""
    systemd = FakeSystemd(Captured(status, output, errors, len(output) > 1000))
    monkeypatch.setattr(transient, "capture", systemd.capture)
    monkeypatch.setattr(transient, "run", systemd.run)
    monkeypatch.setattr(transient, "service_settings", lambda _unit, _name: SETTINGS)
    return systemd


def test_a_script_has_the_sandbox_of_the_service_and_nothing_that_is_the_hypervisor_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    systemd = fake(monkeypatch, output=b"done\n")
    assert run_script("web", ["/srv/booted/bin/microvm-balloon", "$HOME"]) == "done"
    assert systemd.argv[-3:] == ["--", "/srv/booted/bin/microvm-balloon", "$$HOME"]
    keys = [line.partition("=")[0] for line in systemd.properties]
    assert {"User", "WorkingDirectory", "RestrictRealtime", "ExecPaths"} <= set(keys)
    assert not set(keys) & {"Type", "ExecStart", "Restart", "LoadCredential", "SetCredential", "StandardOutput"}
    last = dict(line.split("=", 1) for line in systemd.properties)
    assert last["User"] == "microvm-web" and last["MemoryMax"] == "64M" and last["KillMode"] == "control-group"
    assert last["CapabilityBoundingSet"] == last["DeviceAllow"] == ""
    assert last["Requisite"] == last["StopPropagatedFrom"] == "microvm@web.service"
    assert systemd.stopped == []


@pytest.mark.parametrize(
    ("status", "output", "errors", "message"),
    [
        (None, b"", b"", "not ended within 15 s"),
        (None, b"x" * 2000, b"", "prints more than"),
        (1, b"", b"\x1b[2Jno balloon\n", r"failed: \\x1b\[2Jno balloon"),
        (3, b"", b"", "failed: exit status 3"),
    ],
)
def test_a_script_that_fails_is_explained_and_ended(
    monkeypatch: pytest.MonkeyPatch, status: int | None, output: bytes, errors: bytes, message: str
) -> None:
    systemd = fake(monkeypatch, status, output, errors)
    with pytest.raises(HostError, match=message):
        run_script("web", ["/x/microvm-balloon", "1"])
    assert bool(systemd.stopped) == (status is None)


def test_a_sandbox_that_cannot_be_made_is_no_answer_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, 226, b"", b"")
    with pytest.raises(HostError, match="cannot make the sandbox of /bin/qemu"):
        run_confined("accelerator", ["/bin/qemu"], 5)
    fake(monkeypatch, 1, b"no KVM")
    assert run_confined("accelerator", ["/bin/qemu"], 5).text == "no KVM"


def test_the_foreground_has_all_settings_but_those_of_the_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch)
    words = transient_unit("web")
    assert "LoadCredential=key:/root/key" in words and "MemoryMax=8G" in words
    assert not any(word.startswith(("Type=", "ExecStart=", "Restart=")) for word in words)
