# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the units' sandbox in a package: only the devices, paths and address families that are needed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.registry import command
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.units import packaged_drop_ins
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import SMALL, parse

MAIN, SHARES = "microvm@.service", "microvm-virtiofsd@.service"
CONSOLE = f"-{names.CONSOLE_DIRECTORY}/small"
TAP: dict[str, Any] = {"interfaces": [{"bridge": "br0"}]}


def lines(template: str = MAIN, accel: str = "kvm", **options: Any) -> list[str]:
    declaration, facts = parse({**SMALL, **options})[0], HostFacts(accel=accel)
    return packaged_drop_ins(declaration, command(declaration, facts), facts)[template].splitlines()


def devices(**options: Any) -> list[str]:
    return [line.partition("=")[2] for line in lines(**options) if line.startswith("DeviceAllow=")]


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "kvm": ({}, ["", "/dev/kvm rw"]),
    "translated": ({"accel": "tcg"}, [""]),
    "a tap": (TAP, ["", "/dev/kvm rw", "/dev/net/tun rw"]),
    "vhost": (
        {"interfaces": [{"tap": {"vhost": True}}]},
        ["", "/dev/kvm rw", "/dev/net/tun rw", "/dev/vhost-net rw"],
    ),
    "vsock": ({"vsock": {"cid": 5}}, ["", "/dev/kvm rw", "/dev/vhost-vsock rw"]),
    "macvtap": (
        {"interfaces": [{"type": "macvtap", "macvtap": {"link": "eth0", "mode": "bridge"}}]},
        ["", "/dev/kvm rw", "char-macvtap rw"],
    ),
    "devices": (
        {"devices": [{"bus": "pci", "path": "0000:01:00.0"}, {"bus": "usb", "path": "vendorid=1,productid=2"}]},
        ["", "/dev/kvm rw", "/dev/vfio/vfio rw", "char-vfio rw", "char-usb_device rw"],
    ),
}


@pytest.mark.parametrize(("options", "expected"), CASES.values(), ids=CASES.keys())
def test_only_needed_devices_are_allowed(options: dict[str, Any], expected: list[str]) -> None:
    assert devices(**options) == expected


def values(key: str, **options: Any) -> list[str]:
    return [line.partition("=")[2] for line in lines(**options) if line.startswith(f"{key}=")]


def test_nothing_of_the_host_s_run_directory_is_in_a_strict_sandbox_but_the_console() -> None:
    assert values("TemporaryFileSystem") == [
        "/run:ro,size=1M",
        "/tmp:size=64M,nr_inodes=4096,mode=1777",
        "/var/tmp:size=64M,nr_inodes=4096,mode=1777",
        "/dev/shm:size=1G,nr_inodes=4096,mode=1777",
    ]
    assert values("PrivateTmp") == ["no"]
    assert values("BindPaths") == [CONSOLE]
    assert values("BindReadOnlyPaths") == []
    compat = {"profile": "compat"}
    assert not [
        *values("TemporaryFileSystem", **compat),
        *values("BindPaths", **compat),
        *values("PrivateTmp", **compat),
    ]


VSOCK: dict[str, Any] = {"hypervisor": "cloud-hypervisor", "vsock": {"cid": 5}}

BOUND: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "directory of a volume": ({"volumes": [{"image": "/run/vm/a.img", "size": 1}]}, ["/run/vm"], []),
    "alias": ({"volumes": [{"image": "/var/run/vm/a.img", "size": 1}]}, ["/run/vm"], []),
    "socket": ({"socket": "/run/vm/control"}, ["/run/vm"], []),
    "kernel": ({"kernel": "/tmp/vmlinuz"}, ["-/tmp/vmlinuz"], []),
    "argument": (
        {"qemu": {"extra_args": ["-chardev", "socket,id=tpm,path=/run/swtpm/socket"]}},
        ["-/run/swtpm/socket"],
        [],
    ),
    "notifications": ({**VSOCK, "use_notify_sockets": True}, [], ["-/run/systemd/notify"]),
    "usb": ({"devices": [{"bus": "usb", "path": "vendorid=1,productid=2"}]}, [], ["-/run/udev"]),
    "user network": (
        {"interfaces": [{"type": "user"}]},
        [],
        [
            "-/run/systemd/resolve/stub-resolv.conf",
            "-/run/systemd/resolve/resolv.conf",
            "-/run/NetworkManager/resolv.conf",
        ],
    ),
}


@pytest.mark.parametrize(("options", "writable", "readable"), BOUND.values(), ids=BOUND.keys())
def test_what_a_declaration_names_is_visible_in_a_strict_sandbox(
    options: dict[str, Any], writable: list[str], readable: list[str]
) -> None:
    assert values("BindPaths", **options) == [CONSOLE, *writable]
    assert values("BindReadOnlyPaths", **options) == readable
    assert values("ReadWritePaths", **options) == []


COMPAT: dict[str, tuple[dict[str, Any], list[str]]] = {
    "kernel": ({"kernel": "/var/tmp/vmlinuz"}, ["-/var/tmp/vmlinuz"]),
    "image": ({"volumes": [{"image": "/tmp/vm/a.img", "size": 1}]}, ["/tmp/vm"]),
    "socket": ({"socket": "/var/tmp/vm/control"}, ["/var/tmp/vm"]),
    "source": ({"shares": [{"tag": "a", "source": "/tmp/a", "read_only": True}]}, ["-/tmp/a"]),
    "argument": ({"qemu": {"extra_args": ["-drive", "file=/tmp/x.img,if=none"]}}, ["-/tmp/x.img"]),
    "elsewhere": ({"kernel": "/run/vmlinuz", "volumes": [{"image": "/srv/a.img", "size": 1}]}, []),
}


@pytest.mark.parametrize(("options", "bound"), COMPAT.values(), ids=COMPAT.keys())
def test_what_a_declaration_names_is_visible_in_the_private_directories_of_a_relaxed_sandbox(
    options: dict[str, Any], bound: list[str]
) -> None:
    assert values("BindPaths", profile="compat", **options) == bound
    assert values("PrivateTmp", profile="compat", **options) == []
    written = values("ReadWritePaths", profile="compat", **options)
    assert not [path for path in written if path.startswith(("/tmp", "/var/tmp"))]


@pytest.mark.parametrize("image", ["/var/tmp/a.img", "/tmp/a b/c.img"])
def test_what_a_bind_mount_cannot_name_leaves_a_relaxed_sandbox_the_directories_of_the_host(image: str) -> None:
    options = {"volumes": [{"image": image, "size": 1}], "profile": "compat"}
    assert values("PrivateTmp", **options) == ["no"]
    assert values("ReadWritePaths", **options) == ["/tmp /var/tmp"]
    assert values("BindPaths", **options) == []


@pytest.mark.parametrize("image", ["/tmp/a.img", "/tmp/a b/c.img"])
def test_a_directory_that_a_bind_mount_cannot_name_stays_visible_as_a_whole(image: str) -> None:
    options = {"volumes": [{"image": image, "size": 1}]}
    assert not [value for value in values("TemporaryFileSystem", **options) if value.startswith("/tmp:")]
    assert values("ReadWritePaths", **options) == [f'"{image.rpartition("/")[0]}"']
    assert values("BindPaths", **options) == [CONSOLE]


ENGINE = {"hypervisor": "firecracker", "firecracker": {"drive_io_engine": "Sync"}}
VOLUME: dict[str, Any] = {"volumes": [{"image": "a.img", "size": 1}]}

IO_URING: dict[str, tuple[dict[str, Any], bool]] = {
    "no disk": ({}, False),
    "name of a file": ({"kernel": "/boot/during-io_uring"}, False),
    "disk of QEMU": (VOLUME, True),
    "argument": ({"hypervisor": "alioth", "alioth": {"extra_args": ["--net", "tap,if=a,api=iouring"]}}, True),
    "Firecracker": ({"hypervisor": "firecracker", **VOLUME}, True),
    "Firecracker's engine": ({**ENGINE, **VOLUME}, False),
    "Cloud Hypervisor": ({"hypervisor": "cloud-hypervisor", **VOLUME}, False),
}


@pytest.mark.parametrize(("options", "allowed"), IO_URING.values(), ids=IO_URING.keys())
def test_io_uring_is_denied_unless_the_command_asks_for_it(options: dict[str, Any], allowed: bool) -> None:
    denied = "~io_uring_enter io_uring_register io_uring_setup"
    assert (denied not in values("SystemCallFilter", **options)) == allowed


@pytest.mark.parametrize(
    ("options", "closed"),
    [
        *(({}, True), (TAP, False), ({"interfaces": [{"type": "user"}]}, False), ({"vsock": {"cid": 5}}, False)),
        ({"devices": [{"bus": "pci", "path": "0000:01:00.0"}]}, True),
        # udev says there that a device is plugged in.
        ({"devices": [{"bus": "usb", "path": "hostbus=1"}]}, False),
    ],
)
def test_a_microvm_without_a_network_has_no_abstract_sockets_of_the_host(options: dict[str, Any], closed: bool) -> None:
    assert ("PrivateNetwork=yes" in lines(**options)) == closed


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, ["64M"]),
        ({"devices": [{"bus": "pci", "path": "0000:01:00.0"}]}, []),
        ({"qemu": {"extra_args": ["-overcommit", "mem-lock=on"]}}, []),
    ],
)
def test_memory_is_locked_only_for_devices_or_by_request(options: dict[str, Any], limits: list[str]) -> None:
    assert values("LimitMEMLOCK", **options) == limits


def test_the_unit_runs_as_the_microvms_user() -> None:
    own = lines(**TAP)
    assert own[:4] == ["[Service]", "User=microvm-small", "Group=microvm-small", "SupplementaryGroups=kvm"]
    assert not [line for line in lines(accel="tcg") if line.startswith("SupplementaryGroups")]
    shared = lines(isolation="shared")
    assert not [line for line in shared if line.startswith(("User=", "Group="))]


def test_a_compatible_sandbox_is_the_template_s() -> None:
    strict, compat = lines(), lines(profile="compat")
    assert "SystemCallFilter=@system-service seccomp" in strict
    assert not [line for line in compat if line.startswith(("SystemCall", "Restrict", "Protect"))]
    assert "User=microvm-small" in compat


@pytest.mark.parametrize(
    ("options", "families", "closed"),
    [
        (TAP, "AF_UNIX", True),
        ({"interfaces": [{"type": "user"}]}, "AF_UNIX AF_INET AF_INET6", False),
        ({**TAP, "hypervisor": "cloud-hypervisor"}, "AF_UNIX AF_INET AF_INET6", True),
        # The kernel is behind /dev/vhost-vsock. With the family, whoever breaks out could speak to other guests.
        ({"vsock": {"cid": 5}, "use_notify_sockets": True}, "AF_UNIX", True),
        ({"devices": [{"bus": "usb", "path": "vendorid=1,productid=2"}]}, "AF_UNIX AF_NETLINK", True),
    ],
)
def test_address_families_are_restricted_to_the_needed_ones(
    options: dict[str, Any], families: str, closed: bool
) -> None:
    assert f"RestrictAddressFamilies={families}" in lines(**options)
    assert ("IPAddressDeny=any" in lines(**options)) == closed


def test_an_emulator_may_execute_memory_that_it_writes() -> None:
    assert "MemoryDenyWriteExecute=yes" in lines(accel="kvm")
    assert "MemoryDenyWriteExecute=yes" not in lines(accel="tcg")


@pytest.mark.parametrize(("image", "home"), [("a.img", "yes"), ("/srv/a.img", "yes"), ("/home/x/a.img", "read-only")])
def test_home_directories_are_visible_only_where_they_are_used(image: str, home: str) -> None:
    assert f"ProtectHome={home}" in lines(volumes=[{"image": image, "size": 1}])


def test_secrets_are_copies_of_root_s_files() -> None:
    found = lines(credential_files={"token": "/etc/100%/token"}, initrd_path="/i")
    assert "LoadCredential=token:/etc/100%%/token" in found


def test_paths_outside_of_the_state_directory_are_writable() -> None:
    shares = [
        {"tag": "a", "source": "/srv/a b", "proto": "virtiofs"},
        {"tag": "b", "source": "own", "proto": "virtiofs"},
    ]
    assert 'ReadWritePaths="/srv/a b"' in lines(shares=shares)


SHARE: dict[str, Any] = {"tag": "it's $a:b %", "source": "/srv/a b", "proto": "virtiofs"}


def test_daemons_of_shares_see_only_their_sources() -> None:
    own = lines(SHARES, shares=[SHARE, {**SHARE, "tag": "b", "source": "own", "read_only": True}])
    assert own[:4] == [
        "[Service]",
        f"RootDirectory={names.SHARE_DIRECTORY}/%i/root",
        "RootDirectoryStartOnly=yes",
        "MountAPIVFS=yes",
    ]
    sources = f"{names.SHARE_DIRECTORY}/%i/sources"
    assert own[own.index("ReadWritePaths=") + 1 :][:2] == [f"BindPaths=-{sources}/0", f"BindReadOnlyPaths=-{sources}/1"]
    assert not [line for line in own if "/srv" in line or "'" in line]


def capabilities(**options: Any) -> set[str]:
    own = lines(SHARES, shares=[SHARE], **options)
    return set(own[own.index("CapabilityBoundingSet=") + 1].partition("=")[2].split())


def test_daemons_of_shares_have_the_capabilities_that_their_options_need() -> None:
    # A host's user could become root by a program of a guest with capabilities of its own, as by a setuid one.
    assert not {"CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_SETFCAP"} & capabilities()
    assert "CAP_DAC_READ_SEARCH" in capabilities()
    assert "CAP_DAC_READ_SEARCH" not in capabilities(virtiofsd={"inode_file_handles": "never"})
    assert {"CAP_MKNOD", "CAP_SETFCAP"} < capabilities(virtiofsd={"extra_args": ["--modcaps=+mknod"]})


def test_daemons_of_users_leave_their_unit_what_begins_and_ends_them() -> None:
    theirs = {**SHARE, "posix_acl": False, "user": "games"}
    own = lines(SHARES, shares=[theirs])
    assert "CapabilityBoundingSet=CAP_CHOWN CAP_SETGID CAP_SETUID CAP_SETPCAP" in own
    assert "SystemCallFilter=open_by_handle_at" not in own
    mixed = lines(SHARES, shares=[theirs, {**SHARE, "tag": "other", "source": "/srv/other"}])
    granted = next(line for line in mixed if line.startswith("CapabilityBoundingSet=CAP"))
    assert "CAP_FOWNER" in granted and mixed[-1] == "SystemCallFilter=open_by_handle_at"


@pytest.mark.parametrize("extra", [[], ["--sandbox=namespace"]])
@pytest.mark.parametrize(("handles", "permitted"), [("never", False), ("prefer", True), ("mandatory", True)])
def test_daemons_of_shares_may_open_file_handles_where_they_are_declared(
    handles: str, permitted: bool, extra: list[str]
) -> None:
    own = lines(SHARES, shares=[SHARE], virtiofsd={"inode_file_handles": handles, "extra_args": extra})
    # Behind the line that takes it away.
    assert (own[-1] == "SystemCallFilter=open_by_handle_at") is permitted


def test_a_sandbox_of_the_operators_choice_keeps_what_the_template_permits() -> None:
    own = lines(SHARES, shares=[{**SHARE, "extra_args": ["--sandbox=namespace"]}])
    assert not [line for line in own if line.startswith(("CapabilityBoundingSet", "RestrictNamespaces"))]
    assert [line for line in own if line.startswith("SystemCall")] == ["SystemCallFilter=open_by_handle_at"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"shares": [{**SHARE, "socket": "/run/of-small/x.sock"}]}, "BindPaths=-/run/of-small"),
        ({"shares": [SHARE], "virtiofsd": {"package": "/opt/virtiofsd"}}, "BindReadOnlyPaths=-/opt/virtiofsd"),
    ],
)
def test_daemons_of_shares_see_declared_places(options: dict[str, Any], line: str) -> None:
    assert line in lines(SHARES, **options)


@pytest.mark.parametrize(("accel", "memory"), [("kvm", 1412), ("tcg", 2436)])
def test_memory_limit_includes_the_hypervisors_overhead(accel: str, memory: int) -> None:
    assert f"MemoryMax={memory}M" in lines(accel=accel, mem=800)


def test_a_unit_waits_for_its_guest_only_where_that_is_asked_for() -> None:
    vm: dict[str, Any] = {"hypervisor": "cloud-hypervisor", "vsock": {"cid": 5}}
    assert not [line for line in lines(**vm) if line.startswith("Type=")]
    assert {"Type=notify", "NotifyAccess=all"} <= set(lines(**vm, use_notify_sockets=True))


@pytest.mark.parametrize("hypervisor", ["qemu", "crosvm", "kvmtool", "stratovirt", "alioth"])
def test_a_relay_hears_what_a_guest_notifies_over_the_hosts_vsock(hypervisor: str) -> None:
    vm: dict[str, Any] = {"name": "small", "kernel": "/k", "hypervisor": hypervisor, "vsock": {"cid": 5}}
    parameter = "systemd.set_credential=vmm.notify_socket:vsock-stream:2:1029"
    silent, notifying = (
        render(parse_vm({**vm, **more}), HostFacts()).files for more in ({}, {"use_notify_sockets": True})
    )
    assert "share/microvm/notify-port" not in silent
    assert parameter.encode() not in silent["share/microvm/command-line"].content
    assert notifying["share/microvm/notify-port"].content == b"1029\n"
    assert parameter.encode() in notifying["share/microvm/command-line"].content
    assert b"\ntake_notification microvm.notify\n" in notifying["bin/microvm-run"].content
    # Its unit has the account of the hypervisor's, which owns that socket, and nothing else.
    assert notifying["share/microvm/systemd/microvm-notify@.service.conf"].content == (
        b"[Service]\nUser=microvm-small\nGroup=microvm-small\n"
    )


def test_a_context_identifier_without_a_port_for_its_relay_is_refused() -> None:
    vm: dict[str, Any] = {"name": "small", "kernel": "/k", "use_notify_sockets": True}
    files = render(parse_vm({**vm, "vsock": {"cid": 4294966270}}), HostFacts()).files
    assert files["share/microvm/notify-port"].content == b"4294967294\n"
    with pytest.raises(DeclarationError, match="use 4294966270 or less"):
        render(parse_vm({**vm, "vsock": {"cid": 4294966271}}), HostFacts())


def test_the_meaning_of_a_clean_exit_depends_on_the_hypervisor() -> None:
    assert "Environment=CLEAN_END=poweroff" in lines()
    assert "Environment=CLEAN_END=reboot" in lines(hypervisor="firecracker")


def test_a_hypervisor_brings_the_meaning_of_its_exit_statuses_along() -> None:
    assert "Environment=END_STATUSES=32:reboot,34:panic,36:watchdog" in lines(hypervisor="crosvm")
    assert not [line for line in lines() if "END_STATUSES" in line]
