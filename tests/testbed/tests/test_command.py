# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packed command on a real host, with the units of role ``host``.

The packages are stand-ins: their ``microvm-run`` echoes what it is told in place of a guest.
"""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest

from ..paths import Bed

pytestmark = pytest.mark.testbed

ROOT = Path(__file__).parents[3]
TESTBED = Path(__file__).parents[1] / "testbed"
BED = Bed("command")
ROLE = ROOT / "roles" / "host"
SCRIPTS = "/usr/local/lib/microvm-fleet"

STAND_IN = """\
#!/bin/sh
# Stands in for a hypervisor, generation {mark}.
echo "guest {mark} is up"
while read -r line; do
    [ "$line" = poweroff ] && exit 0
    echo "guest {mark} heard $line"
done
"""


def on_host(line: str, status: int = 0, given: bytes = b"") -> str:
    """What the shell prints for ``line`` on the host, errors too."""
    words = [str(TESTBED), "ssh", "--name", BED.name, "host1", line]
    done = subprocess.run(words, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
    assert done.returncode == status, done.stdout.decode()
    return done.stdout.decode()


def microvm(words: str, status: int = 0) -> str:
    """The command on the host."""
    return on_host(f"microvm {words}", status)


def info(name: str) -> Any:
    """All that is known of one MicroVM."""
    return json.loads(microvm(f"info {name} --json"))


def units() -> dict[str, bytes]:
    """The units and scripts of role ``host``, as files of a host."""
    templates = sorted((ROLE / "templates").glob("microvm*.j2"))
    helpers = [path.name.removesuffix("@.service.j2") for path in templates if "-" in path.name]
    values = {
        "microvm_state_dir": "/var/lib/microvms",
        "__microvm_host_scripts": SCRIPTS,
        "__microvm_helpers": helpers,
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    found = {
        f"etc/systemd/system/{path.stem}": environment.from_string(path.read_text()).render(values).encode()
        for path in templates
    }
    scripts = (path for path in (ROLE / "files").glob("microvm-*") if not path.suffix)
    return found | {f"{SCRIPTS[1:]}/{path.name}": path.read_bytes() for path in scripts}


def copy(files: dict[str, bytes]) -> None:
    """Put files below the host's root directory, all of them executable."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    on_host("tar -xf - -C /", given=archive.getvalue())


def stand_in(mark: str) -> dict[str, bytes]:
    """A package on the host, below ``/root/MARK``."""
    return {f"root/{mark}/bin/microvm-run": STAND_IN.format(mark=mark).encode()}


PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: microvm.fleet.host
        tasks_from: command
"""


def install_command(directory: Path) -> None:
    """As the role does: foretold, done, and not done again; at the controller nothing is left."""
    inventory, playbook, temporary = directory / "inventory.yml", directory / "play.yml", directory / "tmp"
    temporary.mkdir()
    playbook.write_text(PLAYBOOK)
    subprocess.run([TESTBED, "inventory", "--name", BED.name, "--output", inventory], check=True)
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree"), "TMPDIR": str(temporary)}
    for option, changed in (("--check", True), ("--diff", True), ("--diff", False)):
        words = ["ansible-playbook", "-i", str(inventory), str(playbook), option]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("changed=0 " not in done.stdout) == changed, done.stdout
        assert [path.name for path in temporary.iterdir() if path.name.startswith("microvm-")] == []


@pytest.fixture(scope="module", autouse=True)
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One host for all tests, prepared as the role prepares it, as far as the command needs that."""
    for words in (["down"], ["up", "1"]):
        subprocess.run([TESTBED, *words, "--name", BED.name], check=True, capture_output=True, timeout=300)
    copy(units() | stand_in("one") | stand_in("two"))
    install_command(tmp_path_factory.mktemp("play"))
    on_host(
        "groupadd -rf kvm; useradd -r -g kvm -M -s /usr/sbin/nologin microvm; mkdir -p /var/lib/microvms;"
        "systemctl daemon-reload"
    )
    yield
    subprocess.run([TESTBED, "down", "--name", BED.name], check=True, capture_output=True, timeout=300)


@pytest.fixture
def web() -> Iterator[str]:
    """A MicroVM that runs, of two generations, of which the second is current and booted."""
    microvm("create web --package /root/one")
    on_host("cp -r /root/two /root/next")
    microvm("start web")
    yield "web"
    on_host("microvm remove web --yes; rm -rf /root/next")


def install_second() -> None:
    """What an update from a flake does, with a stand-in for Nix: it links the package that it is told."""
    on_host("mkdir -p /nix/store/abc-two; cp -r /root/two/bin /nix/store/abc-two; echo f > /var/lib/microvms/web/flake")
    script = b"""#!/bin/sh
# Stands in for Nix: `nix ... build WHAT --out-link LINK`.
for word; do link=$word; done
ln -sfn /nix/store/abc-two "$link"
"""
    copy({"usr/local/bin/nix": script})
    assert "a restart is pending" in microvm("update web")


def test_an_empty_host_is_listed_quickly() -> None:
    begin = time.monotonic()
    assert "there are no MicroVMs" in microvm("list")
    assert time.monotonic() - begin < 5
    assert microvm("--help").startswith("usage: microvm")
    assert "there is no MicroVM 'web'" in microvm("start web", 1)


def test_life_of_a_given_package(web: str) -> None:
    """Start, pending restart, rollback, marks, garbage, removal."""
    one = info(web)
    assert (one["state"], one["generation"], one["restart_pending"], one["foreign"]) == ("active", 1, False, False)
    assert one["booted"] == one["current"] and one["current"].endswith("-web")
    install_second()
    listed = microvm("list", 2)
    assert "yes" in listed.splitlines()[1] and "active" in listed
    assert info(web)["generation"] == 2 and info(web)["current"] == "/nix/store/abc-two"
    process = info(web)["process"]
    assert "would go back to generation 1" in microvm("rollback web --check")
    assert "is up" in microvm("update -R web")
    assert info(web)["process"] != process and not info(web)["restart_pending"]
    assert "went back to generation 1" in microvm("rollback web")
    after = info(web)
    assert (after["generation"], after["bad_generations"], after["state"]) == (1, [2], "active")
    assert "marked bad" in microvm("rollback web 2", 1)
    assert "marked bad" in microvm("-u web", 1)
    microvm("generations web --good 2")
    assert "2       /nix/store/abc-two" in microvm("generations web")
    on_host("mkdir /var/lib/microvm-fleet/packages/.partial-0-web /var/lib/microvm-fleet/packages/00-gone")
    assert "2 found" in microvm("gc --check") and "2 found" in microvm("gc") and "0 found" in microvm("gc")
    assert "is down" in microvm("stop web")
    assert info(web)["booted"] is None
    assert "nobody to ask" in microvm("remove web </dev/null", 1)


def test_two_at_once_wait_for_each_other(web: str) -> None:
    on_host("for n in 1 2 3; do microvm restart web & done; wait")
    assert info(web)["state"] == "active"
    # Whoever holds the lock keeps garbage collection from the MicroVM.
    on_host("mkdir -p /var/lib/microvm-fleet/packages/00-web")
    held = "flock /run/microvm-fleet/locks/web.lock microvm gc"
    assert "left alone" in on_host(held)
    assert "00-web" in microvm("gc")


def test_console_without_a_terminal(web: str) -> None:
    assert "guest one heard hello" in on_host("echo hello | microvm console web")


def test_console_on_a_terminal(web: str) -> None:
    """Attach, type, detach by Ctrl-]; the terminal is as before, also after a signal."""
    for ending in (b"\x1d", None):
        answer, status = _attached(ending)
        assert b"guest one heard typed" in answer
        assert b"-echo " not in answer.rpartition(b"detached")[2] and status == b"STATUS 0"
    assert info(web)["state"] == "active"


def _attached(ending: bytes | None) -> tuple[bytes, bytes]:
    line = "microvm console web; echo STATUS $?; stty -a | tr '\\n' ' '"
    child, master = pty.fork()
    if child == 0:
        os.execv(
            "/usr/bin/ssh",
            ["ssh", "-F", str(BED.ssh_config), "-tt", "host1", line],
        )
    output = _until(master, b"guest one is up")
    os.write(master, b"typed\r\n")
    output += _until(master, b"heard typed")
    if ending is None:
        on_host("pkill -TERM -f '^python3 /usr/local/bin/microvm console'")
    else:
        os.write(master, ending)
    output += _until(master, b"speed")
    os.kill(child, signal.SIGHUP)
    os.waitpid(child, 0)
    os.close(master)
    return output, next(line.strip() for line in output.splitlines() if line.startswith(b"STATUS"))


def _until(master: int, words: bytes) -> bytes:
    output, end = b"", time.monotonic() + 15
    while words not in output and time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            output += os.read(master, 4096)
    assert words in output, output
    return output


def test_run_in_the_foreground() -> None:
    microvm("create front --package /root/one")
    try:
        said = on_host(
            "(sleep 2; echo poweroff) | microvm -r front & sleep 1; readlink /var/lib/microvms/front/booted; wait"
        )
        assert "guest one is up" in said and "/var/lib/microvm-fleet/packages/" in said
        on_host("! test -e /var/lib/microvms/front/booted")
        microvm("start front")
        assert "runs already" in microvm("run front", 1)
    finally:
        microvm("remove front --yes")


@pytest.fixture
def hypervisor() -> Iterator[None]:
    """A stand-in for QEMU: it has a version, and no guest."""
    script = b"""#!/bin/sh
case "$*" in *-version*) echo "QEMU emulator version 9.2.0"; exit ;; esac
exec sleep infinity
"""
    copy({"usr/local/bin/qemu-system-x86_64": script, "root/kernel": b"no kernel"})
    yield
    on_host("rm /usr/local/bin/qemu-system-x86_64 /root/kernel")


def declare(**options: Any) -> None:
    """Write a file of declarations on the host: one MicroVM, with these options."""
    one = {
        "name": "db",
        "kernel": "/root/kernel",
        "accel": "tcg",
        "ready": {"check": "none"},
        "stop_timeout": 1,
        **options,
    }
    copy({"root/site.json": json.dumps({"microvm_vms": [one]}).encode()})


@pytest.mark.usefixtures("hypervisor")
def test_declarations_are_applied() -> None:
    """Plan, apply, nothing to do, a change with its consequence, an update that waits, removal."""
    declare()
    assert "would be changed" in microvm("apply /root/site.json --check --diff")
    assert "there is no MicroVM" in microvm("info db", 1)
    applied = microvm("apply /root/site.json")
    assert "db: changed, generation 1" in applied and "systemctl start microvm@db.service" in applied
    assert microvm("apply /root/site.json") == "db: unchanged, generation 1\n"
    declare(mem="300M")
    checked = microvm("apply /root/site.json db --check --diff")
    assert "changes: mem (restart)" in checked and "for the guest: restart" in checked
    assert "a restart is pending" in microvm("update db --file /root/site.json")
    assert microvm("info db --json") and microvm("list", 2)
    assert "systemctl restart" in microvm("update db -R --file /root/site.json")
    assert "went back to generation 1" in microvm("rollback db")
    assert "is marked bad and not installed" in microvm("apply /root/site.json")
    assert info("db")["generation"] == 1
    assert "does not declare other" in microvm("apply /root/site.json other", 1)
    declare(memory=3)
    assert "microvm_vms[0].memory" in microvm("apply /root/site.json", 1)
    declare(state="absent")
    assert "systemctl stop" in microvm("apply /root/site.json")
    assert "there are no MicroVMs" in microvm("list")


def test_foreign_microvms_are_seen_and_left() -> None:
    on_host("mkdir -p /var/lib/microvms/other && ln -s /root/one /var/lib/microvms/other/current")
    try:
        assert info("other")["foreign"] is True
        assert "not installed by this collection" in microvm("rollback other", 1)
        assert "was not installed by this collection" in microvm("remove other --yes", 1)
        assert "00-other" not in microvm("gc")
        on_host("test -L /var/lib/microvms/other/current")
    finally:
        on_host("rm -r /var/lib/microvms/other")


def test_others_are_told_to_be_root() -> None:
    assert "must be run as root" in on_host("setpriv --reuid=65534 --clear-groups microvm start web", 1)


def test_removal_leaves_nothing() -> None:
    before = _traces()
    microvm("create brief --package /root/one")
    microvm("start brief")
    microvm("remove brief --yes")
    assert _traces() == before


def _traces() -> str:
    return on_host(
        "ls /var/lib/microvms /var/lib/microvm-fleet/* /etc/systemd/system 2>/dev/null;"
        "systemctl list-units --plain --no-legend 'microvm*@*'; getent passwd | wc -l"
    )
