# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages: layout, scripts that a shell reads back as they were meant, digests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import NETWORK_LIST
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import Declaration
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors import registry
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.package import Package
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.units import writable_paths

from ..examples import FULL, SMALL, parse

TCG = HostFacts(accel="tcg")
NASTY = 'it\'s $HOME `id` \\ "x", ;&|<> *?[a] é'
NASTY_VM: dict[str, Any] = {
    **SMALL,
    "socket": f"{NASTY}.sock",
    "kernel": f"/boot/{NASTY}",
    "volumes": [{"image": f"{NASTY}.img", "size": 8, "label": "it's $x"}],
    "shares": [{"tag": "t", "source": f"/srv/{NASTY}"}],
    "interfaces": [{"id": "tap0", "bridge": "br0"}],
}


def package(**options: Any) -> Package:
    return render(parse({**FULL, **options})[0], TCG)


def text(built: Package, path: str) -> str:
    return built.files[path].content.decode()


def install(built: Package, directory: Path) -> Path:
    for path, file in built.files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(0o755 if file.executable else 0o644)
    return directory


def test_a_macvtap_that_joins_a_network_says_its_name_and_no_link() -> None:
    guest = {"networks": [{}, {"addresses": ["192.0.2.7/24"]}]}
    macvtaps = [{"type": "macvtap", "id": "mv-a", "bridge": "wire0"}, {"type": "macvtap", "id": "mv-b", "bridge": "w1"}]
    built = package(interfaces=macvtaps, guest=guest)
    macs = [interface["mac"] for interface in parse({**FULL, "interfaces": macvtaps})[0]["interfaces"]]
    lines = f"mv-a wire0 {macs[0]} dhcp\nmv-b w1 {macs[1]} 192.0.2.7\n"
    assert text(built, "share/microvm/macvtap-guests") == lines
    assert "share/microvm/macvtap-interfaces" not in built.files
    calls = [line for line in text(built, "bin/macvtap-up").splitlines() if line.startswith("join_macvtap ")]
    assert [re.sub(" mv-. [^ ]+ [^ ]+ ", " ... ", line) for line in calls] == [
        f"join_macvtap {NETWORK_LIST} ... wire0 {macs[0]}",
        f"join_macvtap {NETWORK_LIST} ... w1 {macs[1]}",
    ]


def test_layout_is_that_of_microvm_nix() -> None:
    built = package()
    executables = {path for path, file in built.files.items() if file.executable}
    assert executables == {"bin/microvm-run", "bin/microvm-shutdown", "bin/tap-up", "bin/tap-down"}
    assert text(built, "share/microvm/hypervisor") == "qemu\n"
    assert text(built, "share/microvm/tap-flags") == "vnet_hdr\n"
    assert text(built, "share/microvm/tap-interfaces") == "mv-web-cyvut6\n"


def test_without_taps_there_are_no_scripts_for_them() -> None:
    assert not [path for path in package(interfaces=[], guest={}).files if "tap-up" in path or "interfaces" in path]


def test_the_declaration_is_recorded_without_host_options() -> None:
    recorded = json.loads(text(package(), "share/microvm/declaration.json"))
    assert recorded["guest"]["hostname"] == "web"
    assert not {"state", "autostart", "ready"} & set(recorded)


def test_digests_differ_only_if_packages_differ() -> None:
    shuffled = dict(reversed(FULL.items()))
    assert render(parse(shuffled)[0], TCG).digest == package().digest
    assert package(autostart=False, ready={"timeout": 5}).digest == package().digest
    different = [package(mem=2000), package(kernel_params=["quiet"]), render(parse(FULL)[0], HostFacts(accel="kvm"))]
    assert len({built.digest for built in [package(), *different]}) == 4


@pytest.mark.parametrize("raw", [FULL, NASTY_VM, SMALL], ids=["full", "nasty", "small"])
def test_scripts_pass_shellcheck(raw: dict[str, Any]) -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed")
    for path, file in render(parse(raw)[0], TCG).files.items():
        if path.startswith("bin/"):
            result = subprocess.run(
                [checker, "--severity=warning", "-"], input=file.content, capture_output=True, check=False
            )
            assert result.returncode == 0, f"{path}: {result.stdout.decode()}"


def test_microvm_run_hands_over_exactly_the_arguments(tmp_path: Path) -> None:
    """A program that prints its arguments stands in for QEMU, on an image file that exists."""
    declaration = parse(NASTY_VM)[0]
    run = install(render(declaration, TCG), tmp_path / "package") / "bin" / "microvm-run"
    programs = tmp_path / "programs"
    programs.mkdir()
    printer = programs / "qemu-system-x86_64"
    printer.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    printer.chmod(0o755)
    image = tmp_path / f"{NASTY}.img"
    image.write_bytes(b"an image that must stay as it is".ljust(9 * 1024 * 1024, b"."))
    before = image.read_bytes()
    (tmp_path / f"{NASTY}.sock").write_text("a socket that was left over")
    environment = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    result = subprocess.run([run], cwd=tmp_path, env=environment, capture_output=True, check=True)
    given = result.stdout.decode().split("\0")[:-1]
    expected = registry.command(declaration, TCG).argv[1:]
    assert len(given) == len(expected)
    for index, argument in enumerate(given):
        assert argument.startswith(str(expected[index].parts[0]))
    assert image.read_bytes() == before
    assert not (tmp_path / f"{NASTY}.sock").exists()


@pytest.mark.parametrize("leftover", [False, True], ids=["first start", "after a start that was killed"])
def test_microvm_run_makes_and_formats_missing_volumes(tmp_path: Path, leftover: bool) -> None:
    if shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip("mkfs.ext4 is not installed")
    run = install(render(parse(NASTY_VM)[0], TCG), tmp_path / "package") / "bin" / "microvm-run"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "qemu-system-x86_64").symlink_to("/bin/true")
    if leftover:
        (tmp_path / f"{NASTY}.img.partial").write_text("half a file system")
    environment = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
    subprocess.run([run], cwd=tmp_path, env=environment, capture_output=True, check=True)
    image = tmp_path / f"{NASTY}.img"
    assert image.stat().st_size == 8 * 1024 * 1024
    assert image.read_bytes()[1080:1082] == b"\x53\xef", "the magic number of ext4"
    assert not list(tmp_path.glob("*.partial"))


def test_the_command_line_for_people_has_a_line_for_each_option() -> None:
    lines = text(package(), "share/microvm/command-line").splitlines()
    assert lines[0] == "qemu-system-x86_64"
    assert "-m 1024M" in lines
    assert any("$tsc_parameter" in line for line in lines)


def test_paths_that_the_process_writes_are_listed() -> None:
    declaration = parse(
        {
            **SMALL,
            "socket": "/run/vm/s.sock",
            "volumes": [{"image": "own.img", "size": 1}, {"image": "/srv/images/a.img", "size": 1}],
            "shares": [{"tag": "a", "source": "/srv/a"}, {"tag": "b", "source": "/srv/b", "read_only": True}],
        }
    )[0]
    assert writable_paths(declaration) == ("/run/vm", "/srv/a", "/srv/images")


def test_tap_scripts_list_their_interfaces() -> None:
    taps = [{"id": "tap9", "bridge": "br0"}, {"id": "tap10"}]
    up, down = (text(package(interfaces=taps, vcpu=2), f"bin/{name}").splitlines() for name in ("tap-up", "tap-down"))
    assert up[-2:] == [
        "make_tap tap9 microvm-web br0 vnet_hdr multi_queue",
        "make_tap tap10 microvm-web '' vnet_hdr multi_queue",
    ]
    assert down[-2:] == ["remove_tap tap9 microvm-web", "remove_tap tap10 microvm-web"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("qemu-system-x86_64",)),
        ({"hypervisor": "stratovirt"}, ("stratovirt", "socat")),
        ({"hypervisor": "alioth", "volumes": [{"image": "v", "size": 1}]}, ("alioth", "socat", "mkfs.ext4")),
        ({"hypervisor": "kvmtool", "initrd_path": "/i", "credential_files": {"a": "/a"}}, ("lkvm", "cpio")),
        (
            {"hypervisor": "crosvm", "shares": [{"tag": "a", "source": "/a", "proto": "virtiofs"}]},
            ("crosvm", "virtiofsd"),
        ),
    ],
)
def test_a_package_lists_the_programs_that_it_needs(options: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert render(parse({**SMALL, **options})[0], HostFacts()).programs == expected


def start(declaration: Declaration, directory: Path, programs: Path) -> str:
    """Start ``microvm-run`` with a fake QEMU that does nothing; returns its output."""
    package = install(render(declaration, TCG), directory / f"package-{declaration['volumes'][0]['size']}")
    environment = {"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    result = subprocess.run(
        [package / "bin" / "microvm-run"],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    return result.stdout.decode()


@pytest.mark.parametrize("interrupted", [False, True], ids=["whole", "killed after the image had grown"])
def test_a_volume_grows_with_its_file_system(tmp_path: Path, interrupted: bool) -> None:
    stand_in = tmp_path / "qemu-system-x86_64"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    small, large = (parse({**SMALL, "volumes": [{"image": "data.img", "size": size}]})[0] for size in (16, 48))
    image = tmp_path / "data.img"
    assert "creating data.img" in start(small, tmp_path, tmp_path)
    subprocess.run(["debugfs", "-w", "-R", f"write {stand_in} kept", image], check=True, capture_output=True)
    if interrupted:
        os.truncate(image, 48 * 1024 * 1024)
    start(large, tmp_path, tmp_path)
    assert image.stat().st_size == 48 * 1024 * 1024
    header = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, check=True, text=True).stdout
    assert int(re.search(r"Block count: +(\d+)", header)[1]) == 48 * 1024  # type: ignore[index]
    kept = subprocess.run(["debugfs", "-R", "cat kept", image], capture_output=True, check=True, text=True).stdout
    assert kept == "#!/bin/sh\n"
    subprocess.run(["e2fsck", "-f", "-n", image], check=True, capture_output=True)
    # Once is enough, and none shrinks.
    assert "growing" not in start(large, tmp_path, tmp_path) + start(small, tmp_path, tmp_path)
    assert image.stat().st_size == 48 * 1024 * 1024
