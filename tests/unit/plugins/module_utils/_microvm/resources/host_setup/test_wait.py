# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script that waits for what a MicroVM needs: it ends when everything is there, when time is up, or by SIGTERM."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.scripts import sources

SCRIPT = Path(sources.__file__).with_name("microvm-wait.bash")
TIMED_OUT = "MicroVM web is not started, since these are missing after 0 s (wait_timeout):"


TIMEOUT = """\
#!/bin/sh
case $5 in
    */dead) exec /usr/bin/timeout "$@" ;;
    *) shift 2; exec "$@" ;;
esac
"""
"""Fake: on a busy machine, a look at any file may take long, but only one is to be given up."""


def begin(network: Path, limit: int, *needs: str) -> subprocess.Popen[str]:
    """Run the script for the MicroVM web, with interfaces in a directory."""
    fake = network / "bin" / "timeout"
    if not fake.exists():
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(TIMEOUT)
        fake.chmod(0o755)
    environment = {
        "PATH": f"{network}/bin:/usr/bin:/bin",
        "WAIT_TIMEOUT": str(limit),
        "NETWORK_DIRECTORY": str(network),
        "NETWORK_LIST": f"{network}/networks.list",
    }
    return subprocess.Popen(
        ["bash", str(SCRIPT), "web", *needs],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_is_there_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "br0" / "bridge").mkdir(parents=True)
    (tmp_path / "br0" / "flags").write_text("0x1003\n")
    (tmp_path / "networks.list").write_text("network nat0 10.0.0.0/24 off\nmacvtap wire0 br0 private\n")
    (tmp_path / "a $b").write_text("")
    needs = (f"path:{tmp_path}/a $b", "bridge:br0", "interface:br0", "path:/", "network:wire0")
    with begin(tmp_path, 0, *needs) as process:
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("need", "words"),
    [
        ("path:{}/none", "{}/none"),
        ("path:{}/broken", "{}/broken"),
        ("bridge:eth7", "bridge eth7 (it is no network of microvm_networks on this host)"),
        ("bridge:nat0", "bridge nat0 (see networkctl status nat0)"),
        ("bridge:route0", "bridge route0 (see networkctl status route0)"),
        ("interface:eth8", "interface eth8, which the host does not have (see ip link)"),
        ("interface:eth7", "interface eth7 in state up (see ip link show eth7)"),
        ("network:down0", "link eth7 of the network down0 in state up (see ip link show eth7)"),
        ("network:gone0", "link eth8 of the network gone0, which the host does not have (see ip link)"),
        ("network:nat0", "network nat0 with mode macvtap (declare it in microvm_networks)"),
    ],
)
def test_what_does_not_come_is_named(tmp_path: Path, need: str, words: str) -> None:
    (tmp_path / "eth7").mkdir()
    (tmp_path / "eth7" / "flags").write_text("0x1002\n")
    (tmp_path / "networks.list").write_text(
        "network nat0 10.0.0.0/24 off\nrouted route0 10.0.1.1/24 1\n"
        "macvtap down0 eth7 bridge\nmacvtap gone0 eth8 vepa\n"
    )
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with begin(tmp_path, 0, f"path:{tmp_path}", need.format(tmp_path)) as process:
        _output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == f"{TIMED_OUT} {words.format(tmp_path)}\n"


def test_the_wait_ends_with_the_last_that_comes_or_by_sigterm(tmp_path: Path) -> None:
    late, later = tmp_path / "late", tmp_path / "later"
    needs = (f"path:{late}", f"path:{later}")
    with begin(tmp_path, 600, *needs) as process, begin(tmp_path, 600, *needs) as stopped:
        for each in (process, stopped):
            assert each.stdout
            assert each.stdout.readline() == f"waiting for {late}, {later} for at most 600 s\n"
        late.write_text("")
        assert process.poll() is None
        stopped.terminate()
        assert stopped.wait(60) == 0
        later.write_text("")
        output, _errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.startswith("everything is there after ")


def test_a_mount_that_blocks_is_given_up_like_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "test"
    program.write_text(
        "#!/bin/sh\ntrap '' TERM\ncase $2 in */dead) exec sleep 600 ;; *) exec /usr/bin/test \"$@\" ;; esac\n"
    )
    program.chmod(0o755)
    (tmp_path / "dead").write_text("")
    needs = (f"path:{tmp_path}/dead", f"path:{tmp_path}/bin", f"path:{tmp_path}/none")
    with begin(tmp_path, 0, *needs) as process:
        _output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == f"{TIMED_OUT} {tmp_path}/dead, {tmp_path}/none\n"
