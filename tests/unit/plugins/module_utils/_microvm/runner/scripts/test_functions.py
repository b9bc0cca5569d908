# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shell functions of packages' scripts, called as the files have them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[7] / "plugins" / "module_utils" / "_microvm" / "runner" / "scripts"
STOP = SCRIPTS.parents[1] / "resources" / "host_setup" / "scripts" / "microvm-stop.bash"
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"
NASTY = 'it\'s $HOME `id` \\ "x" *'


def bash(directory: Path, script: str, *files: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the directory, after the functions of the files, with programs of ``directory``/bin first."""
    sources = "".join(f"source {SCRIPTS}/{file}.bash\n" for file in files)
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{sources}{script}"],
        cwd=directory,
        env={"PATH": f"{directory}/bin:{PROGRAMS}", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def fake(directory: Path, name: str, script: str) -> None:
    """Make a program that takes the place of a real one."""
    program = directory / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/usr/bin/env bash\n{script}\n")
    program.chmod(0o755)


def test_a_recorded_process_is_running_until_it_ends(tmp_path: Path) -> None:
    script = f"source {SCRIPTS}/record_process.bash; record_process p; exec sleep 600"
    with subprocess.Popen(["bash", "-c", script], cwd=tmp_path) as process:
        while not (tmp_path / "p").exists() or not (tmp_path / "p").read_text():
            assert process.poll() is None
        assert (tmp_path / "p").read_text().split()[0] == str(process.pid)
        assert bash(tmp_path, "is_running p", "is_running").returncode == 0
        process.kill()
        process.wait()
    assert bash(tmp_path, "is_running p", "is_running").returncode == 1


SLOW = "unset SECONDS; SECONDS=0; sleep() { :; }; is_running() { SECONDS=$((SECONDS + 7)); echo look; }\n"
"""Host on which a look at the process takes seven seconds, and nothing else takes time."""


def test_an_end_is_waited_for_by_the_clock(tmp_path: Path) -> None:
    done = bash(tmp_path, SLOW + "end_guest p 20", "end_guest", GUEST_ASKED="yes")
    assert done.stdout == 3 * "look\n" and done.stderr == "the guest has not ended within 20 seconds\n"
    function = re.findall(r"^await_end\(\) \{.*?^\}\n", STOP.read_text(), re.MULTILINE | re.DOTALL)[0]
    done = bash(tmp_path, f"process= started=\n{function}{SLOW}await_end 20")
    assert done.returncode == 1 and done.stdout == 3 * "look\n"


@pytest.mark.parametrize("content", ["", "\n", f"{os.getpid()} 1\n"], ids=["empty", "a blank line", "another start"])
def test_a_file_that_names_no_running_process_is_believed_to_be_of_none(content: str, tmp_path: Path) -> None:
    assert bash(tmp_path, "is_running p", "is_running").returncode == 1
    (tmp_path / "p").write_text(content)
    assert bash(tmp_path, "is_running p", "is_running").returncode == 1


def test_a_volume_is_made_once(tmp_path: Path) -> None:
    fake(tmp_path, "mkfs.toy", 'echo "$@" > "${@: -1}"')
    call = "create_volume a.img 8 mkfs.toy -L label"
    assert bash(tmp_path, call, "volumes").stdout == "creating a.img: 8 MiB, mkfs.toy\n"
    assert (tmp_path / "a.img").read_text() == "-L label a.img.partial\n"
    (tmp_path / "a.img").write_bytes(b"x" * 9 * 1024 * 1024)
    assert bash(tmp_path, call, "volumes").stdout == ""


def test_a_volume_is_not_made_through_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "a.img").symlink_to("/nonexistent/place")
    done = bash(tmp_path, "create_volume a.img 8 true", "volumes")
    assert done.returncode == 1 and "leads nowhere" in done.stderr


def test_credentials_are_an_archive_after_the_initial_ram_disk(tmp_path: Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed")
    (tmp_path / "initrd").write_text("five!")
    (tmp_path / NASTY).write_text("secret")
    script = """\
begin_initrd tested
add_credential "$FILE" "$FILE"
join_initrd initrd
exec 3<"$initrd_directory/initrd"
end_initrd
[ ! -e "$initrd_directory" ]
cat <&3 > joined"""
    done = bash(tmp_path, script, "initrd_credentials", FILE=NASTY)
    assert done.returncode == 0, done.stderr
    joined = (tmp_path / "joined").read_bytes()
    assert joined[:512] == b"five!".ljust(512, b"\0")
    command = ["cpio", "--quiet", "--extract", "--to-stdout", f".extra/system_credentials/{NASTY}.cred"]
    # A backslash in a pattern of cpio means the character after it.
    command[-1] = command[-1].replace("\\", "\\\\").replace("*", "\\*")
    assert subprocess.run(command, input=joined[512:], capture_output=True, check=True).stdout == b"secret"


def test_a_failed_start_leaves_no_credentials(tmp_path: Path) -> None:
    script = 'begin_initrd tested; echo "$initrd_directory"; join_initrd nonexistent'
    done = bash(tmp_path, script, "initrd_credentials")
    assert done.returncode != 0
    assert not Path(done.stdout.strip()).exists()


@pytest.mark.parametrize(("directory", "expected"), [({}, "/etc/token"), ({"CREDENTIALS_DIRECTORY": "."}, "./token")])
def test_a_copy_of_a_credential_comes_first(directory: dict[str, str], expected: str, tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    assert bash(tmp_path, "credential_file token /etc/token", "credential_file", **directory).stdout == f"{expected}\n"


def test_printed_arguments_are_not_expanded(tmp_path: Path) -> None:
    fake(tmp_path, "printer", "printf '%s\\n' '-a $(touch x) *' '-b'")
    script = "read_extra_arguments printer; printf '%s\\n' \"${extra_arguments[@]}\""
    assert bash(tmp_path, script, "extra_arguments").stdout.split("\n")[:-1] == ["-a", "$(touch", "x)", "*", "-b"]
    assert not (tmp_path / "x").exists()


def test_a_sidecar_that_ends_early_ends_the_start(tmp_path: Path) -> None:
    done = bash(tmp_path, "start_sidecar s.sock false; echo started", "sidecar")
    assert done.returncode == 1 and done.stdout == ""


@pytest.mark.parametrize(("answer", "status"), [('{"return": {}}', 0), ('{"error": {}}', 1)])
def test_an_error_of_qmp_is_a_failure(answer: str, status: int, tmp_path: Path) -> None:
    fake(tmp_path, "socat", f"cat > sent; echo '{answer}'")
    done = bash(tmp_path, 'qmp_request UNIX-CONNECT:s \'{"execute":"quit"}\'', "qmp_request")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"{answer}\n" if status else "")
    assert [json.loads(line)["execute"] for line in (tmp_path / "sent").read_text().splitlines()] == [
        "qmp_capabilities",
        "quit",
    ]


@pytest.mark.parametrize(("answer", "status"), [('{"return": {}}', 0), ('{"error": {}}', 1)])
def test_a_hypervisor_that_reads_one_command_gets_one(answer: str, status: int, tmp_path: Path) -> None:
    fake(tmp_path, "socat", f"cat > sent; echo '{answer}'")
    done = bash(tmp_path, 'qmp_command UNIX-CONNECT:s \'{"execute":"quit"}\'', "qmp_command")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"{answer}\n" if status else "")
    assert json.loads((tmp_path / "sent").read_text()) == {"execute": "quit"}


BALLOON = """\
# As lkvm does: a difference that takes more than is in the balloon is ignored.
request() { echo $(($(< held) + difference)) > held; }
shrink() { if [ "$(< held)" -ge "$difference" ]; then echo $(($(< held) - difference)) > held; fi; }
"""


@pytest.mark.parametrize("held", [0, 1, 63, 64, 300, 511, 512, 777])
@pytest.mark.parametrize("size", [0, 1, 64, 511])
def test_a_balloon_that_takes_differences_gets_its_size_whatever_it_had(held: int, size: int, tmp_path: Path) -> None:
    (tmp_path / "held").write_text(f"{held}\n")
    for _again in range(2):
        done = bash(tmp_path, f"{BALLOON}set_balloon_by_differences 512 {size}", "balloon")
        assert (done.returncode, (tmp_path / "held").read_text()) == (0, f"{size}\n"), done.stderr


def test_a_balloon_that_takes_differences_leaves_the_guest_some_memory(tmp_path: Path) -> None:
    (tmp_path / "held").write_text("7\n")
    assert bash(tmp_path, f"{BALLOON}set_balloon_by_differences 512 512", "balloon").returncode == 2
    assert (tmp_path / "held").read_text() == "7\n"


def test_machined_gets_the_process_and_the_machine_id(tmp_path: Path) -> None:
    fake(tmp_path, "busctl", 'printf "%s|" "$@"')
    done = bash(tmp_path, 'register_machine web 42 \'{"name": "web"}\' 2 1 255', "register_machine")
    assert done.stdout.endswith("|RegisterMachine|sayssus|web|2|1|255|microvm.fleet|vm|42||")
    done = bash(tmp_path, 'varlink_parameters \'{"name": "web"}\' 42', "register_machine")
    assert json.loads(done.stdout) == {"name": "web", "leader": 42}


@pytest.mark.parametrize(
    ("action", "output"),
    [
        (
            "tap-up",
            "make_tap tap0 microvm  vnet_hdr multi_queue\nbind_tap tap0 02:00:00:00:00:02 10.0.0.2 dhcp\n"
            "name_guest web tap0 02:00:00:00:00:02 10.0.0.2 dhcp\napply_network_settings\n",
        ),
        ("tap-down", "remove_tap tap0 microvm\nunbind_missing_taps\n"),
        ("macvtap-up", "make_macvtap mac0 microvm microvm eth0 02:00:00:00:00:01 bridge\n"),
        ("macvtap-down", "remove_macvtap mac0\nunbind_missing_macvtaps\n"),
        ("pci-setup", "begin_devices devices.list\ntake_pci_device 0000:00:01.0 microvm microvm\n"),
        ("pci-teardown", "give_pci_device_back 0000:00:01.0 devices.list\n"),
        ("block-devices-give", f"give_block_device r /dev/vg0/data {os.getuid()}\n"),
        ("block-devices-take", f"take_block_device /dev/vg0/data {os.getuid()}\n"),
    ],
)
def test_a_package_without_scripts_is_served_by_its_lists(action: str, output: str, tmp_path: Path) -> None:
    fake(tmp_path, "modprobe", "")
    lists = tmp_path / "current" / "share" / "microvm"
    lists.mkdir(parents=True)
    (lists / "tap-interfaces").write_text("tap0\n")
    (lists / "tap-guests").write_text(
        "tap01 02:00:00:00:00:03\n.ap0 02:00:00:00:00:04\ntap0 02:00:00:00:00:02 10.0.0.2 dhcp\n"
    )
    (lists / "tap-flags").write_text("vnet_hdr\nmulti_queue\n")
    (lists / "macvtap-interfaces").write_text("mac0 02:00:00:00:00:01 eth0 bridge\n")
    (lists / "pci-devices").write_text("0000:00:01.0\n")
    (lists / "block-devices").write_text("r /dev/vg0/data\n")
    (tmp_path / "work").mkdir()
    done = run_action(tmp_path, action)
    assert (done.returncode, done.stdout) == (0, output), done.stderr


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        (None, ""),
        (
            'PROGRAM=="/usr/bin/stat /vms/web1/work", OWNER="%c"\nPROGRAM=="/usr/bin/stat /vms/eb/work", OWNER="%c"\n',
            "",
        ),
        ('PROGRAM=="/usr/bin/stat /vms/web/work", OWNER="%c"\n', "trigger --settle --subsystem-match=usb"),
    ],
)
def test_udev_is_asked_again_for_devices_of_a_new_user(rules: str | None, asked: str, tmp_path: Path) -> None:
    fake(tmp_path, "udevadm", 'echo "$@"')
    (tmp_path / "current").mkdir()
    if rules is not None:
        (tmp_path / "rules").write_text(rules)
    done = run_action(tmp_path, "devices-permit")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(asked) and bool(done.stdout) == bool(asked)


def test_a_package_s_own_script_comes_first(tmp_path: Path) -> None:
    for link in ("current", "booted"):
        (tmp_path / link).mkdir()
        fake(tmp_path / link, "tap-down", f"echo {link}")
    assert run_action(tmp_path, "tap-down").stdout == "booted\nunbind_missing_taps\n"
    assert run_action(tmp_path, "nonsense").returncode == 2


@pytest.mark.parametrize(
    ("listed", "bound"), [(None, "tap0\n"), ("tap0 02:00:00:00:00:02\n", "tap0 02:00:00:00:00:02\n")]
)
def test_taps_of_a_package_s_own_script_are_bound_too(listed: str | None, bound: str, tmp_path: Path) -> None:
    lists = tmp_path / "current" / "share" / "microvm"
    lists.mkdir(parents=True)
    fake(tmp_path / "current", "tap-up", "echo own")
    (lists / "tap-interfaces").write_text("tap0\n")
    if listed is not None:
        (lists / "tap-guests").write_text(listed)
    done = run_action(tmp_path, "tap-up")
    assert done.stdout == f"own\nbind_tap {bound}name_guest web {bound}apply_network_settings\n"


def test_macvtaps_that_join_a_network_are_bound_when_their_package_has_made_them(tmp_path: Path) -> None:
    lists = tmp_path / "current" / "share" / "microvm"
    lists.mkdir(parents=True)
    fake(tmp_path / "current", "macvtap-up", "echo own")
    (lists / "macvtap-guests").write_text("mac0 wire0 02:00:00:00:00:01 dhcp\nmac1 wire1 02:00:00:00:00:02 10.0.0.2\n")
    done = run_action(tmp_path, "macvtap-up")
    bound = "bind_macvtap mac0 wire0 02:00:00:00:00:01 dhcp\nbind_macvtap mac1 wire1 02:00:00:00:00:02 10.0.0.2\n"
    assert (done.returncode, done.stdout) == (0, f"own\n{bound}"), done.stderr
    done = run_action(tmp_path, "macvtap-up", "bind_macvtap() { return 1; }\n")
    assert (done.returncode, done.stdout) == (1, "own\nunbind_missing_taps\nunbind_missing_macvtaps\n")


@pytest.mark.parametrize(
    ("listed", "address", "first_rule"),
    [
        ("10.0.0.2", "arp saddr ip { 10.0.0.2 } accept", "ip saddr { 10.0.0.2 } accept"),
        ("10.0.0.2 fd00::2 10.0.0.3", "arp saddr ip { 10.0.0.2, 10.0.0.3 } accept", "ip6 saddr { fd00::2 } accept"),
        ("10.0.0.2 dhcp", "accept", "accept"),
        ("fd00::2", "", "@th,64,128 { 0xfd000000000000000000000000000002 } goto guest_source6"),
    ],
)
def test_the_rules_of_a_macvtap_are_of_the_addresses_of_its_guest(
    listed: str, address: str, first_rule: str, tmp_path: Path
) -> None:
    given = {name: f"{tmp_path}/{name}" for name in ("network_list", "network_unit", "tap_rules", "network_settings")}
    call = f"macvtap_rules mv-a wire0 02:00:0A:00:00:bC {listed}"
    rules = bash(tmp_path, call, "bind_taps", "bind_macvtap", **given).stdout.splitlines()
    assert rules[:2] == ["# network wire0", "table netdev microvm_mv-a"]
    stripped = [line.strip() for line in rules]
    assert stripped[stripped.index("arp saddr ether != 02:00:0A:00:00:bC counter drop") + 1] == address
    assert first_rule in stripped
    assert "ip6 saddr & ::ffff:ffff:ffff:ffff == ::0000:0aff:fe00:00bc accept" in stripped


def test_a_tap_is_found_by_its_name_not_by_an_expression(tmp_path: Path) -> None:
    lists = tmp_path / "current" / "share" / "microvm"
    lists.mkdir(parents=True)
    (lists / "tap-interfaces").write_text("t.0\n")
    (lists / "tap-guests").write_text("tx0 02:00:00:00:00:03\nt.0 * 10.0.0.2\n")
    assert "\nbind_tap t.0 * 10.0.0.2\n" in run_action(tmp_path, "tap-up").stdout


def test_taps_that_a_package_does_not_list_are_bound_by_their_bridges(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    fake(tmp_path / "current", "tap-up", "echo own")
    assert run_action(tmp_path, "tap-up").stdout == "own\nbind_unlisted_taps\napply_network_settings\n"


@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("has_script", [True, False])
def test_taps_that_cannot_be_bound_go_as_their_package_takes_them_away(
    is_listed: bool, has_script: bool, tmp_path: Path
) -> None:
    lists = tmp_path / "current" / "share" / "microvm"
    lists.mkdir(parents=True)
    fake(tmp_path / "current", "tap-up", "echo own")
    if has_script:
        fake(tmp_path / "current", "tap-down", "echo down")
    if is_listed:
        (lists / "tap-interfaces").write_text("tap0\ntap1\n")
    fails = "bind_tap() { echo bind_tap $1; return 1; }; bind_unlisted_taps() { echo bind; return 1; }\n"
    done = run_action(tmp_path, "tap-up", fails)
    bound = "bind_tap tap0\n" if is_listed else "bind\n"
    removed = "remove_tap tap0 microvm\nremove_tap tap1 microvm\n" if is_listed else ""
    assert done.stdout == f"own\n{bound}" + ("down\n" if has_script else removed) + "unbind_missing_taps\n"
    assert done.returncode == 1, done.stderr


def test_the_elements_of_a_tap_for_ipv6_are_what_it_declares_and_what_its_mac_address_makes(tmp_path: Path) -> None:
    given = {name: f"{tmp_path}/{name}" for name in ("network_list", "network_unit", "tap_rules", "network_settings")}
    call = (
        "ipv6_elements tap0 02:00:0A:00:00:bC fd00:0066:0001:0000 10.0.0.2 fd00:66:1::10 ::1 2001:db8:0:1:2:3:4:5 dhcp"
    )
    elements = bash(tmp_path, call, "bind_taps", **given).stdout.replace("add element bridge microvm_fleet ", "")
    addresses = {
        "fe80:0:0:0:0000:0aff:fe00:00bc": "fe8000000000000000000afffe0000bc",
        "fd00:0066:0001:0000:0000:0aff:fe00:00bc": "fd0000660001000000000afffe0000bc",
        "fd00:66:1::10": "fd000066000100000000000000000010",
        "::1": "00000000000000000000000000000001",
        "2001:db8:0:1:2:3:4:5": "20010db8000000010002000300040005",
    }
    assert elements.splitlines() == [
        'taps6 { "tap0" }',
        *(
            f'{kind}6 {{ "tap0" . {value} }}'
            for address, number in addresses.items()
            for kind, value in (("addresses", address), ("targets", f"0x{number}"))
        ),
    ]


def test_the_elements_of_a_tap_in_a_lan_bind_the_second_half_of_its_addresses(tmp_path: Path) -> None:
    given = {name: f"{tmp_path}/{name}" for name in ("network_list", "network_unit", "tap_rules", "network_settings")}
    outputs = [
        bash(tmp_path, f"lan_elements tap0 lan0 {words}", "bind_taps", **given).stdout.splitlines()
        for words in ("02:00:0A:00:00:bC 10.0.0.2 ::1 dhcp", "''")
    ]
    bridge, unknown = "add element bridge microvm_fleet", 'lan_taps { "tap0" }'
    assert outputs == [
        [
            f"{bridge} {unknown}",
            'add element inet microvm_fleet lan_guests { "lan0" . 02:00:0A:00:00:bC }',
            f'{bridge} lan_taps6 {{ "tap0" }}',
            f'{bridge} lan_identifiers {{ "tap0" . 0x00000afffe0000bc }}',
            f'{bridge} lan_addresses {{ "tap0" . ::1 }}',
            f'{bridge} lan_targets {{ "tap0" . 0x00000000000000000000000000000001 }}',
        ],
        [f"{bridge} {unknown}"],
    ]


def test_the_elements_of_a_tap_are_what_its_guest_declares(tmp_path: Path) -> None:
    given = {name: f"{tmp_path}/{name}" for name in ("network_list", "network_unit", "tap_rules", "network_settings")}
    call = "tap_elements tap0 {} 10.0.0.0/24 {} {}"
    outputs = [
        bash(tmp_path, call.format(*words), "bind_taps", **given).stdout.replace(
            "add element bridge microvm_fleet ", ""
        )
        for words in (("02:00:00:00:00:02", "''", "10.0.0.2 fd00::2"), ("''", "10.0.0.9", "dhcp"), ("''", "''", ""))
    ]
    assert [output.splitlines() for output in outputs] == [
        [
            'taps { "tap0" }',
            'macs { "tap0" . 02:00:00:00:00:02 }',
            "bound_macs { 02:00:00:00:00:02 }",
            'addresses { "tap0" . 10.0.0.2 }',
            "bound { 10.0.0.2 }",
        ],
        ['taps { "tap0" }', 'anonymous { "tap0" }', 'addresses { "tap0" . 10.0.0.9 }', "bound { 10.0.0.9 }"],
        ['taps { "tap0" }', 'anonymous { "tap0" }', 'subnets { "tap0" . 10.0.0.0/24 }'],
    ]


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="owners of directories are changed")


def enter(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Enter a directory, and print where that has led."""
    call = f"enter_directory {shlex.join([str(path), *options])}\nreadlink /proc/self/cwd"
    return (
        bash(path.parent, call, "enter_directory") if path.parent.is_dir() else bash(Path("/"), call, "enter_directory")
    )


@pytest.fixture(name="tree")
def _tree() -> Iterator[Path]:
    """Directory that only root can change, with one of somebody else's in it, links and directories in both."""
    with tempfile.TemporaryDirectory(dir="/var/lib") as directory:
        tree = Path(directory)
        tree.chmod(0o755)
        for place in ("roots", "others", "others/deep", f"others/{NASTY}"):
            (tree / place).mkdir()
        (tree / "to-others").symlink_to("roots/../others")
        (tree / "others" / "link").symlink_to(tree / "roots")
        (tree / "sticky").mkdir()
        (tree / "sticky").chmod(0o1777)
        (tree / "sticky" / "roots").mkdir()
        (tree / "sticky" / "others").mkdir()
        for place in ("others", "sticky/others"):
            os.chown(tree / place, 65534, 65534)
        yield tree


@AS_ROOT
@pytest.mark.parametrize("path", ["roots", "others/deep", f"others/{NASTY}", "./others//deep/"])
def test_directories_are_entered(tree: Path, path: str) -> None:
    done = enter(Path(f"{tree}/{path}"))
    assert (done.returncode, done.stdout) == (0, f"{(tree / path).resolve()}\n"), done.stderr


@AS_ROOT
@pytest.mark.parametrize("path", ["others/link", "others/link/x", "to-others", "to-others/deep"])
def test_links_are_refused_whoever_seems_to_have_created_them(tree: Path, path: str) -> None:
    done = enter(tree / path)
    assert done.returncode == 1 and "is a link, which others than root may have made" in done.stderr


@pytest.mark.skipif(not os.path.islink("/bin"), reason="this machine has no link in its root directory")
def test_links_in_the_root_directory_are_followed() -> None:
    assert enter(Path("/bin")).stdout == "/usr/bin\n"


@AS_ROOT
@pytest.mark.parametrize(
    ("path", "status"),
    [("roots", 0), ("others", 0), ("others/deep", 1), ("sticky/roots", 0), ("sticky/others", 1)],
)
def test_a_strict_path_is_one_that_only_root_can_change(tree: Path, path: str, status: int) -> None:
    assert enter(tree / path, "strict").returncode == status


@AS_ROOT
def test_missing_directories_are_created_only_on_request(tree: Path) -> None:
    assert enter(tree / "others" / "a" / "b").returncode == 1
    assert enter(tree / "others" / "a" / "b", "create").returncode == 0
    assert (tree / "others" / "a" / "b").is_dir()
    assert enter(tree / "others" / "c", "create", "strict").returncode == 1
    assert not (tree / "others" / "c").exists()


@AS_ROOT
def test_a_directory_that_is_replaced_while_it_is_entered_is_noticed(tree: Path) -> None:
    """The kernel's answer differs from the path; here, since the program that asks moves the directory first."""
    fake(tree / "roots", "readlink", f'mv {tree}/others {tree}/moved 2>/dev/null; exec /usr/bin/readlink "$@"')
    done = bash(tree / "roots", f"enter_directory {tree}/others/deep", "enter_directory")
    assert done.returncode == 1


EXCHANGE = """
import ctypes
libc = ctypes.CDLL(None)
while libc.renameat2(-100, b"deep", -100, b"link", 2) == 0:
    pass
"""
"""Exchanges two entries of a directory for ever, each time in one step."""


@AS_ROOT
def test_a_directory_that_becomes_a_link_while_it_is_looked_at_is_not_followed(tree: Path) -> None:
    """Whatever the order of events is, the link's directory is not entered."""
    enter = f"(enter_directory {tree}/others/deep 2>/dev/null && readlink /proc/self/cwd) || true"
    with subprocess.Popen([sys.executable, "-c", EXCHANGE], cwd=tree / "others") as attacker:
        try:
            done = bash(tree, f"for try in {{1..60}}; do {enter}; done", "enter_directory")
        finally:
            attacker.kill()
    assert set(done.stdout.split()) <= {f"{tree}/others/deep", f"{tree}/others/link"}


def run_action(
    directory: Path, action: str, functions_of_test: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Call what microvm-package does, with functions that print what they are asked to do."""
    functions = ["make_tap", "remove_tap", "make_macvtap", "remove_macvtap"]
    functions += [
        "begin_devices",
        "take_pci_device",
        "give_pci_device_back",
        "give_block_device",
        "take_block_device",
        "bind_tap",
        "name_guest",
    ]
    functions += ["bind_unlisted_taps", "unbind_missing_taps", "apply_network_settings"]
    functions += ["bind_macvtap", "unbind_missing_macvtaps"]
    fakes = "".join(f'{name}() {{ echo {name} "$@"; }}\n' for name in functions)
    variables = {"user": "microvm", "group": "microvm", "current": "current", "booted": "booted"}
    variables |= {"work": "work", "sockets": "sockets", "shares_directory": "shares", "restarts_directory": "restarts"}
    variables["lost_shares_directory"] = "lost"
    variables |= {
        "device_list": "devices.list",
        "device_rules": "rules",
        "console_directory": "consoles",
        "huge_pages_prefix": f"{directory}/huge/microvm-",
    }
    return bash(
        directory, f"{fakes}{functions_of_test}run_action {action} web", "package_actions", **variables, **environment
    )


@pytest.mark.parametrize(
    ("result", "status", "before", "after"),
    [
        ("exit-code", "137", None, "1"),
        ("signal", "KILL", "4", "5"),
        ("oom-kill", "KILL", "9", "10"),
        # A reboot of the guest, its poweroff or a stop, and a crash that `on_crash` leaves it in.
        ("success", "133", "1", "2"),
        ("success", "0", "3", None),
        ("exit-code", "134", "2", "2"),
    ],
)
def test_the_ends_that_another_start_follows_are_counted(
    tmp_path: Path, result: str, status: str, before: str | None, after: str | None
) -> None:
    file = tmp_path / "restarts" / "web"
    if before is not None:
        file.parent.mkdir()
        file.write_text(before)
    done = run_action(tmp_path, "microvm-unregister", SERVICE_RESULT=result, EXIT_STATUS=status)
    assert (done.returncode, done.stderr) == (0, "")
    assert (file.read_text().strip() if file.exists() else None) == after


@pytest.mark.parametrize(
    ("process", "status", "marks"),
    [
        ("123", 0, {"asked", "stopping"}),
        # The guest is stopped all the same, by other means.
        ("123", 1, {"stopping"}),
        # The hypervisor has ended by itself, and may be started again.
        ("", 0, set()),
    ],
)
def test_a_guest_is_asked_by_root_while_its_hypervisor_runs(
    process: str, status: int, marks: set[str], tmp_path: Path
) -> None:
    (tmp_path / "consoles/web").mkdir(parents=True)
    script = tmp_path / "booted/bin/microvm-ask-guest"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/bin/sh\necho asked\nexit {status}\n")
    script.chmod(0o755)
    done = run_action(tmp_path, "microvm-ask-guest", MAINPID=process)
    assert (done.returncode, done.stdout, done.stderr) == (0, "asked\n" if process else "", "")
    assert {path.name for path in (tmp_path / "consoles/web").iterdir()} == marks


def test_root_follows_no_link_where_it_notes_that_a_guest_was_asked(tmp_path: Path) -> None:
    runtime, target = tmp_path / "consoles/web", tmp_path / "elsewhere"
    runtime.mkdir(parents=True)
    for name in ("stopping", "asked"):
        (runtime / name).symlink_to(target)
    script = tmp_path / "current/bin/microvm-ask-guest"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    done = run_action(tmp_path, "microvm-ask-guest", MAINPID="123")
    assert (done.returncode, done.stderr) == (0, "") and not target.exists()


def test_a_package_without_the_script_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "consoles/web").mkdir(parents=True)
    (tmp_path / "current").mkdir()
    done = run_action(tmp_path, "microvm-ask-guest", MAINPID="123")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list((tmp_path / "consoles/web").iterdir())


@pytest.fixture(name="huge")
def _huge(tmp_path: Path) -> Path:
    """Directory of huge pages, and a package whose hypervisor makes files in there."""
    fake(tmp_path, "stat", 'case "$*" in *--file-system*) echo hugetlbfs ;; *) exec /usr/bin/stat "$@" ;; esac')
    lists = tmp_path / "current" / "share" / "microvm"
    lists.mkdir(parents=True)
    (lists / "huge-pages").write_text("/somewhere/else\n")
    for directory in ("work", "huge"):
        (tmp_path / directory).mkdir()
    return tmp_path / "huge"


@AS_ROOT
def test_files_of_huge_pages_have_a_directory_that_is_the_user_s_alone(huge: Path, tmp_path: Path) -> None:
    os.chown(tmp_path / "work", 65534, 65533)
    own = huge / "microvm-web"
    # A killed hypervisor may have left files, which hold pages.
    own.mkdir()
    (own / "left").touch()
    done = run_action(tmp_path, "huge-pages-give")
    assert done.returncode == 0, done.stderr
    status = own.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 65533, 0o700)
    assert list(own.iterdir()) == []
    (own / "kvmtoolXXXXXX").touch()
    assert run_action(tmp_path, "huge-pages-take").returncode == 0
    assert list(huge.iterdir()) == []


def test_a_host_without_huge_pages_says_how_to_have_them(huge: Path, tmp_path: Path) -> None:
    fake(tmp_path, "stat", "echo tmpfs")
    done = run_action(tmp_path, "huge-pages-give")
    assert done.returncode == 1 and "start dev-hugepages.mount" in done.stderr
    assert list(huge.iterdir()) == []


@pytest.mark.parametrize(
    "action",
    [
        *("devices-give", "pci-setup", "pci-teardown"),
        *("huge-pages-give", "huge-pages-take", "block-devices-give", "block-devices-take"),
    ],
)
def test_a_package_with_devices_of_one_kind_has_none_of_the_other(action: str, tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    done = run_action(tmp_path, action)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


FIRST, SECOND = "/dev/vg0/first", "/dev/vg0/second"
SETUP = "begin_devices devices.list\ntake_pci_device 0000:00:01.0 microvm microvm\n"


@pytest.fixture(name="kinds")
def _kinds(huge: Path, tmp_path: Path) -> Path:
    """Package with devices of each kind, two of them block devices."""
    fake(tmp_path, "modprobe", "")
    lists = tmp_path / "current" / "share" / "microvm"
    (lists / "pci-devices").write_text("0000:00:01.0\n")
    (lists / "block-devices").write_text(f"r {FIRST}\nrw {SECOND}\n")
    return huge


def test_all_kinds_of_devices_are_given_together(kinds: Path, tmp_path: Path) -> None:
    done = run_action(tmp_path, "devices-give")
    user = os.getuid()
    given = f"give_block_device r {FIRST} {user}\ngive_block_device rw {SECOND} {user}\n"
    assert (done.returncode, done.stdout) == (0, SETUP + given), done.stderr
    assert (kinds / "microvm-web").is_dir()


def test_a_start_without_huge_pages_gives_the_devices_back(kinds: Path, tmp_path: Path) -> None:
    fake(tmp_path, "stat", 'case "$*" in *--file-system*) echo tmpfs ;; *) exec /usr/bin/stat "$@" ;; esac')
    done = run_action(tmp_path, "devices-give")
    user = os.getuid()
    assert done.returncode == 1 and "there are no huge pages" in done.stderr
    assert done.stdout.splitlines()[4:] == [
        f"take_block_device {FIRST} {user}",
        f"take_block_device {SECOND} {user}",
        "give_pci_device_back 0000:00:01.0 devices.list",
    ]


@pytest.mark.parametrize(
    ("missing", "taken"), [(FIRST, []), (SECOND, [f"take_block_device {FIRST} {os.getuid()}"])], ids=["first", "second"]
)
def test_a_start_without_a_block_device_takes_the_others_and_gives_pci_devices_back(
    missing: str, taken: list[str], kinds: Path, tmp_path: Path
) -> None:
    fails = f'give_block_device() {{ echo give "$2"; [ "$2" != {missing} ]; }}\n'
    done = run_action(tmp_path, "devices-give", fails)
    assert done.returncode == 1
    _begin, _take, *lines = done.stdout.splitlines()
    # A block device of another MicroVM of the same user is left alone.
    assert lines[-len(taken) - 2 :] == [f"give {missing}", *taken, "give_pci_device_back 0000:00:01.0 devices.list"]
    assert list(kinds.iterdir()) == []


def test_a_start_that_is_stopped_while_it_waits_gives_the_devices_back(kinds: Path, tmp_path: Path) -> None:
    waits = "give_block_device() { kill -TERM $$ $BASHPID; sleep 10; }\n"
    done = run_action(tmp_path, "devices-give", waits)
    assert done.returncode != 0
    assert done.stdout == f"{SETUP}give_pci_device_back 0000:00:01.0 devices.list\n"


def test_a_start_without_a_pci_device_leaves_those_of_others_alone(kinds: Path, tmp_path: Path) -> None:
    done = run_action(tmp_path, "devices-give", "take_pci_device() { return 1; }\n")
    assert (done.returncode, done.stdout) == (1, "begin_devices devices.list\n"), done.stderr


WITHOUT_SIGNATURES = {
    "zeros": ("true", True),
    "ext4": ("mkfs.ext4 -q disk", False),
    "swap": ("mkswap -q disk", False),
    "boot sector": (r"printf '\x55\xaa' | dd of=disk bs=1 seek=510 conv=notrunc", False),
    "data without a signature": ("printf data | dd of=disk bs=1 seek=4090 conv=notrunc status=none", False),
    "data at 64 KiB": ("printf data | dd of=disk bs=1024 seek=64 conv=notrunc", False),
    "data at 1 MiB": ("printf data | dd of=disk bs=1M seek=1 conv=notrunc", False),
    "data before 16 MiB": ("printf x | dd of=disk bs=1 seek=16777215 conv=notrunc", False),
    "data in the middle": ("printf data | dd of=disk bs=1M seek=20 conv=notrunc", True),
    "data in the last MiB": ("printf data | dd of=disk bs=1M seek=31 conv=notrunc", False),
    "last byte": ("printf x | dd of=disk bs=1 seek=33554431 conv=notrunc", False),
    "small device": ("truncate -s 70K disk", True),
    "last byte of a small device": ("truncate -s 70K disk; printf x | dd of=disk bs=1 seek=71679 conv=notrunc", False),
    "device that is not of whole MiB": ("truncate -s 17826304 disk", True),
    "file system behind zeros": ("mkfs.ext4 -q disk; dd if=/dev/zero of=disk bs=1024 count=1 conv=notrunc", False),
}


@pytest.mark.parametrize(("content", "is_blank"), WITHOUT_SIGNATURES.values(), ids=WITHOUT_SIGNATURES.keys())
def test_only_what_has_nothing_at_all_on_it_is_formatted(content: str, is_blank: bool, tmp_path: Path) -> None:
    fake(tmp_path, "mkfs.toy", 'printf formatted > "${@: -1}"')
    fake(tmp_path, "blockdev", '[ "$1" = --getsize64 ] && stat -c %s "$2"')
    script = (
        f"truncate -s 32M disk; {content} 2>/dev/null; before=$(sha256sum disk); format_if_blank disk mkfs.toy -L x"
    )
    done = bash(tmp_path, f'{script}\n[ "$before" = "$(sha256sum disk)" ] && echo same || cat disk', "format_if_blank")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("formatting disk: mkfs.toy\nformatted" if is_blank else "same\n")


def test_a_device_that_cannot_be_read_is_not_formatted(tmp_path: Path) -> None:
    fake(tmp_path, "mkfs.toy", "echo formatted")
    done = bash(tmp_path, "format_if_blank missing mkfs.toy", "format_if_blank")
    assert done.returncode != 0 and "formatted" not in done.stdout
    assert "missing" in done.stderr


@pytest.mark.parametrize("path", ["/dev/null", "/dev/shm/image", "/etc/hostname", "link"])
def test_nothing_but_a_block_device_is_given_away(path: str, tmp_path: Path) -> None:
    fake(tmp_path, "setfacl", "echo given")
    (tmp_path / "link").symlink_to("/etc/passwd")
    done = bash(tmp_path, f"touch /dev/shm/image; give_block_device rw {path} 1000", "block_devices")
    assert done.returncode != 0 and done.stdout == ""
    assert "is no block device of this host" in done.stderr


HOST_OF_DEVICES = """
sysfs=$PWD/sys procfs=$PWD/proc
mkdir -p sys/fs/btrfs/9a/devices proc/1
device() { # numbers, directory in sysfs
    mkdir -p "sys/$2/holders" sys/dev/block
    echo "$1" > "sys/$2/dev"
    ln -s "../../$2" "sys/dev/block/$1"
}
holds() { ln -s "$PWD/sys/$2" "sys/$1/holders/"; }
device 8:0 sda; device 8:3 sda/sda3; echo 3 > sys/sda/sda3/partition; device 8:16 sdb
device 9:1 md1; device 253:2 dm-2; device 253:4 dm-4
holds sda/sda3 md1; holds md1 dm-2; holds dm-2 dm-4; holds sdb dm-4
printf 'Filename Type Size Used Priority\n' > proc/swaps
echo '23 1 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw' > proc/1/mountinfo
block_device() { echo "$1"; }
device_numbers() {
    case $1 in
        /dev/sda) echo 8:0 ;; /dev/sda3) echo 8:3 ;; /dev/sdb) echo 8:16 ;; /dev/sdc) echo 8:32 ;;
        /dev/md1) echo 9:1 ;; /dev/dm-4 | /dev/mapper/root) echo 253:4 ;;
    esac
}
"""
"""A disk whose third partition is in an array, on which a volume is encrypted; a part of another disk is in it too."""

MOUNTED = "echo '25 1 {} / {} rw shared:1 - {} rw' >> proc/1/mountinfo"

USED_DEVICES = {
    "nothing": ("true", "sda", ""),
    "the device": (MOUNTED.format("8:32", "/srv", "ext4 /dev/sdc"), "sdc", "mounted on the host, at /srv"),
    "another device": (MOUNTED.format("8:32", "/srv", "ext4 /dev/sdc"), "sda", ""),
    "longer number": (MOUNTED.format("8:32", "/srv", "ext4 /dev/sdc"), "sda3", ""),
    "partition": (MOUNTED.format("8:3", "/boot", "vfat /dev/sda3"), "sda", "mounted on the host, at /boot"),
    "holders of holders": (MOUNTED.format("253:4", "/", "ext4 /dev/mapper/root"), "sda3", "mounted on the host, at /"),
    "holders of a partition": (MOUNTED.format("253:4", "/", "ext4 /dev/mapper/root"), "sda", "at /"),
    "btrfs": (MOUNTED.format("0:42", "/pool", "btrfs /dev/mapper/root"), "sda", "mounted on the host, at /pool"),
    "later disk of a btrfs": ("ln -s ../../../../sdb sys/fs/btrfs/9a/devices/", "sdb", "as part of a btrfs"),
    "swap": ("echo '/dev/sda3 partition 1 0 -2' >> proc/swaps", "sda", "used as swap space on the host"),
    "encrypted swap": ("echo '/dev/dm-4 partition 1 0 -2' >> proc/swaps", "md1", "used as swap space on the host"),
    "swap in a file": ("echo '/swapfile file 1 0 -2' >> proc/swaps", "sda", ""),
    "kernel without swap": ("rm proc/swaps", "sda", ""),
}


@pytest.mark.parametrize("access", ["r", "rw"])
@pytest.mark.parametrize(("use", "device", "words"), USED_DEVICES.values(), ids=USED_DEVICES.keys())
def test_what_the_host_uses_is_not_given_away_for_writing(
    use: str, device: str, words: str, access: str, tmp_path: Path
) -> None:
    fake(tmp_path, "setfacl", "echo given")
    script = f"{HOST_OF_DEVICES}\n{use}\ngive_block_device {access} /dev/{device} 1000"
    done = bash(tmp_path, script, "block_devices")
    if words and access == "rw":
        assert done.returncode != 0 and done.stdout == ""
        assert done.stderr.startswith(f"/dev/{device}, or a part of it, is ") and words in done.stderr
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, "given\n", "")
