# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attacks on the daemons of shares, which are root's: links in place of sources, of sockets, of files beside them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..host import ROOT, Files, Host
from ..packages import STAY, fake
from ..paths import SHARES, STATE, UNITS

UNIT = "microvm-virtiofsd@web"
WORK, SOCKETS = f"{STATE}/web/work", f"{STATE}/web/sockets"
TRIES = 20
"""Starts of the daemons in each race."""

FLIP = r"""
import ctypes, sys
libc, exchange = ctypes.CDLL(None, use_errno=True), 2
first, second = (path.encode() for path in sys.argv[1:])
while True:
    if libc.renameat2(-100, first, -100, second, exchange):
        sys.exit(f"renameat2: {ctypes.get_errno()}")
"""
"""Exchanges two entries of a directory for ever, each time in one step."""

RACE = r"""
served=0 refused=0 escaped=0
mark_of() { # process; it is ready a moment before it has changed its root directory
    for wait in $(seq 400); do cat /proc/$1/root/mark 2>/dev/null && return; sleep 0.05; done
}
for try in $(seq $tries); do
    if systemctl start $unit 2>/dev/null; then
        case $(mark_of "$(pgrep -x virtiofsd | head -n 1)") in
            "of the guest") served=$((served + 1)) ;;
            *) escaped=$((escaped + 1)) ;;
        esac
        systemctl stop $unit
    else
        refused=$((refused + 1))
        systemctl reset-failed $unit 2>/dev/null
    fi
done
echo "$served $refused $escaped"
"""
"""Starts the daemons again and again, and looks at what each has as its root directory."""


def rendered(directory: Path, *shares: dict[str, object]) -> Files:
    """Return the package that is rendered for shares, with a fake hypervisor."""
    declared = {
        "name": "web",
        "hypervisor": "qemu",
        "mem": 64,
        "accel": "tcg",
        "kernel": "/etc/hostname",
        "isolation": "shared",
    }
    declaration, target = directory / "web.json", directory / "package"
    declaration.write_text(json.dumps({**declared, "shares": [{"proto": "virtiofs", **share} for share in shares]}))
    command: list[str | Path] = [sys.executable, ROOT / "bin/microvm", "render", declaration, "--output", target]
    subprocess.run(command, check=True, timeout=60)
    files = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    return {**files, **fake(STAY)}


def listed(*sources: str) -> Files:
    """Return a package that only lists its shares."""
    lists = {f"share/microvm/virtiofs/{number}/source": f"{source}\n" for number, source in enumerate(sources)}
    lists |= {f"share/microvm/virtiofs/{number}/socket": f"{number}.sock\n" for number in range(len(sources))}
    return {**fake(STAY), **lists}


def scripted(*sources: str) -> Files:
    """Return a package with a script for its shares, as those of microvm.nix have; its daemon resolves the source."""
    serve = "".join(
        f"/usr/libexec/virtiofsd --socket-path={number}.sock --shared-dir={source} &\n"
        for number, source in enumerate(sources)
    )
    wait = "until [ -S 0.sock ]; do sleep 0.05; done; systemd-notify --ready; wait\n"
    return {**listed(*sources), **fake(STAY, virtiofsd_run=f"{serve}{wait}")}


def install(host: Host, files: Files) -> None:
    """Install the MicroVM, with the settings of units that its package brings along."""
    host.send("/root/package", files)
    host.microvm("create web --package /root/package")
    # The tests start it alone; otherwise it would end at once.
    host.send(f"{UNITS}/{UNIT}.service.d", {"60-test.conf": "[Unit]\nStopWhenUnneeded=no\n"})
    host.run("systemctl daemon-reload")


@pytest.fixture(name="place", autouse=True)
def _place(host: Host) -> Iterator[str]:
    """Directory of the MicroVM's user on the host; what a guest may see has a mark in it."""
    host.run(
        "mkdir -p /srv/outer/inner/files /srv/secret/files && echo 'of the guest' > /srv/outer/inner/files/mark &&"
        "echo 'of the guest' > /srv/outer/inner/mark && echo secret | tee /srv/secret/mark > /srv/secret/files/mark &&"
        "chown -R microvm: /srv/outer && chmod 0700 /srv/secret"
    )
    yield "/srv/outer"
    host.run("rm -rf /srv/outer /srv/secret /root/package")


def user(line: str) -> str:
    """Return a line that runs as the MicroVM's user."""
    return f"setpriv --reuid microvm --regid microvm --clear-groups {line}"


def race(host: Host, first: str, second: str) -> tuple[int, int, int]:
    """Return how many starts served what they should, were refused, and escaped, while the user flips two entries."""
    host.send("/run/attack", {"flip.py": FLIP})
    begin = user(f"python3 /run/attack/flip.py {first} {second}")
    begin = f"tries={TRIES} unit={UNIT}\n{begin} > /run/attack/log 2>&1 & flip=$!"
    output = host.run(f"{begin}\n{RACE}\nkill $flip; wait $flip; cat /run/attack/log", timeout=400)
    served, refused, escaped = (int(number) for number in output.splitlines()[-1].split())
    counts = f"{served} served, {refused} refused, {escaped} escaped"
    print(f"{TRIES} starts while {first} and {second} are exchanged: {counts}")
    return served, refused, escaped


def assert_held(host: Host, first: str, second: str) -> None:
    served, refused, escaped = race(host, first, second)
    assert escaped == 0
    assert served + refused == TRIES and refused > 0


@pytest.mark.parametrize("kind", ["rendered", "listed"])
def test_a_link_in_place_of_a_relative_source_is_not_followed(host: Host, tmp_path: Path, kind: str) -> None:
    install(host, rendered(tmp_path, {"tag": "a", "source": "files"}) if kind == "rendered" else listed("files"))
    host.run(f"mkdir -p {WORK}/files && echo 'of the guest' > {WORK}/files/mark && ln -s /srv/secret {WORK}/link")
    host.run(f"chown -R microvm: {WORK}")
    assert_held(host, f"{WORK}/files", f"{WORK}/link")


def test_a_link_in_place_of_a_source_below_another_share_is_not_followed(
    host: Host, tmp_path: Path, place: str
) -> None:
    install(host, rendered(tmp_path, {"tag": "in:ner 's", "source": f"{place}/inner"}))
    host.run(user(f"ln -s /srv/secret {place}/link"))
    assert_held(host, f"{place}/inner", f"{place}/link")


def test_a_link_in_place_of_a_directory_above_a_source_is_not_followed(host: Host, tmp_path: Path, place: str) -> None:
    install(host, rendered(tmp_path, {"tag": "a", "source": f"{place}/inner/files"}))
    host.run(user(f"ln -s ../secret {place}/link"))
    assert_held(host, f"{place}/inner", f"{place}/link")


def test_a_directory_in_place_of_a_directory_above_a_source_is_the_users_own(
    host: Host, tmp_path: Path, place: str
) -> None:
    """Both are directories of the user's: whichever is served, it is none of somebody else's."""
    install(host, rendered(tmp_path, {"tag": "a", "source": f"{place}/inner/files"}))
    host.run(user(f"cp -r {place}/inner {place}/other"))
    assert race(host, f"{place}/inner", f"{place}/other")[2] == 0


LINKS = ("/srv/outer/link", "/srv/outer/link/files", "/srv/outer/up/secret", "/srv/outer/self")
REFUSALS = [
    (kind, source)
    for kind in ("rendered", "listed", "scripted")
    for source in LINKS
    # The unit that waits for what is declared does not find it: the daemons do not start.
    if (kind, source) != ("rendered", "/srv/outer/self")
]


@pytest.mark.parametrize(("kind", "source"), REFUSALS)
def test_links_of_others_are_refused(host: Host, tmp_path: Path, kind: str, source: str) -> None:
    links = {"link": "/srv/secret", "up": "..", "self": "/proc/1/root/srv/secret"}
    host.run("; ".join(user(f"ln -s {target} /srv/outer/{name}") for name, target in links.items()))
    packages = {"listed": listed, "scripted": scripted}
    install(host, rendered(tmp_path, {"tag": "a", "source": source}) if kind == "rendered" else packages[kind](source))
    host.run(f"systemctl start {UNIT}", status=1)
    of_this_start = f"_SYSTEMD_INVOCATION_ID=$(systemctl show --property InvocationID --value {UNIT})"
    assert "is a link, which others than root" in host.run(f"journalctl --no-pager -o cat {of_this_start}")
    assert host.run("pgrep -x virtiofsd || true") == ""


def test_links_of_the_root_directory_are_followed(host: Host, tmp_path: Path, place: str) -> None:
    host.run(f"ln -sfn srv/outer /to-outer; rm -rf {WORK}")
    install(host, rendered(tmp_path, {"tag": "a", "source": "/to-outer/inner/files"}))
    host.run(f"systemctl start {UNIT}")
    assert host.run("cat /proc/$(pgrep -x virtiofsd)/root/mark") == "of the guest\n"
    host.run(f"systemctl stop {UNIT}; rm /to-outer")


# Capabilities (capability.h of Linux).
MKNOD, SYS_CHROOT, SETFCAP = 1 << 27, 1 << 18, 1 << 31


@pytest.mark.parametrize("kind", ["rendered", "listed"])
def test_no_guest_makes_device_nodes_and_programs_with_capabilities(
    host: Host, tmp_path: Path, place: str, kind: str
) -> None:
    source = f"{place}/inner/files"
    host.run(f"chown root: {place} {place}/inner")
    install(host, rendered(tmp_path, {"tag": "a", "source": source}) if kind == "rendered" else listed(source))
    host.run(f"systemctl start {UNIT}")
    question = "sed -n 's/^CapEff:[[:space:]]*/0x/p' /proc/$(pgrep -x virtiofsd)/status"
    kept = host.wait_for(
        "daemon that has confined itself", lambda: int(host.run(question), 16), lambda seen: not seen & SYS_CHROOT
    )
    assert kept and not kept & (MKNOD | SETFCAP)
    host.run(f"systemctl stop {UNIT}")


@pytest.mark.parametrize("source", ["files/etc", "/srv/outer/etc"])
def test_links_that_root_of_a_guest_has_created_are_refused(host: Host, tmp_path: Path, source: str) -> None:
    """Root of a guest is root in its shares: it gives the directory above to root, and puts a link of root's there."""
    outer = f"{WORK}/files" if source.startswith("files") else "/srv/outer"
    install(host, rendered(tmp_path, {"tag": "a", "source": source}))
    host.run(f"mkdir -p {outer} && rm -rf {outer}/etc && chown root: {outer} && chmod 755 {outer}")
    host.run(f"ln -sn /etc {outer}/etc")
    host.run(f"systemctl start {UNIT}", status=1)
    assert host.run("pgrep -x virtiofsd || true") == ""
    host.run(f"rm {outer}/etc")


def test_a_script_that_resolves_its_source_again_needs_one_that_only_root_can_replace(host: Host, place: str) -> None:
    install(host, scripted("/srv/secret/files"))
    host.run(f"systemctl start {UNIT}; systemctl stop {UNIT}")
    host.microvm("remove web --yes")
    install(host, scripted(f"{place}/inner"))
    host.run(f"systemctl start {UNIT}", status=1)


def test_files_beside_a_socket_are_not_the_users(host: Host, tmp_path: Path) -> None:
    """The daemon creates both as root, and follows a link in place of the second one."""
    names = ["web-virtiofs-a.sock", "web-virtiofs-a.sock.pid"]
    host.run("echo victim > /srv/secret/victim")
    install(host, rendered(tmp_path, {"tag": "a", "source": "files"}))
    for name in names:
        host.run(user(f"ln -sfn /srv/secret/victim {WORK}/{name}"))
        host.run(user(f"ln -sfn /srv/secret/victim {SOCKETS}/{name}"), status=1)
        host.run(user(f"rm -rf {SOCKETS}"), status=1)
    host.run(f"systemctl start {UNIT}")
    assert host.run("cat /srv/secret/victim") == "victim\n"
    assert host.run(f"stat --format %U:%G:%a {SOCKETS}/{names[0]}").strip() == "root:microvm:660"
    host.run(f"systemctl stop {UNIT}")
    assert host.run(f"ls -A {SOCKETS}; ls {SHARES} 2>/dev/null || true") == ""
    print(f"{3 * len(names)} tries of files beside a socket")


@pytest.mark.parametrize("directory", ["/srv/outer", "/srv/outer/inner", "/tmp"])
def test_a_socket_among_files_of_others_is_refused(host: Host, tmp_path: Path, directory: str) -> None:
    host.run("echo victim > /srv/secret/victim")
    install(host, rendered(tmp_path, {"tag": "a", "source": "files", "socket": f"{directory}/x.sock"}))
    host.run(user(f"ln -sfn /srv/secret/victim {directory}/x.sock.pid"))
    host.run(f"systemctl start {UNIT}", status=1)
    assert host.run(f"cat /srv/secret/victim; rm {directory}/x.sock.pid") == "victim\n"


def test_a_socket_in_a_directory_of_roots_is_served(host: Host, tmp_path: Path) -> None:
    install(host, rendered(tmp_path, {"tag": "a", "source": "files", "socket": "/run/sockets-of-web/x.sock"}))
    host.run(f"systemctl start {UNIT}")
    assert host.run("stat --format %F /run/sockets-of-web/x.sock").strip() == "socket"
    host.run(f"systemctl stop {UNIT}; rmdir /run/sockets-of-web")


def test_only_the_microvms_group_connects(host: Host, tmp_path: Path) -> None:
    install(host, rendered(tmp_path, {"tag": "a", "source": "files"}))
    host.run(f"systemctl start {UNIT}")
    connect = f"socat -u OPEN:/dev/null UNIX-CONNECT:{SOCKETS}/web-virtiofs-a.sock"
    for account in ("--reuid nobody --regid kvm --clear-groups", "--reuid nobody --regid nogroup --groups kvm"):
        assert "Permission denied" in host.run(f"setpriv {account} {connect}", status=1)
    host.run(f"systemctl stop {UNIT}")
    print("2 tries of members of kvm")


def test_a_daemon_sees_only_its_sources(host: Host, tmp_path: Path) -> None:
    """The guest talks with this process: what it has left is what an attacker gets who takes it over."""
    install(host, rendered(tmp_path, {"tag": "a", "source": "files"}, {"tag": "b", "source": "/srv/outer/inner"}))
    host.run(f"systemctl start {UNIT}")
    main = host.run(f"systemctl show --property=MainPID --value {UNIT}").strip()
    hidden = ["/srv", "/home", "/root/package", "/etc/shadow", "/etc/ssh", "/var/log", WORK, "/run/dbus", "/boot"]
    for path in hidden:
        host.run(f"test -e /proc/{main}/root{path}", status=1)
    for process in host.run("pgrep -x virtiofsd").split():
        status = host.run(f"cat /proc/{process}/status")
        mask = int(re.findall(r"CapPrm:\s*(\w+)", status)[0], 16)
        for name, bit in {"sys_admin": 21, "mknod": 27, "sys_chroot": 18, "setpcap": 8, "net_admin": 12}.items():
            assert not mask & 1 << bit, name
        assert re.search(r"NoNewPrivs:\s*1", status) and re.search(r"Seccomp:\s*2", status)
    print(f"{len(hidden)} paths are hidden, capabilities: {mask:x}")
    host.run(f"systemctl stop {UNIT}")


def test_the_daemon_of_a_user_has_no_privileges(host: Host, tmp_path: Path) -> None:
    theirs = {"source": "files", "posix_acl": False, "user": "games"}
    install(host, rendered(tmp_path, {"tag": "a", **theirs}, {"tag": "b", "source": "/srv/outer/inner"}))
    host.run(f"systemctl start {UNIT}")
    assert host.run(f"stat --format %U:%G:%a {WORK}/files") == "games:games:755\n"
    status = host.run("cat /proc/$(pgrep -x -u games virtiofsd)/status")
    user, group = host.run("id -u games; id -g games").split()
    assert re.findall(r"^[UG]id:\s*(.*)$", status, re.MULTILINE) == ["\t".join([user] * 4), "\t".join([group] * 4)]
    assert {int(mask, 16) for mask in re.findall(r"^Cap\w+:\s*(\w+)$", status, re.MULTILINE)} == {0}
    assert re.search(r"NoNewPrivs:\s*1", status) and re.search(r"Seccomp:\s*2", status)
    assert "CapPrm:\t0000000000000000" not in host.run("cat /proc/$(pgrep -x -u root virtiofsd)/status")
    # Root's script has no CAP_KILL, and ends it all the same, at once.
    host.run(f"systemctl stop {UNIT}", timeout=60)
    assert host.run("pgrep -x virtiofsd; true") == ""


def test_a_source_that_is_missing_is_created_for_whom_it_is_declared(host: Host, tmp_path: Path) -> None:
    translated = {"posix_acl": False, "translate_uid": ["map:0:100000:65536"], "translate_gid": ["map:0:100000:65536"]}
    declared = {"tag": "b", "source": "b/inner", "source_owner": "100000", "source_mode": "0700", **translated}
    install(host, rendered(tmp_path, {"tag": "a", "source": "a/inner"}, declared, {"tag": "c", "source": "c"}))
    host.run(f"mkdir {WORK}/c && chmod 0711 {WORK}/c && systemctl start {UNIT}")
    places = " ".join(f"{WORK}/{place}" for place in ("a", "a/inner", "b", "b/inner", "c"))
    made, inner = "microvm microvm 755", "100000 100000 700"
    owners = host.run(f"stat --format '%U %G %a' {places} | sed 's/UNKNOWN UNKNOWN/100000 100000/'")
    assert owners.splitlines() == [made, made, made, inner, "root root 711"]
    assert "--translate-uid=map:0:100000:65536" in host.run("pgrep --list-full -x virtiofsd")
    host.run(f"systemctl stop {UNIT}; chmod 0750 {WORK}/b/inner; systemctl start {UNIT}")
    assert host.run(f"stat --format %a {WORK}/b/inner") == "750\n"
    host.run(f"systemctl stop {UNIT}")


def test_a_list_only_package_has_daemons_without_its_scripts_capabilities(host: Host) -> None:
    install(host, listed("files"))
    host.run(f"systemctl start {UNIT}")
    mask = int(host.run("grep CapPrm /proc/$(pgrep -x virtiofsd)/status").split()[-1], 16)
    assert not mask & (1 << 21 | 1 << 27)
    host.run(f"systemctl stop {UNIT}")
