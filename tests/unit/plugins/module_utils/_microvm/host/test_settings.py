# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of a host, which modules and the command take from one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.main import main
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.host_setup.parse import (
    parse_host_setup,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import (
    HOST_SETTINGS,
    IMAGE_STORE,
    STATE_DIRECTORY,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import settings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record, Records
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.files import files


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    """Path of the settings that role host writes for a state directory."""
    path = tmp_path / "host.json"
    setup = parse_host_setup({"state_dir": "/srv/guests", "image_store": "/srv/images"})
    path.write_text(files(setup)[HOST_SETTINGS].content)
    return str(path)


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Records:
    """Records of a host without MicroVMs."""
    fake = Records(str(tmp_path / "records"))
    monkeypatch.setattr(settings, "Records", lambda: fake)
    return fake


def test_directories_are_those_that_the_role_has_recorded(recorded: str) -> None:
    assert settings.directories(recorded) == {"state_dir": "/srv/guests", "image_store": "/srv/images"}


@pytest.mark.parametrize("content", [None, "{}", json.dumps({"later": 7})])
def test_without_settings_directories_are_the_default_ones(tmp_path: Path, content: Optional[str]) -> None:
    path = tmp_path / "none"
    if content is not None:
        path.write_text(content)
    assert settings.directories(str(path)) == {"state_dir": STATE_DIRECTORY, "image_store": IMAGE_STORE}


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"state_dir": 7})])
def test_damaged_settings_are_an_error_that_names_the_remedy(tmp_path: Path, content: str) -> None:
    path = tmp_path / "host.json"
    path.write_text(content)
    with pytest.raises(HostError, match=r"host.json.*run the role microvm.fleet.host"):
        settings.directories(str(path))


@pytest.mark.parametrize("given", [None, "/srv/guests"])
@pytest.mark.parametrize("is_predicted", [False, True])
def test_the_state_directory_is_that_of_the_host(recorded: str, given: Optional[str], is_predicted: bool) -> None:
    assert settings.state_directory("state_dir", given, is_predicted, recorded) == "/srv/guests"


@pytest.mark.parametrize("given", [None, "/data/vms"])
def test_a_host_that_is_not_prepared_has_the_given_state_directory(tmp_path: Path, given: Optional[str]) -> None:
    path = str(tmp_path / "none")
    assert settings.state_directory("state_dir", given, path=path) == (given or STATE_DIRECTORY)


def test_another_state_directory_is_refused(recorded: str) -> None:
    with pytest.raises(HostError, match=r"^state_dir: .* is /srv/guests, not /data/vms; .*Leave state_dir out"):
        settings.state_directory("state_dir", "/data/vms", path=recorded)


def test_a_prediction_accepts_another_state_directory_only_while_there_are_no_microvms(
    recorded: str, records: Records
) -> None:
    assert settings.state_directory("state_dir", "/data/vms", True, recorded) == "/data/vms"
    records.write(Record("web", "/srv/guests", (Generation(1, "a-web"),)))
    with pytest.raises(HostError, match="not /data/vms"):
        settings.state_directory("state_dir", "/data/vms", True, recorded)


def test_the_command_works_where_the_host_has_its_microvms(
    recorded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: Any = settings.state_directory
    monkeypatch.setattr(settings, "state_directory", lambda option, given: read(option, given, path=recorded))
    assert main(["list"]) == 0
    assert "there are no MicroVMs in /srv/guests" in capsys.readouterr().out
    assert main(["list", "--state-dir", "/data/vms"]) == 1
    assert "--state-dir: the state directory of this host is /srv/guests" in capsys.readouterr().err
