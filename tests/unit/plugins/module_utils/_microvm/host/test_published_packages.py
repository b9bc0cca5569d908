# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages of a build service: a real HTTP server, and Nix itself with signed binary caches."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.published_packages import (
    PublishedPackage,
    fetch_package,
    latest_package,
    parse_build,
    signature_errors,
)

from ..build_service import BuildService, build_service
from ..real_nix import OWN_SYSTEM, RealNix, real_nix, runner

__all__ = ["build_service", "real_nix"]

URL = "https://ci.example.com/latest"
PATH = f"/nix/store/{'a' * 32}-microvm-web"


@pytest.mark.parametrize(
    ("build", "package"),
    [
        (
            {"finished": 1, "buildstatus": 0, "system": "x86_64-linux", "buildoutputs": {"out": {"path": PATH}}},
            PublishedPackage(PATH, "x86_64-linux"),
        ),
        ({"path": PATH}, PublishedPackage(PATH)),
    ],
)
def test_a_build_names_its_package(build: object, package: PublishedPackage) -> None:
    assert parse_build(URL, json.dumps(build).encode()) == package


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>", "is no JSON object"),
        (b"[]", "is no JSON object"),
        (b"[" * 100_000, "is no JSON object"),
        (b'{"path": "/etc/passwd"}', "names no path in /nix/store/"),
        (b'{"path": "/nix/store/../../etc"}', "names no path in /nix/store/"),
        (json.dumps({"path": f"{PATH}/../b"}).encode(), "names no path in /nix/store/"),
        (json.dumps({"buildoutputs": {"out": 1}}).encode(), "names no path in /nix/store/"),
        (json.dumps({"finished": 0, "path": PATH}).encode(), "has not finished"),
        (json.dumps({"finished": 1, "buildstatus": 1, "path": PATH}).encode(), "has failed"),
    ],
)
def test_other_answers_are_refused(content: bytes, words: str) -> None:
    with pytest.raises(HostError, match=words):
        parse_build(URL, content)


def test_the_answer_is_read_from_the_service(build_service: BuildService) -> None:
    build_service.publish("web", PATH)
    assert latest_package(build_service.url("web")) == PublishedPackage(PATH, OWN_SYSTEM)
    with pytest.raises(HostError, match=r"cannot be read: .*[Nn]ot found"):
        latest_package(build_service.url("db"))
    url = build_service.url("web")
    build_service.stop()
    with pytest.raises(HostError, match=r"cannot be read: .*refused"):
        latest_package(url)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="nothing makes a certificate")
def test_a_service_that_the_host_does_not_trust_is_refused_with_the_way_out(
    build_service: BuildService, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_service.publish("web", PATH)
    monkeypatch.setenv("no_proxy", "*")
    certificate = build_service.serve_by_tls()
    url = build_service.url("web")
    with pytest.raises(HostError, match=r"CERTIFICATE_VERIFY_FAILED.* install the package `ca-certificates`"):
        latest_package(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert latest_package(url) == PublishedPackage(PATH, OWN_SYSTEM)
    # A certificate of another host is not the fault of this one.
    with pytest.raises(HostError, match="CERTIFICATE_VERIFY_FAILED") as error:
        latest_package(url.replace("127.0.0.1", "localhost"))
    assert "ca-certificates" not in str(error.value)


@pytest.mark.parametrize("url", ["https://a..b/latest", "https://[::1/latest", "http://127.0.0.1:1/\N{SNOWMAN}"])
def test_a_url_that_cannot_be_one_is_an_error_of_its_own(url: str) -> None:
    with pytest.raises(HostError) as error:
        latest_package(url)
    assert str(error.value).startswith(f"{url} cannot be read: ")


def test_a_signed_package_is_copied_from_a_cache(
    real_nix: RealNix, build_service: BuildService, tmp_path: Path
) -> None:
    path = build_service.build(real_nix, "one", "team-1")
    assert not nix.is_valid(path)
    with pytest.raises(HostError, match="microvm_nix_trusted_keys"):
        fetch_package(path, build_service.key("other-1"))
    assert not nix.is_valid(path)
    link = str(tmp_path / "roots" / os.path.basename(path))
    fetch_package(path, build_service.key("team-1"), link)
    assert nix.is_valid(path) and os.readlink(link) == path
    assert signature_errors([path], build_service.key("team-1")) == {}
    error = signature_errors([path], build_service.key("other-1"))[path]
    assert "is not signed by `runner_key` (other-1)" in error
    # Of several, those that lack it are named.
    other = build_service.build(real_nix, "two", "other-1")
    fetch_package(other, build_service.key("other-1"))
    assert list(signature_errors([path, other], build_service.key("team-1"))) == [other]


def test_a_package_of_a_cache_without_signatures_is_refused(real_nix: RealNix, build_service: BuildService) -> None:
    path = build_service.build(real_nix, "one", None)
    with pytest.raises(HostError):
        fetch_package(path, build_service.key("team-1"))
    assert not nix.is_valid(path)
    # Not even if somebody has copied it before.
    subprocess.run(
        ["nix", *nix.FEATURES, "copy", "--no-check-sigs", "--from", build_service.cache, path],
        check=True,
        capture_output=True,
    )
    assert "is not signed" in signature_errors([path], build_service.key("team-1"))[path]


def test_what_is_addressed_by_its_content_counts_as_unsigned(
    real_nix: RealNix, build_service: BuildService, tmp_path: Path
) -> None:
    (tmp_path / "added").mkdir()
    added = ["nix-store", "--add", str(tmp_path / "added")]
    path = subprocess.run(added, check=True, capture_output=True, text=True).stdout.strip()
    assert "addressed by its content" in signature_errors([path], build_service.key("team-1"))[path]


def test_a_package_that_was_built_on_the_host_counts_as_unsigned(
    real_nix: RealNix, build_service: BuildService
) -> None:
    built = ["nix-build", "--no-out-link", "--expr", runner("web")]
    path = subprocess.run(built, check=True, capture_output=True, text=True).stdout.strip()
    assert "is not signed" in signature_errors([path], build_service.key("team-1"))[path]


def test_a_package_that_comes_to_a_cache_later_is_found_there(
    real_nix: RealNix, build_service: BuildService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIX_CONFIG", f"{os.environ['NIX_CONFIG']}\nsubstituters = {build_service.remote_cache}\n")
    path, key = build_service.build(real_nix, "one", "team-1"), build_service.key("team-1")
    [description] = [entry for entry in build_service.cached() if entry.stem == os.path.basename(path)[:32]]
    hidden = description.rename(description.with_suffix(".later"))
    # Of an error of one MicroVM, often the first line alone is shown.
    with pytest.raises(HostError, match=r"^/\S+ cannot be copied: a binary cache of the host \(.*\) must have it\n"):
        fetch_package(path, key)
    hidden.rename(description)
    fetch_package(path, key)
    assert nix.is_valid(path)
