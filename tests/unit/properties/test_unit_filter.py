# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter of the drop-ins of external packages: ours pass, and what could execute or widen anything does not."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import RUN_DIRECTORY
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import PackagedVm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.profiles import PROFILES
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import unit_settings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner import unit_filter
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.unit_filter import problem_of_settings
from hypothesis import given
from hypothesis import strategies as st

from ..parity.test_cases import CASES, rendered
from ..plugins.module_utils._microvm.examples import SMALL, parse

MAIN, SHARES = "microvm@.service", "microvm-virtiofsd@.service"

DECLARED: dict[str, Any] = {
    **SMALL,
    "volumes": [{"image": "/srv/odd \"'\\%i/data.img", "size": 64}],
    "shares": [
        {"tag": "a", "source": "/srv/a b", "proto": "virtiofs"},
        {"tag": "b", "source": "/srv/b", "proto": "virtiofs", "read_only": True, "socket": "/run/shares/b.sock"},
    ],
    "credential_files": {"key": "/etc/keys/100%/key"},
    "devices": [{"bus": "usb", "path": "vendorid=1,productid=2"}],
    "vsock": {"cid": 5},
}
"""Declaration that uses every kind of access."""


def problem(text: str, template: str = MAIN, declaration: PackagedVm | None = None) -> str:
    return problem_of_settings({template: text}, declaration, "/the package", "small")


def accepted(text: str, **arguments: Any) -> bool:
    return problem(text, **arguments) == ""


@pytest.mark.parametrize("name", CASES)
def test_packages_of_ours_are_accepted(name: str) -> None:
    """A directive that our own packages use, and the filter has not, belongs to its list."""
    result = rendered(CASES[name])
    if result.package is not None:
        settings = unit_settings(result.package)
        assert problem_of_settings(settings, result.declaration, "p", result.name) == ""


ACCELERATORS = [
    (profile.name, accel)
    for profile in PROFILES.values()
    for accel in ("kvm", "tcg")
    if profile.claims("accel", accel) and "x86_64-linux" in profile.systems
]


@pytest.mark.parametrize(("hypervisor", "accel"), ACCELERATORS)
@pytest.mark.parametrize("profile", ["strict", "compat"])
@pytest.mark.parametrize("isolation", ["per_vm", "shared"])
def test_packages_of_any_sandbox_are_accepted(hypervisor: str, profile: str, isolation: str, accel: str) -> None:
    [declaration] = parse({**SMALL, "hypervisor": hypervisor, "profile": profile, "isolation": isolation})
    settings = unit_settings(render(declaration, HostFacts(accel=accel)))
    assert problem_of_settings(settings, declaration, "p", "small") == ""


def test_a_package_with_every_kind_of_access_is_accepted_for_its_declaration_alone() -> None:
    [declaration], [other] = parse(DECLARED), parse(SMALL)
    for accel in ("kvm", "tcg"):
        settings = unit_settings(render(declaration, HostFacts(accel=accel)))
        assert problem_of_settings(settings, declaration, "p", "small") == ""
        assert "has a value that is not accepted" in problem_of_settings(settings, other, "p", "small")
        assert problem_of_settings(settings, None, "p", "small") != ""


FIRST_VERSION = """\
[Service]
User=microvm-small
Group=microvm-small
SupplementaryGroups=kvm
ReadWritePaths="/srv/a b"
LoadCredential=key:/etc/keys/100%%/key
MemoryMax=1088M
Environment=CLEAN_END=poweroff
Type=notify
NotifyAccess=all
DeviceAllow=
DeviceAllow=/dev/kvm rw
DeviceAllow=char-usb_device rw
AmbientCapabilities=
CapabilityBoundingSet=
DevicePolicy=closed
KeyringMode=private
NoNewPrivileges=yes
PrivateMounts=yes
PrivateTmp=yes
ProtectHostname=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service seccomp
SystemCallFilter=~@privileged @resources
UMask=0077
RestrictAddressFamilies=AF_UNIX AF_VSOCK
ProtectHome=yes
IPAddressDeny=any
MemoryDenyWriteExecute=yes
ProcSubset=pid
"""
"""Drop-in of a package of version 0.1.0."""


def test_colons_and_quotes_mount_nothing_elsewhere() -> None:
    sources = ("/srv/a:/usr", "/srv/a b", "/srv/a")
    shares = [{"tag": str(number), "source": source} for number, source in enumerate(sources)]
    [declaration] = parse({**SMALL, "shares": shares})
    start = "[Service]\nUser=microvm-small\nGroup=microvm-small\n"
    accepted_lines = ("BindPaths=/srv/a", 'ReadWritePaths="/srv/a:/usr"', 'ReadWritePaths="/srv/a b"')
    refused_lines = (
        "BindPaths=/srv/a:/usr",
        'BindPaths="/srv/a:/usr"',
        'BindPaths="/srv/a b"',
        'BindReadOnlyPaths="/srv/a:/usr"',
        "ReadWritePaths=/srv/a:/usr /etc",
        "ReadWritePaths=/srv/a b",
    )
    lines = (*accepted_lines, *refused_lines)
    assert [line for line in lines if accepted(f"{start}{line}\n", declaration=declaration)] == list(accepted_lines)


def test_directories_below_run_are_those_of_the_microvm_alone() -> None:
    [declaration] = parse(SMALL)
    main = "[Service]\nUser=microvm-small\nGroup=microvm-small\n"
    for name, expected in (("%i", True), ("small", True), ("other", False), ("small/../other", False), ("%n", False)):
        for directive in ("RootDirectory", "BindPaths"):
            shares = f"[Service]\n{directive}={RUN_DIRECTORY}/shares/{name}/root\n"
            problem_found = problem_of_settings({MAIN: main, SHARES: shares}, declaration, "p", "small")
            assert (problem_found == "") is expected, (name, directive)


def test_generations_of_earlier_versions_are_accepted() -> None:
    [declaration] = parse(DECLARED)
    settings = {MAIN: FIRST_VERSION, SHARES: '[Service]\nReadWritePaths="/srv/a b"\n'}
    assert problem_of_settings(settings, declaration, "p", "small") == ""


HOSTILE = (
    *(f"{name}=/bin/sh -c id" for name in ("ExecStart", "ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost")),
    *("ExecReload=+/x", "ExecCondition=!!/x", "ExecSearchPath=/x", "execstartpre=/x", "ExecStartPreEx=/x"),
    *("User=root", "User=0", "User=", "User=microvm-other", "Group=root", "Group=0", "SupplementaryGroups=root"),
    *("SupplementaryGroups=kvm disk", "SupplementaryGroups=", "DynamicUser=yes", "SetLoginEnvironment=yes"),
    *("RootDirectory=/srv", "RootImage=/srv/i", "RootDirectory=/run/microvm-x/../../srv/%i", "WorkingDirectory=/"),
    *("RootDirectory=/run/user/0/%i", "RuntimeDirectory=../x", "StateDirectory=x", "ConfigurationDirectory=ssh"),
    *("AmbientCapabilities=CAP_SYS_ADMIN", "AmbientCapabilities=~", "CapabilityBoundingSet=~", "SecureBits=keep-caps"),
    *("CapabilityBoundingSet=CAP_SYS_ADMIN", "CapabilityBoundingSet=CAP_SYS_PTRACE", "NoNewPrivileges=no"),
    *("PrivateUsers=no", "PrivateUsers=yes", "PrivateTmp=no", "PrivateTmp=", "ProtectSystem=no", "ProtectSystem="),
    *("ProtectHome=no", "ProtectProc=default", "ProcSubset=all", "DevicePolicy=auto", "KeyringMode=inherit"),
    *("DeviceAllow=/dev/sda rw", "DeviceAllow=block-* rwm", "DeviceAllow=char-vfio rw", "DeviceAllow=/dev/kvm rwm"),
    *("LoadCredential=x:/etc/shadow", "LoadCredential=x", "LoadCredentialEncrypted=x:/y", "SetCredential=a:b"),
    *("ImportCredential=*", "EnvironmentFile=/etc/shadow", "PassEnvironment=A", "Environment=BASH_ENV=/tmp/x"),
    *("Environment=END_STATUSES=32:reboot BASH_ENV=/tmp/x", "Environment=END_STATUSES=$(x)"),
    *("Environment=CLEAN_END=poweroff BASH_ENV=/tmp/x", 'Environment="LD_PRELOAD=/x"', "UnsetEnvironment=PATH"),
    *(
        "ReadWritePaths=/",
        "ReadWritePaths=/etc",
        'ReadWritePaths="/etc"',
        "ReadWritePaths=/boot /etc",
        "ReadWritePaths=",
    ),
    *("ReadWritePaths=+/etc", "ReadWritePaths=%h", "ReadWritePaths=/boot/../etc", 'ReadWritePaths="/boot" "/etc"'),
    *("BindPaths=/etc", "BindPaths=/boot:/usr", "BindPaths=-/run/systemd", "BindReadOnlyPaths=/boot:/usr/bin"),
    *("BindReadOnlyPaths=/run", "BindReadOnlyPaths=-/run/dbus", "BindReadOnlyPaths=/usr /var/run/docker.sock"),
    *("BindReadOnlyPaths=/run/systemd/resolve/../private", "BindReadOnlyPaths=/run/udev/../dbus"),
    *("BindReadOnlyPaths=//root", "BindReadOnlyPaths=//run//dbus"),
    *("BindReadOnlyPaths=/root", "BindReadOnlyPaths=/usr/../root", "BindReadOnlyPaths=/tmp/x:/etc:rbind"),
    *("TemporaryFileSystem=/tmp:exec", "TemporaryFileSystem=/tmp:size=1M,suid", "MountImages=/x:/y"),
    *("ExtensionImages=/x", "ExtensionDirectories=/x", "ReadOnlyPaths=", "InaccessiblePaths=", "ExecPaths=/x"),
    *("SystemCallFilter=", "SystemCallFilter=@known:0", "SystemCallErrorNumber=", "SystemCallArchitectures=x86"),
    *(
        "RestrictAddressFamilies=",
        "RestrictAddressFamilies=~AF_UNIX",
        "RestrictNamespaces=no",
        "RestrictNamespaces=user",
    ),
    *("RestrictSUIDSGID=no", "MemoryDenyWriteExecute=no", "LockPersonality=no", "RestrictRealtime=no", "UMask=0000"),
    *(
        "IPAddressDeny=",
        "IPAddressAllow=any",
        "MemoryMax=infinity",
        "MemoryMax=50%",
        "MemoryMax=1e9M",
        "OOMPolicy=kill",
    ),
    *(
        "OOMScoreAdjust=-1000",
        "Nice=-20",
        "CPUSchedulingPolicy=fifo",
        "IOSchedulingClass=realtime",
        "TasksMax=infinity",
    ),
    *("LimitNOFILE=infinity", "LimitCORE=infinity", "Slice=-.slice", "Delegate=yes", "StandardOutput=file:/etc/passwd"),
    *(
        "StandardInput=file:/etc/shadow",
        "StandardError=append:/etc/passwd",
        "TTYPath=/dev/tty1",
        "SyslogIdentifier=sshd",
    ),
    *(
        "PAMName=login",
        "UtmpIdentifier=x",
        "Type=oneshot",
        "Type=dbus",
        "BusName=org.x",
        "PIDFile=/run/x",
        "GuessMainPID=1",
    ),
    *("NotifyAccess=exec", "Restart=always", "RestartSec=0", "SuccessExitStatus=1", "KillMode=none", "SendSIGKILL=no"),
    *(
        "TimeoutStopSec=infinity",
        "RuntimeMaxSec=1",
        "FileDescriptorStoreMax=9",
        "OpenFile=/etc/shadow",
        "Sockets=x.socket",
    ),
    *("LogExtraFields=A=b", "LogNamespace=x", "SELinuxContext=x", "AppArmorProfile=unconfined", "SmackProcessLabel=x"),
    *("NetworkNamespacePath=/proc/1/ns/net", "IPCNamespacePath=/proc/1/ns/ipc", "JoinsNamespaceOf=ssh.service"),
    *("BPFProgram=egress:/x", "IPIngressFilterPath=/x", "SocketBindAllow=any", "Personality=x86", "PrivateNetwork=no"),
)
"""Lines that are refused from a package which declares nothing but its kernel, ``/boot/vmlinuz``."""

TRICKS = (
    "[Unit]\nOnFailure=x.service\n",
    "[Service]\n[Unit]\nOnFailure=x.service\n",
    "[Service]\n[Install]\nAlias=ssh.service\n",
    "[Service]\n[ Service ]\nUMask=0077\n",
    "[service]\nUMask=0077\n",
    "UMask=0077\n[Service]\n",
    "[Service]\nUMask=\\\n0077\n",
    "[Service]\n# \\\nExecStartPre=/x\n",
    "[Service]\n; a comment \\\n",
    "[Service]\nUMask=0077\\",
    "[Service]\nUMask=0077",
    "[Service]\n# no end",
    "[Service]\nUMask=0077\rExecStartPre=/x\n",
    "[Service]\n# a comment\rExecStartPre=/x\n",
    "[Service]\n# a comment\0ExecStartPre=/x\n",
    "[Service]\n# \x1b]0;title\x07\n",
    "[Service]\n# line\u2028ExecStartPre=/x\n",
    "[Service]\n ExecStartPre=/x\n",
    "[Service]\nExecStartPre =/x\n",
    "[Service]\nUMask= 0077\n",
    "[Service]\nUMask=0077 \n",
    "[Service]\n.include /etc/x\n",
    "[Service]\nMemoryMax=%i\n",
    "[Service]\n\ufeffExecStartPre=/x\n",
    "\ufeff[Service]\nUMask=0077\n",
    "[Service]\n$X\n",
)
"""Drop-ins with other sections, continued lines, ends of lines that only systemd knows, and the like."""


OF_TEMPLATES = {SHARES: ("ReadWritePaths=", "CapabilityBoundingSet=CAP_SYS_ADMIN")}
"""Lines that do not widen a template, since it has more."""


@pytest.mark.parametrize("line", HOSTILE)
@pytest.mark.parametrize("template", [MAIN, SHARES])
@pytest.mark.parametrize("declares", [False, True])
def test_what_executes_or_widens_is_refused(line: str, template: str, declares: bool) -> None:
    if line in OF_TEMPLATES.get(template, ()):
        return
    [declaration] = parse(SMALL)
    settings = {MAIN: "[Service]\nUser=microvm-small\nGroup=microvm-small\n"} if declares else {}
    settings[template] = f"{settings.get(template, '[Service]' + chr(10))}UMask=0077\n{line}\n"
    message = problem_of_settings(settings, declaration if declares else None, "/the package", "small")
    number = settings[template].count("\n")
    assert f"/the package/share/microvm/systemd/{template}.conf, line {number}: {line!a}" in message
    assert f"/etc/systemd/system/{template.replace('@', '@small')}.d/60-local.conf" in message


@pytest.mark.parametrize("text", TRICKS)
def test_tricks_with_lines_are_refused(text: str) -> None:
    assert problem(text) != ""
    assert problem(text).isprintable()


def test_comments_and_empty_lines_are_accepted() -> None:
    assert accepted("# By the packager.\n\n[Service]\n; harmless: ExecStart=/x\n\nUMask=0077\n")
    assert accepted("")


def test_a_package_with_an_account_of_its_own_must_use_it() -> None:
    [declaration] = parse(SMALL)
    assert "lacks 'User=microvm-small'" in problem("[Service]\nUMask=0077\n", declaration=declaration)
    [shared] = parse({**SMALL, "isolation": "shared"})
    assert accepted("[Service]\nUMask=0077\n", declaration=shared)


@given(st.text(alphabet="AEUMSerxcvik=/[]#;\\%\"' \n\r\0+-:0", max_size=60))
def test_nothing_that_systemd_would_execute_is_accepted(text: str) -> None:
    settings = f"[Service]\n{text}\n"
    if accepted(settings):
        read = re.split(r"[\n\r\0]", settings)
        keys = {line.partition("=")[0].strip() for line in read if "=" in line and line[0] not in "#;"}
        assert keys <= unit_filter.DIRECTIVES
        assert not any(line.endswith("\\") for line in read)
