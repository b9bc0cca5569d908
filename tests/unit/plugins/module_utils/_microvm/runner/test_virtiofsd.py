# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``virtiofsd-run`` with real processes. The daemon is a mock, so that it ends when the test says so."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.sources import VIRTIOFSD

from ..examples import SMALL, parse

Begin = Callable[[], "subprocess.Popen[bytes]"]

# Has inherited its socket, says that it has begun, and ends with the status that is asked of it.
DAEMON = r"""#!/bin/bash
for argument; do case $argument in --shared-dir=*) share=${argument##*/} ;; esac; done
ls -l /proc/$$/fd | grep -c socket: > "$share.count"
trap 'echo "$share" >> ended; exit 0' TERM
echo "$@" >> begun
while [ ! -e "$share.end" ]; do sleep 0.05; done
status=$(cat "$share.end")
rm "$share.end"
exit "$status"
"""


@pytest.fixture(name="begin")
def _begin(tmp_path: Path) -> Iterator[Begin]:
    """What begins the script of two shares and waits for its daemons. None of its processes outlives the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        script = write_script(tmp_path)
        processes.append(
            subprocess.Popen(
                [script], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
        )
        wait(lambda: begun(tmp_path) == 2)
        return processes[-1]

    yield begin
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


@pytest.fixture(name="served")
def _served(begin: Begin) -> subprocess.Popen[bytes]:
    """The script of two shares, ready."""
    return begin()


def write_script(directory: Path) -> Path:
    (directory / "bin").mkdir()
    (directory / "bin" / "virtiofsd").write_text(DAEMON)
    (directory / "bin" / "virtiofsd").chmod(0o755)
    tags = ("one", "it's $two")
    shares = [{"tag": tag, "source": f"it's $x/{number}", "proto": "virtiofs"} for number, tag in enumerate(tags)]
    declaration = parse(
        {**SMALL, "shares": shares, "virtiofsd": {"package": str(directory), "group": str(os.getegid())}}
    )[0]
    script = directory / "run"
    script.write_bytes(render(declaration, HostFacts()).files["bin/virtiofsd-run"].content)
    script.chmod(0o755)
    return script


def begun(directory: Path) -> int:
    file = directory / "begun"
    return len(file.read_text().splitlines()) if file.exists() else 0


def wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_package_says_how_sources_are_created_and_translated() -> None:
    share = {"source": "a", "proto": "virtiofs", "posix_acl": False, "translate_uid": ["map:0:1:2", "guest:5:0:1"]}
    shares = [{**share, "tag": "a", "source_owner": "alice"}, {"tag": "b", "source": "b", "proto": "virtiofs"}]
    files = render(parse({**SMALL, "shares": shares})[0], HostFacts()).files
    lists = "share/microvm/virtiofs"
    assert files[f"{lists}/a/created"].content == b"alice alice 0755\n" and f"{lists}/b/created" not in files
    words = files["bin/virtiofsd-run"].content.decode().rpartition("end_together")[2].split()
    assert [word for word in words if word.startswith("--translate")] == [
        "--translate-uid=map:0:1:2",
        "--translate-uid=guest:5:0:1",
    ]


def test_a_daemon_of_a_user_is_not_prepared_for_root() -> None:
    theirs = {"source": "a", "proto": "virtiofs", "posix_acl": False, "user": "games"}
    shares = [{**theirs, "tag": "a"}, {**theirs, "tag": "b", "source": "b", "user": "0"}]
    files = render(parse({**SMALL, "shares": shares})[0], HostFacts()).files
    assert files["share/microvm/virtiofs/a/created"].content == b"games games 0755\n"
    assert "share/microvm/virtiofs/b/created" not in files
    script = files["bin/virtiofsd-run"].content.decode()
    own, roots = [part.split() for part in script[script.rindex("end_together") :].split("&")[:2]]
    assert own[1:3] == ["serve_as", "games"]
    assert {"--sandbox=none", "--inode-file-handles=never"} < {*own} and not any("modcaps" in word for word in own)
    assert roots[0] == "serve_source" and {"--sandbox=chroot", "--modcaps=-mknod:-setfcap"} < {*roots}


def test_each_share_has_a_daemon_which_ends_with_the_script(served: subprocess.Popen[bytes], tmp_path: Path) -> None:
    text = (tmp_path / "begun").read_text()
    assert f"--modcaps=-mknod:-setfcap --thread-pool-size {os.cpu_count()}" in text
    served.send_signal(signal.SIGTERM)
    assert served.wait(60) == 0
    assert len((tmp_path / "ended").read_text().splitlines()) == 2
    assert not list(tmp_path.glob("*.sock*")), "they go with the script"


def test_without_a_unit_of_ours_sources_are_served_from_where_they_are(
    served: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    text = (tmp_path / "begun").read_text()
    for number in (0, 1):
        assert f"--shared-dir={tmp_path}/it's $x/{number} --modcaps" in text
        assert stat.S_IMODE((tmp_path / "it's $x" / str(number)).stat().st_mode) == 0o755
    served.terminate()
    served.wait(60)


def test_a_source_that_cannot_be_made_ends_all(tmp_path: Path) -> None:
    (tmp_path / "it's $x").write_text("")
    done = subprocess.run([write_script(tmp_path)], cwd=tmp_path, check=False, timeout=60, stdout=subprocess.DEVNULL)
    assert done.returncode == 1


def test_what_a_unit_of_ours_has_mounted_is_served(tmp_path: Path) -> None:
    mounted, source = tmp_path / "mounted", tmp_path / "source"
    mounted.mkdir()
    argv = ["share.sock", "virtiofsd", f"--shared-dir={mounted}", "--sandbox=chroot", "--socket-group=x"]
    script = VIRTIOFSD + 'serve() { printf \'%s\\n\' "$@"; }\nserve_source "$@"\n'
    done = subprocess.run(
        ["bash", "-euc", script, "bash", str(mounted), str(source), *argv], check=True, stdout=subprocess.PIPE
    )
    assert done.stdout.decode().split("\n")[:-1] == argv
    assert not source.exists()


@pytest.mark.parametrize(
    ("group", "user", "usable"),
    [("0", "nobody", "0"), ("root", "nobody", "root"), ("no such group", "root", "root"), ("no", "no such user", "")],
)
def test_a_group_that_a_host_of_others_lacks_is_that_of_the_user(group: str, user: str, usable: str) -> None:
    script = VIRTIOFSD + 'usable_group "$@"\n'
    done = subprocess.run(["bash", "-euc", script, "bash", group, user], check=True, stdout=subprocess.PIPE)
    assert done.stdout.decode().strip() == usable


def test_each_daemon_has_the_one_socket_of_its_share(served: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert [int((tmp_path / f"{share}.count").read_text()) for share in (0, 1)] == [1, 1]
    commands = (tmp_path / "begun").read_text().splitlines()
    assert sorted(command.split()[-1] for command in commands) == ["--fd=3", "--fd=4"]
    assert not any("--socket" in command for command in commands)
    served.terminate()
    served.wait(60)


def test_sockets_listen_for_their_group_and_stay_between_daemons(
    served: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    path = tmp_path / "small-virtiofs-one.sock"
    before = path.stat()
    assert stat.S_ISSOCK(before.st_mode) and stat.S_IMODE(before.st_mode) == 0o660
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
    (tmp_path / "0.end").write_text("0")
    wait(lambda: begun(tmp_path) == 3)
    assert path.stat().st_ino == before.st_ino
    served.terminate()
    served.wait(60)


def test_a_stale_socket_is_replaced(begin: Begin, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "small-virtiofs-one.sock"))
    process = begin()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(tmp_path / "small-virtiofs-one.sock"))
    process.terminate()
    assert process.wait(60) == 0


def test_a_daemon_whose_hypervisor_has_gone_is_started_again(served: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "0.end").write_text("0")
    wait(lambda: begun(tmp_path) == 3)
    assert served.poll() is None
    served.terminate()
    served.wait(60)


def test_a_daemon_that_fails_ends_all(served: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "0.end").write_text("3")
    assert served.wait(60) == 1
    assert not list(tmp_path.glob("*.sock*"))
    assert "1" in (tmp_path / "ended").read_text()
