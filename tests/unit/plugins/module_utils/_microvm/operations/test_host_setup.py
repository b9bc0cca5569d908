# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Setup of a host as the module asks for it: what check mode shows is what is done, and is shown with its files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.huge_pages import pages_file
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import settings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record, Records
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import host_setup
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import Handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup import handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.handlers import (
    HANDLERS,
    HostJob,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.observe import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.plan import Action
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..resources.host_setup.host import Host

UNIT = f"{names.UNIT_DIRECTORY}/{names.unit_name('')}"


class Workshop:
    """A fake host, and a log of what its handlers have done."""

    def __init__(self, root: Path) -> None:
        self.host = Host(root)
        self.log: list[str] = []
        self.failing: Action | None = None

    def handlers(self) -> Handlers[HostJob, Action]:
        """The table of handlers, each with a line in the log."""
        return Handlers(Action, {action: self._logged(action) for action in Action})

    def _logged(self, action: Action) -> Callable[[HostJob, str], None]:
        def handle(job: HostJob, target: str) -> None:
            if action is self.failing:
                raise HostError("it is broken")
            HANDLERS.single[action](job, target)
            self.log.append(f"{action.words} {target}")

        return handle


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workshop:
    """A fake host instead of this one."""

    @contextlib.contextmanager
    def locked(_names: Sequence[str]) -> Iterator[None]:
        fake.log.append("lock")
        yield

    fake = Workshop(tmp_path)
    fake.host.install(monkeypatch)
    monkeypatch.setattr(host_setup, "HANDLERS", fake.handlers())
    monkeypatch.setattr(host_setup, "observe", lambda wanted: observe(wanted, str(tmp_path)))
    monkeypatch.setattr(host_setup, "HostJob", lambda plan: HostJob(plan, str(tmp_path)))
    monkeypatch.setattr(host_setup, "Records", lambda: Records(str(tmp_path / "records")))
    monkeypatch.setattr(host_setup, "locked", locked)
    monkeypatch.setattr(settings, "read_settings", lambda: None)
    return fake


@pytest.mark.parametrize("present", [True, False])
def test_a_run_does_the_steps_that_check_mode_shows(workshop: Workshop, present: bool) -> None:
    if not present:
        host_setup.set_up_host({"ksm": True}, present=True, check_mode=False)
        workshop.log.clear()
    shown = host_setup.set_up_host({}, present, check_mode=True)
    assert workshop.log == []
    assert host_setup.set_up_host({}, present, check_mode=False) == shown
    assert workshop.log == ["lock", *shown["actions"]]
    assert shown["changed"]
    assert not host_setup.set_up_host({}, present, check_mode=False)["changed"]


def test_huge_pages_that_the_kernel_does_not_find_again_are_no_change(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pages_file("2M")
    workshop.host.write(path, "0\n")
    monkeypatch.setattr(handlers, "_write_number", lambda _job, path, _number: workshop.host.write(path, "250\n"))
    wanted = {"huge_pages": [{"size": "2M", "count": 300}]}
    first = host_setup.set_up_host(wanted, present=True, check_mode=False)
    assert f"set huge pages aside by {path}" in first["actions"]
    second = host_setup.set_up_host(wanted, present=True, check_mode=False)
    assert (second["changed"], second["actions"], second["diff"]) == (False, [], [])
    assert second["missing"] == first["missing"] and "only 250 of 300 huge pages" in second["missing"][0]


def test_the_setup_stays_while_microvms_are_installed(workshop: Workshop, tmp_path: Path) -> None:
    host_setup.set_up_host({}, present=True, check_mode=False)
    records = Records(str(tmp_path / "records"))
    records.write(Record("web", "/s", (Generation(1, "a-web"),)))
    # A removal that keeps volumes leaves a record without generations.
    records.write(Record("gone", "/s", volumes=("data.img",)))
    workshop.log.clear()
    with pytest.raises(HostError, match="still installed on this host: web; remove them first"):
        host_setup.set_up_host({}, present=False, check_mode=False)
    assert workshop.log == ["lock"]
    # In check mode, the task before has not removed it.
    assert host_setup.set_up_host({}, present=False, check_mode=True)["changed"]
    records.remove("web")
    assert host_setup.set_up_host({}, present=False, check_mode=False)["changed"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_the_state_directory_stays_while_microvms_are_installed(
    workshop: Workshop, tmp_path: Path, check_mode: bool
) -> None:
    moved = {"state_dir": "/srv/vms"}
    records = Records(str(tmp_path / "records"))
    for name in ("web", "db"):
        records.write(Record(name, names.STATE_DIRECTORY, (Generation(1, f"a-{name}"),)))
    records.write(Record("there", "/srv/vms", (Generation(1, "a-there"),)))
    with pytest.raises(HostError, match=f"installed in {names.STATE_DIRECTORY}: db, web; set microvm_state_dir"):
        host_setup.set_up_host(moved, present=True, check_mode=check_mode)
    assert [line for line in workshop.log if line != "lock"] == []
    records.remove("web")
    # What a removal has kept stays where it is.
    records.write(Record("db", names.STATE_DIRECTORY, volumes=("data.img",)))
    assert host_setup.set_up_host(moved, present=True, check_mode=check_mode)["changed"]


def test_a_state_directory_that_is_not_given_stays(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = {"state_dir": "/srv/vms", "image_store": "/srv/images"}
    monkeypatch.setattr(settings, "read_settings", lambda: recorded)
    for raw in ({}, {"state_dir": None}):
        host_setup.set_up_host(raw, present=True, check_mode=False)
        assert "/srv/vms/%i/" in workshop.host.path(UNIT).read_text()
        assert names.STATE_DIRECTORY not in workshop.host.path(UNIT).read_text()
    # Images are at the setting of role `images`, which always says it.
    assert names.IMAGE_STORE in workshop.host.path(names.HOST_SETTINGS).read_text()
    host_setup.set_up_host({"state_dir": "/srv/others"}, present=True, check_mode=False)
    assert "/srv/others/%i/" in workshop.host.path(UNIT).read_text()


def test_the_diff_has_files_with_their_owners_and_the_other_steps(workshop: Workshop) -> None:
    host_setup.set_up_host({}, present=True, check_mode=False)
    workshop.host.path(UNIT).chmod(0o600)
    workshop.host.write(names.BOOT_SETTINGS, "BOOT_PARALLEL=1\n")
    settings, unit, steps = sorted(
        host_setup.set_up_host({}, present=True, check_mode=True)["diff"], key=lambda entry: entry["after_header"]
    )[0:3]
    assert settings["before"] == "BOOT_PARALLEL=1\n" and "BOOT_PARALLEL=4\n" in settings["after"]
    assert unit["before_header"] == f"{UNIT} (root:root 0600)" and unit["after_header"] == f"{UNIT} (root:root 0644)"
    assert unit["before"] == unit["after"]
    assert steps["after"] == "systemctl daemon-reload for the units of MicroVMs\n"


def test_a_diff_in_short_lists_files_that_are_the_same_on_all_hosts(workshop: Workshop) -> None:
    full = host_setup.set_up_host({"boot_parallel": 7}, present=True, check_mode=True)["diff"]
    short = host_setup.in_short(full)
    (listed,) = (diff for diff in short if diff["after_header"] == "files of the collection")
    assert f"create {UNIT} (root:root 0644)\n" in listed["after"] and "[Service]" not in str(short)
    (settings,) = (diff for diff in short if diff["after_header"].startswith(names.BOOT_SETTINGS))
    assert "BOOT_PARALLEL=7\n" in settings["after"]
    assert sum(diff["after"].count("\n") for diff in short) < 80
    host_setup.set_up_host({}, present=True, check_mode=False)
    workshop.host.write(UNIT, "[Unit]\n")
    (listed, *_others) = host_setup.in_short(host_setup.set_up_host({}, present=True, check_mode=True)["diff"])
    assert listed["after"] == f"change {UNIT} (root:root 0644)\n"


def test_check_mode_does_not_miss_what_an_earlier_task_may_bring(workshop: Workshop) -> None:
    raw = {"nix": True, "nix_trusted_users": ["deploy"]}
    predicted, actual = (host_setup.set_up_host(raw, present=True, check_mode=mode) for mode in (True, False))
    missing = [problem for problem in actual["missing"] if problem not in predicted["missing"]]
    assert len(missing) == 2 and "Nix is not installed" in missing[0] and "deploy" in missing[1]


def test_an_error_ends_the_run_and_the_next_completes_it(workshop: Workshop) -> None:
    workshop.failing = Action.ENABLE
    with pytest.raises(HostError, match="it is broken"):
        host_setup.set_up_host({}, present=True, check_mode=False)
    assert not workshop.host.active
    workshop.failing = None
    host_setup.set_up_host({}, present=True, check_mode=False)
    assert workshop.host.active


@pytest.mark.parametrize(
    ("options", "path"),
    [({"boot_parallel": -1}, "boot_parallel"), ({"state_dir": "relative"}, "state_dir"), ({"merge": True}, "merge")],
)
def test_wrong_settings_are_refused_with_their_path(options: dict[str, object], path: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        host_setup.set_up_host(options, present=True, check_mode=True)
    assert refusal.value.path == path
