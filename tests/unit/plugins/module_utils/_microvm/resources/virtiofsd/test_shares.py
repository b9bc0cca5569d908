# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shares of no MicroVM: what is refused, which steps a change takes, what the daemon's unit lets it do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import (
    SHARE_ROOT_DIRECTORY,
    share_service_unit,
    share_socket_unit,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.virtiofsd.parse import (
    parse_host_shares,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.virtiofsd.plan import plan_shares
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.virtiofsd.state import (
    Observed,
    Problem,
    UserNumbers,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.units import VIRTIOFSD_ROOT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

MEDIA: dict[str, Any] = {"name": "media", "source": "/srv/media"}
ABSENT: dict[str, Any] = {"name": "media", "state": "absent"}
SOCKET, SERVICE = share_socket_unit("media"), share_service_unit("media")
START = [f"write {SOCKET}", f"write {SERVICE}", f"enable {SOCKET}", "reload systemd for media", f"start {SOCKET}"]

NEW = Observed(
    accounts={"root": UserNumbers(0, 0), "alice": UserNumbers(1000, 1001)},
    programs={"virtiofsd": "/usr/libexec/virtiofsd"},
    owners={"media": UserNumbers(0, 0)},
)


def files(**options: Any) -> dict[str, str]:
    """Return the files of the units of a share."""
    return dict(plan_shares(NEW, parse_host_shares([{**MEDIA, **options}]), False)[0].after)


def serving(*, in_use: bool = False, **options: Any) -> Observed:
    """Return a host that serves a share."""
    units = [SOCKET, *([SERVICE] if in_use else [])]
    return replace(
        NEW,
        units=files(**options),
        active=frozenset(units),
        enabled=frozenset((SOCKET,)),
        sources=frozenset(("/srv/media",)),
    )


def steps(observed: Observed, share: dict[str, Any], *, may_interrupt: bool = False) -> list[str]:
    """Return the steps of a share."""
    return [str(step) for step in plan_shares(observed, parse_host_shares([share]), may_interrupt)[0].steps]


def refusal(share: dict[str, Any], observed: Observed = NEW) -> str:
    """Return the message by which a share is refused."""
    with pytest.raises(DeclarationError) as error:
        plan_shares(observed, parse_host_shares([share]), False)
    return str(error.value)


def test_a_new_share_gets_its_directory_and_listens() -> None:
    assert steps(NEW, MEDIA) == ["create directory /srv/media", *START]


def test_a_directory_of_two_shares_is_created_once() -> None:
    observed = replace(NEW, owners={**NEW.owners, "second": UserNumbers(0, 0)})
    first, second = plan_shares(observed, parse_host_shares([MEDIA, {**MEDIA, "name": "second"}]), False)
    assert "create directory /srv/media" in map(str, first.steps)
    assert not any("create" in str(step) for step in second.steps)


def test_a_share_that_is_removed_has_no_directory_for_others() -> None:
    observed = replace(NEW, owners={**NEW.owners, "second": UserNumbers(0, 0)})
    shares = parse_host_shares([{**MEDIA, "state": "absent"}, {**MEDIA, "name": "second"}])
    assert "create directory /srv/media" in map(str, plan_shares(observed, shares, False)[1].steps)


@pytest.mark.parametrize("in_use", [False, True])
def test_a_share_that_is_served_stays_as_it_is(in_use: bool) -> None:
    assert steps(serving(in_use=in_use), MEDIA) == []


def test_a_change_of_the_daemon_alone_leaves_the_socket_to_listen() -> None:
    assert steps(serving(), {**MEDIA, "read_only": True}) == [f"write {SERVICE}", "reload systemd for media"]


def test_another_socket_is_begun_after_the_former_one_has_ended() -> None:
    changed = steps(serving(), {**MEDIA, "group": "kvm"})
    assert changed == [f"stop {SOCKET}", f"write {SOCKET}", "reload systemd for media", f"start {SOCKET}"]


@pytest.mark.parametrize("share", [{**MEDIA, "read_only": True}, {**MEDIA, "group": "kvm"}, ABSENT])
def test_a_share_in_use_is_interrupted_only_on_demand(share: dict[str, Any]) -> None:
    observed = serving(in_use=True)
    assert "while a hypervisor is connected to it" in refusal(share, observed)
    assert steps(observed, share, may_interrupt=True)[:2] == [f"stop {SOCKET}", f"stop {SERVICE}"]


def test_a_socket_that_somebody_has_stopped_listens_again() -> None:
    observed = replace(serving(), active=frozenset(), failed=frozenset((SOCKET,)))
    assert steps(observed, MEDIA) == [f"start {SOCKET}"]


def test_units_that_systemd_has_not_read_again_are_read() -> None:
    assert steps(replace(serving(), stale=frozenset((SERVICE,))), MEDIA) == ["reload systemd for media"]


def test_a_removal_leaves_nothing_of_the_units_and_the_directory_as_it_is() -> None:
    removed = steps(serving(), ABSENT)
    assert removed == [
        f"stop {SOCKET}",
        f"disable {SOCKET}",
        f"remove {SOCKET}",
        f"remove {SERVICE}",
        "reload systemd for media",
    ]
    assert steps(NEW, ABSENT) == []


def test_a_removal_forgets_a_daemon_that_has_failed() -> None:
    assert f"stop {SERVICE}" in steps(replace(serving(), failed=frozenset((SERVICE,))), ABSENT)


@pytest.mark.parametrize(
    ("options", "key", "reason"),
    [
        ({"source": None}, "source", "is required"),
        ({"source": "srv/media"}, "source", "is not a plain absolute path"),
        ({"source": "/srv/a b"}, "source", "is not a plain absolute path"),
        ({"socket": "/run/%n.sock"}, "socket", "is not a plain absolute path"),
        ({"socket": "/run/" + "x" * 120}, "socket", "at most 107"),
        ({"posix_acl": True, "translate_uid": ["map:0:1:1"]}, "posix_acl", "no access control lists"),
        ({"posix_acl": True, "user": "alice"}, "posix_acl", "no access control lists"),
        ({"translate_uid": ["0:1:1"]}, "translate_uid[0]", "is not a translation"),
        ({"inode_file_handles": "prefer", "user": "alice"}, "inode_file_handles", "only root"),
        ({"package": "other"}, "package", "does not exist on this host"),
        ({"extra_args": ["--log-level=debug", "--sandbox=none"]}, "extra_args[1]", "determines --sandbox"),
        ({"extra_args": ["--shared-dir", "/"]}, "extra_args[0]", "set `source` instead"),
        ({"extra_args": ["-osource=/"]}, "extra_args[0]", "remove this argument"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], key: str, reason: str) -> None:
    share = {key: value for key, value in {**MEDIA, **options}.items() if value is not None}
    message = refusal(share)
    assert f"shares[0].{key}" in message
    assert reason in message


def test_what_the_host_does_not_allow_is_refused_with_its_option() -> None:
    problem = Problem("group", "there is no group 'x' on this host")
    assert refusal(MEDIA, replace(NEW, problems={"media": problem})).startswith("shares[0].group")


def test_two_shares_have_two_names_and_two_sockets() -> None:
    with pytest.raises(DeclarationError, match="media is already used"):
        parse_host_shares([MEDIA, MEDIA])
    with pytest.raises(DeclarationError, match="socket"):
        parse_host_shares([{**MEDIA, "socket": "/run/x.sock"}, {**MEDIA, "name": "b", "socket": "/run/x.sock"}])


def test_a_daemon_of_roots_sees_its_source_alone() -> None:
    service = files()[SERVICE].splitlines()
    assert "BindPaths=/srv/media:/share" in service
    assert f"RootDirectory={SHARE_ROOT_DIRECTORY}/media" in service
    assert "--shared-dir=/share" in files()[SERVICE]
    assert not any("open_by_handle_at" in line or "CAP_DAC_READ_SEARCH" in line for line in service)


@pytest.mark.parametrize(
    ("program", "bound"),
    [
        ("/usr/local/bin/virtiofsd", []),
        ("/nix/store/x/bin/virtiofsd", []),
        ("/bin/virtiofsd", []),
        ("/opt/virtiofsd/bin/virtiofsd", ["/opt/virtiofsd"]),
        ("/opt/virtiofsd/libexec/virtiofsd", ["/opt/virtiofsd"]),
        ("/opt/virtiofsd", ["/opt/virtiofsd"]),
        ("/libexec/virtiofsd", ["/libexec/virtiofsd"]),
        ("/virtiofsd", ["/virtiofsd"]),
    ],
)
def test_a_daemon_of_roots_sees_its_program_wherever_that_is(program: str, bound: list[str]) -> None:
    observed = replace(NEW, programs={program: program})
    (planned,) = plan_shares(observed, parse_host_shares([{**MEDIA, "package": program}]), False)
    lines = planned.after[SERVICE].replace(VIRTIOFSD_ROOT, "").splitlines()
    assert [line for line in lines if line.startswith("BindReadOnlyPaths=")] == [
        f"BindReadOnlyPaths={path}" for path in bound
    ]


@pytest.mark.parametrize("handles", ["prefer", "mandatory"])
def test_file_handles_have_what_they_need(handles: str) -> None:
    service = files(inode_file_handles=handles)[SERVICE]
    assert f"--inode-file-handles={handles}" in service
    assert "SystemCallFilter=open_by_handle_at\n" in service
    assert "CAP_DAC_READ_SEARCH" in service


def test_a_daemon_of_a_user_has_no_privilege_and_gives_files_to_the_user() -> None:
    service = files(user="alice")[SERVICE]
    assert "User=1000\nGroup=1001\nCapabilityBoundingSet=\n" in service
    assert '"--translate-uid=squash-guest:0:1000:4294967295"' in service
    assert '"--translate-gid=squash-guest:0:1001:4294967295"' in service
    assert "--posix-acl" not in service
    assert "ReadWritePaths=/srv/media\n" in service


@pytest.mark.parametrize("handles", ["never", "prefer"])
def test_a_guest_makes_no_device_nodes_and_no_programs_with_capabilities(handles: str) -> None:
    service = files(inode_file_handles=handles)[SERVICE]
    (granted,) = (line for line in service.splitlines() if line.startswith("CapabilityBoundingSet="))
    assert '"--modcaps=-mknod:-setfcap"' in service
    assert not {"CAP_MKNOD", "CAP_SETFCAP"} & {*granted.partition("=")[2].split()}


@pytest.mark.parametrize("user", ["root", "alice"])
def test_many_connections_in_a_row_do_not_end_the_socket(user: str) -> None:
    unit, _service, _rest = files(user=user)[SERVICE].partition("[Service]")
    assert "StartLimitIntervalSec=10\nStartLimitBurst=50\n" in unit


def test_a_read_only_share_is_mounted_so() -> None:
    assert "BindReadOnlyPaths=/srv/media:/share\n" in files(read_only=True)[SERVICE]
    assert "ReadWritePaths" not in files(read_only=True, user="alice")[SERVICE]


def test_options_reach_the_daemon() -> None:
    service = files(
        cache="never",
        thread_pool_size=4,
        tag="it's",
        translate_uid=["map:0:100000:65536"],
        extra_args=["--log-level=debug", "$HOME %h"],
    )[SERVICE]
    for word in ("--cache=never", "--thread-pool-size=4", "--tag=it's", "--translate-uid=map:0:100000:65536"):
        assert f'"{word}"' in service
    assert "ExecStart=:/usr/libexec/virtiofsd " in service
    assert '"$HOME %%h"' in service


@pytest.mark.parametrize(
    ("declared", "is_given"), [({}, True), ({"posix_acl": True}, True), ({"posix_acl": False}, False)]
)
def test_access_control_lists_can_be_withheld(declared: dict[str, Any], is_given: bool) -> None:
    assert ("--posix-acl" in files(**declared)[SERVICE]) == is_given


def test_only_the_group_connects() -> None:
    assert "SocketMode=0600" in files()[SOCKET]
    assert "SocketGroup=kvm\nSocketMode=0660\n" in files(group="kvm")[SOCKET]
