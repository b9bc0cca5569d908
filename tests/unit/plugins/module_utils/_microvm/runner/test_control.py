# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of requests to hypervisors with an HTTP API. They need KVM, so a fake server replaces them."""

from __future__ import annotations

import http.server
import json
import socketserver
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ..examples import SMALL, parse

SOCKET = "my 'api' $socket"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Keeps connections open, as Cloud Hypervisor and Firecracker do, unless it is told to close them."""

    daemon_threads = True
    status = 204
    closes = False
    asked: list[tuple[str, str, Any]]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        assert isinstance(self.server, Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        if self.server.closes:
            self.send_header("Connection", "close")
        self.end_headers()

    do_PUT = do_PATCH = answer

    def log_message(self, *_arguments: Any) -> None:
        """Keep silent."""


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    # The address of a Unix socket has no port, which the handler only logs.
    with Server(str(tmp_path / SOCKET), Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def script(hypervisor: str, name: str) -> str:
    options = {**SMALL, "hypervisor": hypervisor, "socket": SOCKET, "balloon": True, "mem": 512}
    return render(parse(options)[0], HostFacts()).files[f"bin/{name}"].content.decode()


def balloon(hypervisor: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    text = script(hypervisor, "microvm-balloon")
    # On a busy machine, an answer may take longer than that of a hypervisor. The end of the connection ends the wait.
    patient = text.replace("socat -t 1 ", "socat -t 60 ")
    assert patient != text
    command = ["bash", "-c", patient, "microvm-balloon", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    ("hypervisor", "asked"),
    [
        ("cloud-hypervisor", ("PUT", "/api/v1/vm.resize", {"desired_balloon": 128 * 1024 * 1024})),
        ("firecracker", ("PATCH", "/balloon", {"amount_mib": 128})),
    ],
)
def test_a_balloon_gets_its_size(hypervisor: str, asked: Any, server: Server, tmp_path: Path) -> None:
    server.closes = True
    assert balloon(hypervisor, tmp_path, "0128").returncode == 0
    assert server.asked == [asked]
    server.status = 400
    refused = balloon(hypervisor, tmp_path, "128")
    assert refused.returncode == 1 and "400" in refused.stderr


@pytest.mark.parametrize("size", ["512", "-1", "1G", "", "$(touch x)"])
def test_invalid_balloon_sizes_are_refused(size: str, server: Server, tmp_path: Path) -> None:
    assert balloon("firecracker", tmp_path, size).returncode == 2
    assert server.asked == [] and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("hypervisor", "asked"),
    [
        ("cloud-hypervisor", ("PUT", "/api/v1/vm.power-button", None)),
        ("firecracker", ("PUT", "/actions", {"action_type": "SendCtrlAltDel"})),
    ],
)
def test_a_guest_is_asked_to_end_until_it_has(hypervisor: str, asked: Any, server: Server, tmp_path: Path) -> None:
    run = script(hypervisor, "microvm-run")
    with subprocess.Popen(["bash", "-c", run[: run.rindex("\nexec ")] + "\nexec sleep 600"], cwd=tmp_path) as process:
        # The socket is the server's, which microvm-run has taken for a stale one.
        recorded = tmp_path / "microvm.pid"
        while not recorded.exists() or not recorded.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        with Server(str(tmp_path / SOCKET), Handler) as other:
            other.asked = []
            threading.Thread(target=other.serve_forever, daemon=True).start()
            stop = subprocess.Popen(["bash", "-c", script(hypervisor, "microvm-shutdown")], cwd=tmp_path)
            try:
                while not other.asked:
                    assert stop.poll() is None
                    time.sleep(0.05)
                process.kill()
                assert stop.wait(60) == 0
            finally:
                stop.kill()
                process.kill()
                other.shutdown()
            assert other.asked[0] == asked
