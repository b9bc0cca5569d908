# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of a release: its pages lead to nothing that only a checkout has, and it can be used as they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from .test_pages import broken_links

ROOT = Path(__file__).resolve().parents[3]
GALAXY = str(Path(sys.executable).parent / "ansible-galaxy")


@pytest.fixture(scope="module", name="release")
def _release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with the content of the file that ``ansible-galaxy collection build`` makes."""
    directory = tmp_path_factory.mktemp("release")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    command = [GALAXY, "collection", "build", str(ROOT), "--output-path", str(directory)]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=120)
    (file,) = directory.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(directory / "content", filter="data")
    return directory / "content"


def test_links_lead_to_files_of_the_release(release: Path) -> None:
    pages = sorted(release.rglob("*.md"))
    assert {"README.md", "CONTRIBUTING.md", "docs/variables.md"} <= {str(page.relative_to(release)) for page in pages}
    assert {str(page.relative_to(release)): broken_links(page) for page in pages if broken_links(page)} == {}


def test_the_release_has_no_tools_and_tests_and_says_where_they_are(release: Path) -> None:
    entries = {path.name for path in release.iterdir()}
    assert {"plugins", "roles", "playbooks", "docs", "README.md", "COPYING"} <= entries
    assert entries.isdisjoint({"tests", "tools", "demo", "bench", "extensions", "Makefile", ".venv", ".tree"})
    project = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    readme = (release / "README.md").read_text()
    assert f"git clone {project['repository']}" in readme
    assert all(project[key].startswith("https://") for key in ("repository", "homepage", "documentation", "issues"))


def test_what_the_readme_copies_is_in_the_release(release: Path) -> None:
    copied = re.findall(r"cp -r \S*/microvm/fleet/(\S+) ", (release / "README.md").read_text())
    assert copied == ["docs/examples/first-fleet"]
    assert (release / copied[0] / "hosts.yml").is_file()


def test_every_role_has_its_variables_and_an_example() -> None:
    for role in sorted((ROOT / "roles").iterdir()):
        readme = (role / "README.md").read_text()
        variables = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
        assert [name for name in variables if f"| `{name}` |" not in readme] == [], role.name
        example = re.search(r"^## Example\n.*?```yml\n(.*?)```", readme, re.DOTALL | re.MULTILINE)
        assert example is not None, role.name
        (play,) = yaml.safe_load(example[1])
        (used,) = play["roles"]
        assert used["role"] == f"microvm.fleet.{role.name}"
        assert set(used["vars"]) <= {*variables, "microvm_vms"}, role.name


INTERNAL = {"microvm_role", "microvm_move_source", "microvm_move_target"}
"""Variable of a loop, and groups of the hosts of a move."""


def test_the_page_of_variables_has_all_that_playbooks_and_roles_read() -> None:
    page = (ROOT / "docs/variables.md").read_text()
    files = [*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/vars/**/*.yml")]
    used = {name for path in files for name in re.findall(r"(?<![\w.])microvm_[a-z_]+[a-z]\b(?!:)", path.read_text())}
    assert {"microvm_hosts", "microvm_move_to", "microvm_state_dir"} <= used
    assert sorted(name for name in used - INTERNAL if f"`{name}`" not in page) == []
