# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a prepared host: units, scripts, settings."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.files import (
    files,
    script_files,
    unit_files,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.state import (
    prepared,
    unprepared,
)

from .host import setup


def test_there_is_a_unit_for_each_name() -> None:
    units = {names.unit_name(""), *(f"{helper}@.service" for helper in names.HELPERS), names.TARGET}
    assert set(unit_files(names.STATE_DIRECTORY)) == units


def test_units_have_the_names_of_the_modules() -> None:
    unit = unit_files("/srv/microvms")[names.unit_name("")]
    assert f"User={names.USER}\nGroup={names.GROUP}\n" in unit
    assert f"WantedBy={names.TARGET}\n" in unit
    assert f"EnvironmentFile=-{names.SETTINGS_DIRECTORY}/%i.env\n" in unit
    assert f"RuntimeDirectory={Path(names.CONSOLE_DIRECTORY).name}/%i\n" in unit
    assert f"WorkingDirectory=/srv/microvms/%i/{names.WORK_DIRECTORY}\n" in unit
    helpers = " ".join(f"{helper}@%i.service" for helper in names.HELPERS)
    assert f"Requires={helpers}\n" in unit and f"After={helpers}\n" in unit


def test_units_run_only_scripts_that_are_installed() -> None:
    commands = [
        word.lstrip("+-")
        for unit in unit_files(names.STATE_DIRECTORY).values()
        for line in unit.splitlines()
        if line.startswith("Exec")
        for word in [line.partition("=")[2].split()[0]]
    ]
    scripts = {f"{names.SCRIPT_DIRECTORY}/{name}" for name in script_files(names.STATE_DIRECTORY)}
    assert {command for command in commands if not command.startswith(("/bin/", "+/bin/"))} <= scripts


@pytest.mark.parametrize("name", script_files(names.STATE_DIRECTORY))
def test_scripts_are_bash(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.write_text(script_files(names.STATE_DIRECTORY)[name])
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "--severity=warning", str(script)], check=True)


def test_settings_of_the_boot_queue() -> None:
    content = files(setup(boot_parallel=2, boot_settle=0))[names.BOOT_SETTINGS].content
    assert content.endswith("\nBOOT_PARALLEL=2\nBOOT_SETTLE=0\n")


def test_only_scripts_are_executable() -> None:
    for path, file in files(setup(ksm=True)).items():
        assert file.mode == (0o755 if path.startswith(names.SCRIPT_DIRECTORY) else 0o644)
        assert file.content.endswith("\n")


def test_restrictions_are_a_file_of_root_alone_and_stay_unless_they_are_ended() -> None:
    given = setup(restrictions={"path_prefixes": ["/srv/team"]})
    file = files(given)[names.RESTRICTIONS]
    assert file.mode == 0o600
    assert json.loads(file.content) == given["restrictions"]
    assert names.RESTRICTIONS not in prepared(given).removed
    kept, ended = setup(), setup(restrictions={"enable": False})
    assert names.RESTRICTIONS not in files(kept) and names.RESTRICTIONS not in prepared(kept).removed
    assert names.RESTRICTIONS not in files(ended) and names.RESTRICTIONS in prepared(ended).removed
    assert names.RESTRICTIONS in unprepared(kept).removed
