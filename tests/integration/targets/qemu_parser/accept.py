# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start QEMU with the command line of each parity case and query its status."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import EVENTS_PIPE
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import Declaration, parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.versions import installed_version
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.registry import command
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.words import (
    CredentialFile,
    Part,
    Variable,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import runner_package

ROOT = Path(sys.argv[1])
sys.path.insert(0, str(ROOT / "tests" / "unit"))

from parity.compare import declaration  # noqa: E402 (the path to it is set first)

SECONDS = 90

# Options that a machine with nothing but QEMU cannot provide, and the reasons.
IMPOSSIBLE = {
    "devices": "needs the device",
    "hugepage_mem": "needs huge pages",
    "vsock": "needs /dev/vhost-vsock",
}


def reason_to_skip(vm: Declaration) -> str | None:
    """Return why this machine cannot start a MicroVM, or None."""
    for key, why in IMPOSSIBLE.items():
        value = vm[key]["cid"] if key == "vsock" else vm[key]
        if value and not (key == "vsock" and os.path.exists("/dev/vhost-vsock")):
            return why
    if vm["graphics"]["enable"]:
        return "needs a display"
    if vm["socket"] is None:
        return "has no socket to ask"
    if any(share["proto"] == "virtiofs" for share in vm["shares"]) and virtiofsd() is None:
        return "needs virtiofsd"
    if "virtio-keyboard-pci" in (vm["qemu"]["extra_args"] or []):
        return "its extra_args have a PCI device for a machine without PCI"
    if any(one["type"] in ("macvtap", "bridge") or one["tap"]["vhost"] for one in vm["interfaces"]):
        return "needs macvtap devices, QEMU's setuid helper or /dev/vhost-net"
    if any(volume["image"].startswith("/dev") for volume in vm["volumes"]):
        return "needs the block device"
    return None


def virtiofsd() -> list[str] | None:
    """Return the command of virtiofsd with the options of its version, or None; that of QEMU 7 has other options."""
    if os.path.exists("/usr/libexec/virtiofsd"):
        return ["/usr/libexec/virtiofsd", "--sandbox=none", "--shared-dir=."]
    if os.path.exists("/usr/lib/qemu/virtiofsd"):
        return ["/usr/lib/qemu/virtiofsd", "-o", "sandbox=chroot", "-o", "source=."]
    return None


def facts(case: dict[str, Any], vm: Declaration) -> HostFacts:
    """Return the facts of a host without KVM, with the QEMU of this machine."""
    architecture = case["system"].partition("-")[0]
    found = HostFacts(architecture, "tcg", "linux")
    version = installed_version(f"qemu-system-{found.guest(vm)}")
    return HostFacts(architecture, "tcg", "linux", {"qemu": version} if version else {})


def kernel() -> bytes:
    """Return a file that QEMU accepts as a kernel (Documentation/arch/x86/boot.rst of Linux); it is never run."""
    image = bytearray(65536)
    image[0x1F1] = 1  # sectors of its set-up code
    image[0x202:0x208] = b"HdrS\x0c\x02"  # magic number, protocol 2.12
    image[0x211] = 1  # loaded high
    image[0x22C:0x230] = b"\xff\xff\xff\x7f"  # highest address of the initial RAM disk
    return bytes(image)


def prepared(case: dict[str, Any], work: Path) -> tuple[Declaration, list[str]]:
    """Return the declaration with existing files, and its command line."""
    raw = {**declaration(case), "qemu": {**declaration(case).get("qemu", {}), "package": None}}
    for key in ("kernel", "initrd_path", "store_disk"):
        raw[key] = str(work / key)
        (work / key).write_bytes(b"\0" * 65536)
    (work / "kernel").write_bytes(kernel())
    for share in raw.get("shares", []):
        share["source"] = str(work / "share,d")
        Path(share["source"]).mkdir(exist_ok=True)
    raw["credential_files"] = {name: str(work / "kernel") for name in raw.get("credential_files", {})}
    raw["socket"] = None if raw.get("socket", "") is None else os.path.basename(raw.get("socket", "vm.sock"))
    vm = parse_vm(raw)
    built = command(vm, facts(case, vm))
    texts = {Variable.PACKAGE: str(work / "package"), Variable.TSC_PARAMETER: ""}
    argv = ["".join(text(part, texts) for part in word.parts) for word in built.argv]
    for end in ("in", "out"):
        os.mkfifo(work / f"{EVENTS_PIPE}.{end}")
    for volume in vm["volumes"]:
        path = work / volume["image"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * 1024 * 1024)
    for name, file in runner_package(vm, built, facts(case, vm)).files.items():
        if name in ("bin/tap-up", "bin/tap-down"):
            (work / os.path.basename(name)).write_text(as_root(file.content.decode()))
    return vm, argv


def text(part: Part, variables: Mapping[Variable, str]) -> str:
    """Return a part of an argument as the shell would expand it."""
    if isinstance(part, str):
        return part
    return part.path if isinstance(part, CredentialFile) else variables[part]  # type: ignore[index]


def as_root(script: str) -> str:
    """Return a tap script for a machine without the accounts of the role."""
    return re.sub(r"^((?:make|remove)_tap \S+) microvm\b", r"\1 root", script, flags=re.MULTILINE)


def answers(case: dict[str, Any]) -> str:
    """Return ``accepted``, or why the case was not tried. Raises AssertionError."""
    with tempfile.TemporaryDirectory(dir="/srv") as directory:
        work = Path(directory)
        vm, argv = prepared(case, work)
        why = reason_to_skip(vm)
        if why or shutil.which(argv[0]) is None:
            return why or f"{argv[0]} is not installed"
        with ExitStack() as stack:
            stack.enter_context(tap_devices(work))
            for share in vm["shares"]:
                if share["proto"] == "virtiofs":
                    stack.enter_context(daemon(share["socket"], work))
            process = stack.enter_context(running([*argv, "-S"], work))
            status = ask(process, str(work / vm["socket"]))
        assert status in ("prelaunch", "paused"), status
    return "accepted"


@contextmanager
def tap_devices(work: Path) -> Iterator[None]:
    """Create the taps of a MicroVM with the package's scripts, and remove them afterwards."""
    if not (work / "tap-up").exists():
        yield
        return
    subprocess.run(["bash", work / "tap-up"], check=True)
    try:
        yield
    finally:
        subprocess.run(["bash", work / "tap-down"], check=True)


@contextmanager
def running(argv: list[str], work: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with its output in a pipe, and kill it afterwards."""
    with subprocess.Popen(
        argv, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def daemon(path: str, work: Path) -> Iterator[None]:
    """Run virtiofsd and wait until it listens."""
    with running([*(virtiofsd() or []), f"--socket-path={work / path}"], work) as process:
        end = time.monotonic() + SECONDS
        while not (work / path).exists():
            assert process.poll() is None and time.monotonic() < end, "virtiofsd does not start"
            time.sleep(0.02)
        yield


def ask(process: subprocess.Popen[bytes], path: str) -> str:
    """Return what QEMU reports about its guest. Raises AssertionError with what it has printed."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            assert process.stdout
            raise AssertionError(process.stdout.read().decode(errors="replace"))
        # The path of a socket has 107 bytes at most; the directory's name is short.
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(path)
            except OSError:
                time.sleep(0.05)
                continue
            stream = connection.makefile("rw")
            stream.readline()
            for request in ("qmp_capabilities", "query-status"):
                stream.write(json.dumps({"execute": request}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
            return str(answer["return"]["status"])
    raise AssertionError("no answer")


def attempt(case: dict[str, Any]) -> tuple[str, str]:
    """Return the name of a case and its outcome."""
    try:
        return case["name"], answers(case)
    except AssertionError as error:
        return case["name"], f"REFUSED {error}"


def main() -> int:
    """Try all cases, two at a time; those with taps or ports share names, so they run one after the other."""
    cases = json.loads((ROOT / "tests" / "parity" / "cases.json").read_text())
    mine = [
        case
        for case in cases
        if case["microvm"]["hypervisor"] == "qemu"
        and "refused" not in case["expect"]
        and "darwin" not in case["system"]
    ]
    with_taps = [case for case in mine if "tap-up" in case["expect"]["bin"] or "forwardPorts" in case["microvm"]]
    others = [case for case in mine if case not in with_taps]
    with ThreadPoolExecutor(2) as pool:
        outcomes = [*pool.map(attempt, others), *map(attempt, with_taps)]
    refused = [(name, text) for name, text in outcomes if text.startswith("REFUSED")]
    accepted = sum(text == "accepted" for _name, text in outcomes)
    for name, text in outcomes:
        if text != "accepted":
            print(f"{name}: {text}")
    print(f"{accepted} of {len(outcomes)} command lines accepted by QEMU, {len(refused)} refused, the others not tried")
    return 1 if refused or accepted < len(outcomes) // 2 else 0


if __name__ == "__main__":
    sys.exit(main())
