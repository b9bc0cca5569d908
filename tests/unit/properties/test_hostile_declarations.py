# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile declarations: what is accepted is data, for every shell and every parser that reads what we write of it.

``FUZZ_DECLARATIONS`` is the number of declarations, ``FUZZ_SEED`` where they begin.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.platforms import facts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import (
    HOST_KEY_CREDENTIAL,
    HOST_KEY_DIRECTORY,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import Declaration, parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.command import Command
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.profiles import PROFILES
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.registry import command
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.words import (
    CredentialFile,
    TapDevice,
    Variable,
    Word,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.settings import (
    drop_ins,
    environment,
    host_unit_settings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.package import Package
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import runner_package
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.units import (
    UNIT_FILES,
    UNIT_TEMPLATES,
    unit_settings_of,
    writable_paths,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .hostile import Attacker
from .readers import (
    Options,
    complaints_of_systemd,
    mounts_of,
    qemu_options,
    quoted_options,
    settings_of,
    without_specifiers,
    words_of,
)
from .sandbox import EXTRA_ARGUMENTS, Job, Sandbox

COUNT = int(os.environ.get("FUZZ_DECLARATIONS", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "12"))
KEY_OF_HOST = f"{HOST_KEY_CREDENTIAL}:{HOST_KEY_DIRECTORY}/%i"
"""Credential with the SSH host key that the host makes for the guest of a unit."""
UNITS_AT_ONCE = 200
"""Units that one process of systemd-analyze reads."""

UNIT_KEYS = frozenset(
    (
        *("AmbientCapabilities", "CPUQuota", "CPUWeight", "CapabilityBoundingSet"),
        *("DeviceAllow", "DevicePolicy", "Environment", "Group"),
        *("IOWeight", "IPAddressDeny", "KeyringMode", "LoadCredential"),
        *("MemoryDenyWriteExecute", "MemoryMax", "NoNewPrivileges", "NotifyAccess"),
        *("PrivateMounts", "PrivateTmp", "ProcSubset", "ProtectHome"),
        *("ProtectHostname", "ProtectProc", "ReadWritePaths", "RemoveIPC"),
        *("RestrictAddressFamilies", "RestrictNamespaces", "SupplementaryGroups", "SystemCallArchitectures"),
        *("SystemCallErrorNumber", "SystemCallFilter", "TasksMax", "TimeoutStartSec"),
        *("TimeoutStopSec", "Type", "UMask", "User"),
        *("BindPaths", "BindReadOnlyPaths", "InaccessiblePaths", "LimitCORE", "LimitMEMLOCK", "MountAPIVFS"),
        *("PrivateDevices", "PrivateIPC", "PrivateNetwork", "RootDirectory", "RootDirectoryStartOnly"),
        *("CapabilityBoundingSet", "TemporaryFileSystem"),
    )
)
"""Settings that drop-ins may have."""
NETWORK_KEYS = frozenset(
    (
        *("MACAddress", "Type", "DHCP", "Address", "Gateway", "DNS", "ClientIdentifier"),
        *("Destination", "GatewayOnLink", "Metric"),
    )
)
VARIABLES = ["BOOT_ORDER", "ON_CRASH", "ON_POWEROFF", "ON_REBOOT", "STOP_TIMEOUT", "WAIT_TIMEOUT"]
ARGUMENTS = {"microvm-run": "", "microvm-balloon": "16", "microvm-register": "1"}


@dataclass
class Accepted:
    """Declaration that a hypervisor has accepted, and its package."""

    declaration: Declaration
    command: Command
    package: Package


@dataclass
class Attack:
    """Outcome of all declarations."""

    sandbox: Sandbox
    accepted: list[Accepted] = field(default_factory=list)
    declarations: int = 0
    """Number of declarations that at least one hypervisor has accepted."""
    odd_errors: list[str] = field(default_factory=list)
    """Refusals that name no key, or that command a terminal."""


@pytest.fixture(scope="module", name="attack")
def _attack() -> Iterator[Attack]:
    sandbox = Sandbox()
    try:
        yield _attacked(Attack(sandbox))
    finally:
        sandbox.remove()


def _attacked(attack: Attack) -> Attack:
    accepted = {"initrd_path": (f"{attack.sandbox.root}/initrd",)}
    attacker = Attacker(SEED, {**accepted, "extra_args_script": (attack.sandbox.extra_arguments,)})
    required = {"name": "vm", "kernel": "/boot/kernel", "initrd_path": f"{attack.sandbox.root}/initrd"}
    for _number in range(COUNT):
        raw = attacker.declaration(VM_OPTIONS, required)
        rendered = [package for package in (_render(raw, name, attack) for name in PROFILES) if package]
        attack.accepted += rendered
        attack.declarations += bool(rendered)
    return attack


def _render(raw: dict[str, Any], hypervisor: str, attack: Attack) -> Accepted | None:
    """Return the package of a declaration, or nothing where the hypervisor refuses it."""
    host = facts("aarch64-darwin" if hypervisor == "vfkit" else "x86_64-linux", "auto")
    try:
        declaration = parse_vm({"hypervisor": hypervisor, **raw})
        if declaration["hypervisor"] != hypervisor or declaration["state"] == "absent":
            return None
        built = command(declaration, host)
        return Accepted(declaration, built, runner_package(declaration, built, host))
    except DeclarationError as error:
        if not error.path or not str(error).replace("\n", "").isprintable():
            attack.odd_errors.append(str(error))
    return None


def test_every_refusal_names_a_key_and_commands_no_terminal(attack: Attack) -> None:
    assert attack.odd_errors == []
    assert attack.declarations > COUNT / 4


def unit_files(accepted: Accepted) -> dict[str, str]:
    """Return the drop-ins of a MicroVM by their templates, with the settings of the host."""
    files = accepted.package.files
    read = unit_settings_of(lambda path: files[path].content.decode() if path in files else "")
    assert set(files) & {f"{UNIT_FILES}/{template}.conf" for template in UNIT_TEMPLATES} == {
        f"{UNIT_FILES}/{template}.conf" for template in read
    }
    return drop_ins(read, host_unit_settings(accepted.declaration))


def test_units_have_the_declared_paths_and_no_other_setting(attack: Attack) -> None:
    for accepted in attack.accepted:
        declaration = accepted.declaration
        if declaration["hypervisor"] == "vfkit":
            continue
        units = unit_files(accepted)
        for text in units.values():
            settings = settings_of(text)
            assert {setting.section for setting in settings} == {"[Service]"}
            assert {setting.key for setting in settings} <= UNIT_KEYS
        main = settings_of(units[UNIT_TEMPLATES[0]])
        words = [words_of(setting.value) for setting in main if setting.key == "ReadWritePaths"]
        written = [[without_specifiers(word) for word in line] for line in words]
        declared = writable_paths(declaration)
        assert written[: len(declared)] == [[path] for path in declared]
        # Of these, paths that a bind mount cannot name are visible in their places; `compat` shows all of these then.
        places = {"/tmp", "/var/tmp"} if declaration["profile"] == "compat" else set()
        assert {path for line in written for path in line} <= {*declared, *map(posixpath.normpath, declared), *places}
        bound = [setting.value for setting in main if setting.key.startswith("Bind")]
        assert [value for value in bound if not re.fullmatch(r"-?/[A-Za-z0-9/._@+~-]*", value)] == []
        loaded = [setting.value for setting in main if setting.key == "LoadCredential"]
        credentials = [value.partition(":") for value in loaded if value != KEY_OF_HOST]
        assert (KEY_OF_HOST in loaded) == bool(declaration["guest"]["host_key"])
        assert {name: without_specifiers(path) for name, _colon, path in credentials} == declaration["credential_files"]
        assert [setting.key for setting in main][-1] in ("TasksMax", "MemoryMax", "CPUQuota", "CPUWeight", "IOWeight")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_reads_every_unit_without_a_complaint(attack: Attack, capsys: pytest.CaptureFixture[str]) -> None:
    on_linux = [accepted for accepted in attack.accepted if accepted.declaration["hypervisor"] != "vfkit"]
    texts = sorted({text for accepted in on_linux for text in unit_files(accepted).values()})
    units = {f"u{index}": text.replace("[Service]\n", "", 1) for index, text in enumerate(texts)}
    names = list(units)
    for first in range(0, len(names), UNITS_AT_ONCE):
        batch = {name: units[name] for name in names[first : first + UNITS_AT_ONCE]}
        assert complaints_of_systemd(batch) == []
    with capsys.disabled():
        print(f"\n{len(texts)} drop-ins were read by systemd")


def test_environment_files_have_the_expected_variables(attack: Attack) -> None:
    for accepted in attack.accepted:
        lines = environment(accepted.declaration).split("\n")[:-1]
        assert [line.partition("=")[0] for line in lines] == VARIABLES
        assert all(re.fullmatch(r"[A-Z_]+=[a-z0-9]+", line) for line in lines)


def test_guests_get_the_declared_networks_and_mounts(attack: Attack) -> None:
    for accepted in attack.accepted:
        declaration, files = accepted.declaration, accepted.package.files
        texts = {path.split("/")[-1]: file.content.decode() for path, file in files.items() if "/credentials/" in path}
        for index, network in enumerate(declaration["guest"]["networks"]):
            settings = settings_of(texts.get(f"network.network.10-if{index}", ""))
            assert {setting.section for setting in settings} <= {"[Match]", "[Network]", "[DHCPv4]", "[Route]"}
            assert {setting.key for setting in settings} <= NETWORK_KEYS
            if settings:
                assert [setting.value for setting in settings if setting.key == "DNS"] == network["dns"]
                assert [setting.value for setting in settings if setting.key == "Address"] == network["addresses"]
        if "fstab.extra" in texts:
            entries = [*declaration["volumes"], *declaration["shares"]]
            declared = [entry["mount_point"] for entry in entries if entry["mount_point"] not in (None, "/")]
            declared += [share["mount_point"] for share in declaration["shares"] if share["mount_point"] == "/"]
            read = [mount.mount_point for mount in mounts_of(texts["fstab.extra"])]
            assert sorted(read) == sorted(declared)


def arguments_of(accepted: Accepted, option: str) -> list[str]:
    """Return the values of an option on the command line, without those that the user has written as arguments."""
    words = [expanded(word, "/package", "/state", "/credentials") for word in accepted.command.argv]
    own = len(accepted.declaration[accepted.declaration["hypervisor"].replace("-", "_")]["extra_args"])  # type: ignore[literal-required]
    words = words[: len(words) - own] if own else words
    return [value for word, value in pairwise(words) if word == option]


def all_of(options: list[Options], key: str) -> list[str]:
    """Return all values of a key."""
    return [value for option in options for name, value in option if name == key]


def test_options_of_qemu_have_the_declared_values(attack: Attack) -> None:
    keys = {
        "-drive": {"id", "format", "read-only", "file", "if", "aio", "discard", "cache"},
        "-fsdev": {"local", "id", "path", "security_model", "readonly"},
        "-chardev": {"pipe", "socket", "stdio", "id", "path", "signal"},
        "-fw_cfg": {"name", "file"},
        "-numa": {"node", "memdev"},
        "-object": {"memory-backend-memfd", "memory-backend-ram", "id", "size", "share", "hugetlb", "hugetlbsize"},
    }
    for accepted in attack.accepted:
        declaration = accepted.declaration
        if declaration["hypervisor"] != "qemu":
            continue
        read = {option: list(map(qemu_options, arguments_of(accepted, option))) for option in keys}
        for option, known in keys.items():
            assert {key for options in read[option] for key, _value in options} <= known
        images = [volume["image"] for volume in declaration["volumes"]]
        images = [f"./{image}" if ":" in image and not image.startswith("/") else image for image in images]
        disks = [declaration["store_disk"]] if declaration["store_disk"] else []
        assert all_of(read["-drive"], "file") == disks + images
        nine = [share["source"] for share in declaration["shares"] if share["proto"] == "9p"]
        assert all_of(read["-fsdev"], "path") == nine
        sockets = [share["socket"] for share in declaration["shares"] if share["proto"] == "virtiofs"]
        assert sorted(all_of(read["-chardev"], "path")) == sorted(["microvm.events", *map(str, sockets)])


def test_options_of_cloud_hypervisor_and_crosvm_have_the_declared_values(attack: Attack) -> None:
    for accepted in attack.accepted:
        declaration = accepted.declaration
        images = [volume["image"] for volume in declaration["volumes"]]
        images = [declaration["store_disk"], *images] if declaration["store_disk"] else images
        sockets = [share["socket"] for share in declaration["shares"] if share["proto"] == "virtiofs"]
        if declaration["hypervisor"] == "cloud-hypervisor":
            words = [expanded(word, "", "", "") for word in accepted.command.argv]
            disks = words[words.index("--disk") + 1 :][: len(images)] if images else []
            read = [quoted_options(disk, escapes=False) for disk in disks]
            assert all_of(read, "path") == images
            known = {"path", "readonly", "direct", "image_type", "serial", "num_queues"}
            assert {key for options in read for key, _value in options} <= known
        if declaration["hypervisor"] == "crosvm":
            read = [quoted_options(disk, escapes=True) for disk in arguments_of(accepted, "--block")]
            assert [options[0] for options in read] == [("path", image) for image in images]
            assert {key for options in read for key, _value in options[1:]} <= {"ro", "id", "direct"}
            users = [quoted_options(user, escapes=True) for user in arguments_of(accepted, "--vhost-user")]
            graphics = [declaration["graphics"]["socket"]] if declaration["graphics"]["enable"] else []
            assert sorted(all_of(users, "socket")) == sorted([*map(str, sockets), *graphics])


def expanded(word: Word, package: str, state: str, credentials: str) -> str:
    """Return what the shell should make of a word."""
    values = {Variable.PACKAGE: package, Variable.WORKING_DIRECTORY: state}
    parts = []
    for part in word.parts:
        if isinstance(part, CredentialFile):
            # No host has made a key for these guests, and their scripts go on without one.
            parts.append("/dev/null" if part.name == HOST_KEY_CREDENTIAL else f"{credentials}/{part.name}")
        elif isinstance(part, TapDevice):
            # There is no such interface, and therefore no number of it.
            parts.append("/dev/tap")
        else:
            parts.append(part if isinstance(part, str) else values.get(part, ""))
    return "".join(parts)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run scripts as user nobody")
def test_scripts_run_no_character_of_a_declaration(attack: Attack, capsys: pytest.CaptureFixture[str]) -> None:
    sandbox, number_of = attack.sandbox, dict[bytes, int]()
    jobs: list[tuple[Job, str]] = []
    for number, accepted in enumerate(attack.accepted):
        scripts = {
            name[len("bin/") :]: file.content
            for name, file in accepted.package.files.items()
            if file.executable and number_of.setdefault(file.content, number) == number
        }
        if scripts:
            files = {f"bin/{name}": content for name, content in scripts.items()}
            files.update({n: f.content for n, f in accepted.package.files.items() if "/credentials/" in n})
            sandbox.add(number, files, accepted.declaration["credential_files"])
            # Names of own scripts are safe words, as others are (checks.SCRIPT).
            jobs += [(Job(number, name), ARGUMENTS.get(name, "")) for name in sorted(scripts)]
    killed = sandbox.run(jobs)
    assert sandbox.victims() == []
    assert killed == []
    runs = [job for job, _argument in jobs if job.script == "microvm-run"]
    exact = sum(assert_arguments(attack.accepted[job.number], job, sandbox) for job in runs)
    with capsys.disabled():
        print(
            f"\nseed {SEED}: {COUNT} declarations tried, {attack.declarations} accepted, "
            f"{len(attack.accepted)} packages, {len(jobs)} scripts executed, "
            f"{exact} hypervisors called with exactly their arguments"
        )
    assert exact > len(runs) / 3


def assert_arguments(accepted: Accepted, job: Job, sandbox: Sandbox) -> bool:
    """Compare what the hypervisor was called with; return whether it was, since a script may lack a file before."""
    built, package = accepted.command, sandbox.package(job.number)
    state, credentials = (package[: -len("package")] + name for name in ("state", "credentials"))
    program = posixpath.basename(expanded(built.argv[0], package, state, credentials))
    words = [expanded(word, package, state, credentials) for word in built.argv]
    expected = words[1:]
    expected += EXTRA_ARGUMENTS.split() if accepted.declaration["extra_args_script"] else []
    sidecar = [expanded(word, package, state, credentials) for word in built.sidecar][1:]
    calls = [call[1:] for call in sandbox.calls(job) if call[0] == program]
    calls = [[re.sub(r" tsc_early_khz=\d+$", "", word) for word in call] for call in calls]
    calls = [call for call in calls if call != sidecar and call[:2] != ["device", "gpu"]]
    assert calls in ([], [expected])
    return bool(calls)
