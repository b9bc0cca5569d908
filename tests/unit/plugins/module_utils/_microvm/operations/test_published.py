# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs that are declared by a build of a build service: all but the host is real."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.restrictions.parse import (
    parse_restrictions,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.declared_fleet import COMPARED
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_inventory import RELEVANT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import roll_back
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..build_service import BuildService, build_service
from ..examples import parse
from ..fake_host import FakeHost
from ..real_nix import RealNix, real_nix

__all__ = ["build_service", "real_nix"]

ROOT = Path(__file__).resolve().parents[6]
SIGNER = "team-1"


class Pipeline:
    """A build service whose job ``web`` is declared as a MicroVM of the host."""

    def __init__(self, service: BuildService, store: RealNix) -> None:
        self._service, self._store = service, store

    def publish(self, mark: str, signer: str | None = SIGNER, **fields: object) -> str:
        """Build another package, and return its path."""
        path = self._service.build(self._store, mark, signer)
        self._service.publish("web", path, **fields)
        return path

    def run(self, check: bool = False, signer: str = SIGNER, **request: Any) -> VmsResult:
        """Bring the host to its declared state."""
        vm = {"name": "web", "runner": self._service.url("web"), "runner_key": self._service.key(signer)}
        return reconcile(Request(vms=[vm], state_dir="/unused", check_mode=check, **request))


@pytest.fixture
def pipeline(
    host: FakeHost, real_nix: RealNix, build_service: BuildService, monkeypatch: pytest.MonkeyPatch
) -> Pipeline:
    """A pipeline whose packages a host with Nix runs."""
    monkeypatch.setattr(nix, "store_program", lambda: nix.find_program("nix-store"))
    return Pipeline(build_service, real_nix)


def current(host: FakeHost) -> str:
    """Return the package that the next start runs."""
    return os.readlink(host.places.state("web", "current"))


def test_the_latest_build_is_copied_and_started_and_then_left_as_it_is(host: FakeHost, pipeline: Pipeline) -> None:
    path = pipeline.publish("one")
    shown = pipeline.run(check=True)
    assert not nix.is_valid(path) and not os.path.exists(host.places.state("web"))
    assert "is another package, which is not copied yet" in shown["diff"][0]["after"]
    actual = pipeline.run()
    [result], [predicted] = actual["vms"], shown["vms"]
    assert not result["failed"], result["msg"]
    assert result["package"] == predicted["package"] == path == current(host)
    assert result["actions"] == predicted["actions"] and result["actions"][0].startswith("copy the package of http://")
    assert nix.kept_packages("web") == [path]
    assert not pipeline.run()["changed"] and not pipeline.run(check=True)["changed"]
    # Check mode copies on request alone, and lets Nix collect what it has copied.
    pipeline.publish("two")
    assert "file: bin/microvm-run" in pipeline.run(check=True, check_builds=True)["diff"][0]["after"]
    assert nix.kept_packages("web") == [path] and current(host) == path


def test_the_play_of_the_documentation_does_so(host: FakeHost, pipeline: Pipeline, build_service: BuildService) -> None:
    path = pipeline.publish("one")
    section = (ROOT / "docs/nix.md").read_text().partition("## From a pipeline\n")[2]
    [play] = yaml.safe_load(section.partition("```yml\n")[2].partition("```")[0])
    declared = play["tasks"][0]["microvm.fleet.microvm_vm"]
    assert declared["runner"].endswith("/web/latest") and declared["runner_key"].startswith(f"{SIGNER}:")
    here = {"runner": build_service.url("web"), "runner_key": build_service.key(SIGNER)}
    [result] = reconcile(Request(vms=[{**declared, **here}], state_dir="/unused"))["vms"]
    assert not result["failed"] and result["package"] == path


def test_a_newer_build_is_another_generation_and_a_restart(host: FakeHost, pipeline: Pipeline) -> None:
    first = pipeline.publish("one")
    pipeline.run()
    second = pipeline.publish("two")
    assert pipeline.run(check=True)["vms"][0]["consequence"] == "restart"
    [result] = pipeline.run()["vms"]
    assert (result["consequence"], result["generation"], result["package"]) == ("restart", 2, second)
    assert os.readlink(host.places.state("web", "booted")) == second and nix.is_valid(first)
    roll_back("web", None, False, False, False, host.places)
    [refused] = pipeline.run()["vms"]
    assert refused["refused_package"] == second and current(host) == first


def test_a_run_is_about_one_build(host: FakeHost, pipeline: Pipeline) -> None:
    first = pipeline.publish("one")
    preflight = pipeline.run(preflight=True)
    assert not nix.is_valid(first)
    pipeline.publish("two")
    assert pipeline.run(built=preflight["evaluations"])["vms"][0]["package"] == first == current(host)


def test_a_build_without_the_signature_is_not_installed(host: FakeHost, pipeline: Pipeline) -> None:
    first = pipeline.publish("one")
    pipeline.run()
    for signer in ("other-1", None):
        path = pipeline.publish(f"by-{signer}", signer)
        [result] = pipeline.run()["vms"]
        first_line = str(result["msg"]).partition("\n")[0]
        assert result["failed"] and "is signed neither by a key of `microvm_nix_trusted_keys` nor" in first_line
        assert current(host) == first and not nix.is_valid(path)
    assert nix.kept_packages("web") == [first]
    # Neither is what the host has already, and another key has signed.
    pipeline.publish("three")
    pipeline.run()
    with pytest.raises(DeclarationError, match=r"is not signed by `runner_key` \(other-1\)"):
        pipeline.run(check=True, signer="other-1")


def test_what_cannot_be_is_refused_before_anything_is_changed(
    host: FakeHost, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeclarationError, match=r"cannot be read: .*[Nn]ot found"):
        pipeline.run(preflight=True)
    pipeline.publish("one", system="riscv64-linux")
    with pytest.raises(DeclarationError, match="it is built for riscv64-linux"):
        pipeline.run(preflight=True)
    pipeline.publish("two")
    limits = parse_restrictions({"enable": True})
    with pytest.raises(DeclarationError, match="external_packages"):
        pipeline.run(preflight=True, restrictions=limits)
    monkeypatch.setattr(nix, "store_program", lambda: None)
    with pytest.raises(DeclarationError, match="Nix is not installed on this host; set `microvm_nix: true`"):
        pipeline.run(preflight=True)
    # The same run installs it before.
    assert pipeline.run(check=True, nix=True)["vms"][0]["consequence"] == "start"
    assert not os.path.exists(host.places.state("web"))


KEY = f"team-1:{'A' * 43}="
URL = "https://ci.example.com/job/vms/main/web/latest"


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({"runner": URL.replace("https", "http")}, "runner", "is read without TLS"),
        ({"runner": URL.replace("//", "//me:pa55@")}, "runner", "contains a user, password or token"),
        ({"runner": f"{URL}?private_token=pa55"}, "runner", "contains a user, password or token"),
        ({"runner": f"{URL}/\N{SNOWMAN}"}, "runner", "other characters than those of ASCII"),
        ({"runner": "https:///a"}, "runner", "is not a URL of a build"),
        ({"runner": "ftp://ci.example.com/a"}, "runner", "is not an absolute path"),
        ({"runner": "/srv/package", "runner_key": KEY}, "runner_key", "is the URL of a build service"),
        ({"kernel": "/k", "runner_key": KEY}, "runner_key", "is the URL of a build service"),
        ({"runner": URL, "runner_key": "team-1"}, "runner_key", "is not a public key of Nix"),
    ],
)
def test_wrong_declarations_are_refused(options: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as refusal:
        parse({"name": "web", **options})
    assert refusal.value.path.endswith(path) and "pa55" not in str(refusal.value)


def test_what_compares_declarations_knows_the_key() -> None:
    # Without it, they would refuse what the modules take.
    assert {"runner", "runner_key"} <= set(COMPARED) & set(RELEVANT)
