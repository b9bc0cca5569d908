# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A build service: an HTTP server that names the latest build of each job, and a binary cache with signatures."""

from __future__ import annotations

import functools
import http.server
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix

from .real_nix import OWN_SYSTEM, RealNix, remove_garbage, runner


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_words: object) -> None:
        """Write nothing."""


class BuildService:
    """The service, whose files are in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._scheme = "http"
        handler = functools.partial(_Quiet, directory=str(directory / "jobs"))
        (directory / "jobs").mkdir(parents=True)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def cache(self) -> str:
        """Return the URL of the binary cache."""
        return f"file://{self._directory}/jobs/cache"

    @property
    def remote_cache(self) -> str:
        """Return the URL of the binary cache for those who are elsewhere."""
        return self.url("cache")

    def url(self, job: str) -> str:
        """Return where the latest build of a job is described."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/{job}"

    def serve_by_tls(self) -> Path:
        """Let the service have a certificate from now on that it has signed itself, and return its file."""
        certificate, key = self._directory / "own.crt", self._directory / "own.key"
        words = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=service -addext subjectAltName=IP:127.0.0.1"
        )
        subprocess.run([*words.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https"
        return certificate

    def publish(self, job: str, path: str, **fields: object) -> None:
        """Describe the latest build of a job."""
        build = {
            "finished": 1,
            "buildstatus": 0,
            "system": OWN_SYSTEM,
            "buildoutputs": {"out": {"path": path}},
        }
        (self._directory / "jobs" / job).write_text(json.dumps({**build, **fields}))

    def cached(self) -> list[Path]:
        """Return the descriptions of paths that the cache has."""
        return sorted((self._directory / "jobs" / "cache").glob("*.narinfo"))

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def key(self, name: str) -> str:
        """Return the public key of a name, which is made for its first use."""
        public = self._directory / f"{name}.pub"
        if not public.exists():
            command = ["nix-store", "--generate-binary-cache-key", name, f"{self._directory}/{name}.sec", str(public)]
            subprocess.run(command, check=True, capture_output=True)
        return public.read_text().strip()

    def build(self, real_nix: RealNix, mark: str, signer: str | None) -> str:
        """Return the path of a package that the cache has, signed or not, and that the store has no longer."""
        # What is added to a store without a build is addressed by its content, and needs no signature.
        built = ["nix-build", "--no-out-link", "--expr", runner("web", mark)]
        path = subprocess.run(built, check=True, capture_output=True, text=True).stdout.strip()
        cache = self.cache
        if signer is not None:
            self.key(signer)
            cache += f"?secret-key={self._directory}/{signer}.sec"
        subprocess.run(["nix", *nix.FEATURES, "copy", "--to", cache, path], check=True, capture_output=True)
        remove_garbage("nix-store", "--delete", path)
        assert real_nix.store.exists() and not os.path.exists(path)
        return path


@pytest.fixture
def build_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BuildService]:
    """A build service whose cache the host knows, and none of whose keys it trusts."""
    service = BuildService(tmp_path / "service")
    monkeypatch.setenv(
        "NIX_CONFIG", f"{os.environ.get('NIX_CONFIG', '')}\nsubstituters = {service.cache}\nsandbox = false\n"
    )
    yield service
    service.stop()
