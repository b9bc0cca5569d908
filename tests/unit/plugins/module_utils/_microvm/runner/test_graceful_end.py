# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends of guests whose hypervisors have no power button: they are asked over their vsock.

There is neither a hypervisor nor a vsock: the process is a sleep, and fakes replace setpriv and socat.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import GUEST_PORT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ..examples import SMALL, parse

CID = 1234567
SETPRIV = '#!/bin/bash\nwhile [ "$1" != socat ]; do echo "$1" >> setpriv; shift; done\nexec "$@"\n'
"""Fake that records what it is to take away, and runs the program with all privileges."""
FAKE = "#!/bin/bash\n"
CLOCK = "unset SECONDS; SECONDS=0; sleep() { SECONDS=$((SECONDS + 10)); }\n"
"""Clock that only sleeps advance, so that nothing takes long on a busy machine."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the scripts are for hosts with Linux")


def scripts(hypervisor: str, **options: Any) -> dict[str, str]:
    """Return the scripts of a package by name."""
    declaration = parse({**SMALL, "hypervisor": hypervisor, **options})[0]
    files = render(declaration, HostFacts()).files
    return {name[4:]: file.content.decode() for name, file in files.items() if name.startswith("bin/")}


def run(directory: Path, script: str, fakes: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``bin/SCRIPT`` of a package in ``directory``, its working directory too, with fakes of programs."""
    for name, text in fakes.items():
        file = directory / "fakes" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    path = f"{directory / 'fakes'}:{os.environ['PATH']}"
    return subprocess.run(
        [directory / "bin" / script],
        cwd=directory,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def install(directory: Path, texts: dict[str, str]) -> None:
    """Write scripts into ``bin``."""
    (directory / "bin").mkdir()
    for name, text in texts.items():
        file = directory / "bin" / name
        file.write_text(text)
        file.chmod(0o755)


def with_clock(texts: dict[str, str]) -> dict[str, str]:
    """Return scripts with a clock of their own."""
    return {name: text.replace("\n", f"\n{CLOCK}", 1) for name, text in texts.items()}


def guest(answer: str, status: int = 0, error: str = "") -> dict[str, str]:
    """Return the fakes of a guest that answers on its vsock, and whose word ends the hypervisor."""
    lines = ['echo "$@" >> socat', "read -r word", 'echo "$word" >> words']
    lines += [f"echo '2026/01/01 socat[1] E connect(5, AF=40, 16): {error}' >&2"] if error else []
    lines += [f"echo '{answer}'"] if answer else []
    lines += ['kill "$(cut -d" " -f1 microvm.pid)" 2>/dev/null'] if answer in ("rebooting", "powering off") else []
    return {"setpriv": SETPRIV, "socat": FAKE + "\n".join([*lines, f"exit {status}\n"])}


@pytest.fixture(name="process")
def _process(tmp_path: Path) -> Any:
    """Process of a hypervisor that runs, as microvm-run has recorded it."""
    with subprocess.Popen(["sleep", "600"]) as process:
        started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        (tmp_path / "microvm.pid").write_text(f"{process.pid} {started}\n")
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("hypervisor", "word"), [("kvmtool", "reboot"), ("stratovirt", "reboot"), ("alioth", "poweroff")]
)
def test_a_guest_is_told_the_word_that_ends_its_hypervisor(hypervisor: str, word: str, tmp_path: Path) -> None:
    texts = scripts(hypervisor, vsock={"cid": CID})
    install(tmp_path, texts)
    answer = {"reboot": "rebooting", "poweroff": "powering off"}[word]
    (tmp_path / "microvm.pid").touch()
    done = run(tmp_path, "microvm-ask-guest", guest(answer))
    assert (done.returncode, done.stdout) == (
        0,
        f"MicroVM small: the guest was asked over its vsock, and is {answer}\n",
    )
    assert (tmp_path / "words").read_text() == f"{word}\n"


def test_only_a_privileged_port_of_a_process_without_other_privileges_asks(tmp_path: Path) -> None:
    install(tmp_path, scripts("alioth", vsock={"cid": CID}))
    (tmp_path / "microvm.pid").touch()
    run(tmp_path, "microvm-ask-guest", guest("powering off"))
    address, bound = (tmp_path / "socat").read_text().split()[-1].split(",")[:2]
    family, _protocol, remote = address.split(":")[1:]
    assert family == "40"
    reserved, port, context, flags = struct.unpack("<HIII", bytes.fromhex(remote[1:]))
    assert (reserved, port, context, flags) == (0, GUEST_PORT, CID, 0)
    _reserved, own, any_context, _flags = struct.unpack("<HIII", bytes.fromhex(bound[len("bind=x") :]))
    assert 512 <= own < 1024 and any_context == 0xFFFFFFFF
    taken_away = (tmp_path / "setpriv").read_text().split()
    assert {"--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"} < set(taken_away)
    assert {f"--{kind}=-all,+net_bind_service" for kind in ("inh-caps", "ambient-caps", "bounding-set")} < set(
        taken_away
    )


@pytest.mark.parametrize(
    ("fakes", "reason", "attempts"),
    [
        # An image of another maker, or an older one.
        (guest("", 1, "Connection reset by peer"), "Connection reset by peer", 1),
        (guest("", 1, "Connection timed out"), "Connection timed out", 1),
        (guest("unknown word"), "it does not know the word reboot", 1),
        (guest("failed"), "it failed to reboot", 1),
        (guest(r"only the host'\''s root is answered"), "it does not take this for a word of its host's root", 1),
        (guest("\x1b]0;title\x07 rebooting"), "it does not know the word reboot", 1),
        # Every other port might be in use as well, but that would end.
        (guest("", 1, "Address already in use"), "Address already in use", 5),
    ],
)
def test_a_guest_that_does_not_obey_is_told_in_one_line(
    fakes: dict[str, str], reason: str, attempts: int, tmp_path: Path
) -> None:
    install(tmp_path, scripts("stratovirt", vsock={"cid": CID}))
    done = run(tmp_path, "microvm-ask-guest", fakes)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        f"MicroVM small: the guest cannot be asked over its vsock ({reason})\n",
        "",
    )
    assert len((tmp_path / "words").read_text().splitlines()) == attempts


@pytest.mark.parametrize(
    ("program", "text", "reason"),
    [
        ("setpriv", "setpriv: activate capabilities: Operation not permitted", "Operation not permitted"),
        ("timeout", "timeout: failed to run command 'setpriv': No such file or directory", "No such file or directory"),
        ("socat", "", "status 9"),
    ],
)
def test_a_program_that_does_not_work_is_not_taken_for_a_guest(
    program: str, text: str, reason: str, tmp_path: Path
) -> None:
    install(tmp_path, scripts("stratovirt", vsock={"cid": CID}))
    script = FAKE + (f'echo "{text}" >&2\nexit 127\n' if text else "exit 9\n")
    done = run(tmp_path, "microvm-ask-guest", {"setpriv": SETPRIV, program: script})
    assert done.returncode == 1 and done.stdout.endswith(f" over its vsock ({reason})\n")


@pytest.mark.parametrize(("stop_timeout", "limit"), [("90", 30), ("30", 30), ("7", 7)])
def test_a_guest_has_as_long_for_its_answer_as_the_stop_but_not_for_ever(
    stop_timeout: str, limit: int, tmp_path: Path
) -> None:
    install(tmp_path, scripts("stratovirt", vsock={"cid": CID}))
    fakes = guest("rebooting")
    (tmp_path / "microvm.pid").touch()
    fakes["timeout"] = FAKE + 'echo "$2" > timeout\nshift 2\nexec "$@"\n'
    assert run(tmp_path, "microvm-ask-guest", fakes, STOP_TIMEOUT=stop_timeout).returncode == 0
    assert (tmp_path / "socat").read_text().split()[:2] == ["-t", str(limit)]
    assert int((tmp_path / "timeout").read_text()) > limit + 3, "longer than connecting and waiting take"


@pytest.mark.parametrize("status", [124, 137])
def test_a_guest_that_has_the_word_and_does_not_answer_was_asked(status: int, tmp_path: Path) -> None:
    install(tmp_path, scripts("stratovirt", vsock={"cid": CID}))
    done = run(tmp_path, "microvm-ask-guest", guest("", status))
    assert (done.returncode, done.stdout) == (
        0,
        "MicroVM small: the guest was asked over its vsock, and has not answered yet\n",
    )


CROWDED = """\
echo >> attempts
case $(wc -l < attempts) in
    1) exit 0 ;;
    2) echo "2026/01/01 socat[1] E read(5, 0x1, 8192): Connection reset by peer" >&2; exit 1 ;;
esac
"""


def test_a_guest_that_others_keep_busy_is_asked_again(tmp_path: Path) -> None:
    install(tmp_path, with_clock(scripts("stratovirt", vsock={"cid": CID})))
    (tmp_path / "microvm.pid").touch()
    fakes = guest("rebooting")
    fakes["socat"] = fakes["socat"].replace(FAKE, FAKE + "cat > /dev/null\n" + CROWDED).replace("read -r word", "word=")
    done = run(tmp_path, "microvm-ask-guest", fakes)
    assert done.returncode == 0 and done.stdout.endswith("and is rebooting\n")


def test_a_guest_that_closes_every_connection_cannot_be_asked(tmp_path: Path) -> None:
    install(tmp_path, with_clock(scripts("stratovirt", vsock={"cid": CID})))
    done = run(tmp_path, "microvm-ask-guest", guest(""), STOP_TIMEOUT="20")
    assert done.returncode == 1 and done.stdout.endswith("(it closes the connection)\n")
    assert len((tmp_path / "words").read_text().splitlines()) == 3


def test_nothing_that_a_guest_says_is_repeated(tmp_path: Path) -> None:
    install(tmp_path, scripts("stratovirt", vsock={"cid": CID}))
    done = run(tmp_path, "microvm-ask-guest", guest("socat[1] E connect(): GOTCHA " + 9999 * "x"))
    assert done.returncode == 1 and "GOTCHA" not in done.stdout + done.stderr


def test_the_end_of_a_guest_that_was_asked_is_waited_for(process: Any, tmp_path: Path) -> None:
    install(tmp_path, scripts("kvmtool", vsock={"cid": CID}))
    done = run(tmp_path, "microvm-shutdown", guest("rebooting"))
    assert done.returncode == 0 and process.wait(60) != 0
    assert "asked over its vsock" in done.stdout


def test_a_guest_that_root_has_asked_is_not_asked_again(process: Any, tmp_path: Path) -> None:
    install(tmp_path, scripts("stratovirt", vsock={"cid": CID}))
    done = run(tmp_path, "microvm-shutdown", guest("rebooting"), GUEST_ASKED="yes", STOP_TIMEOUT="1")
    assert (done.returncode, done.stderr) == (1, "the guest has not ended within 1 seconds\n")
    assert process.poll() is None and not (tmp_path / "words").exists()


@pytest.mark.parametrize("environment", [{}, {"GUEST_ASKED": "no"}])
def test_a_guest_that_cannot_be_asked_is_not_waited_for(
    environment: dict[str, str], process: Any, tmp_path: Path
) -> None:
    install(tmp_path, scripts("alioth", vsock={"cid": CID}))
    done = run(tmp_path, "microvm-shutdown", guest("", 1, "Connection reset by peer"), **environment)
    assert (done.returncode, done.stderr) == (1, "") and process.poll() is None
    assert (tmp_path / "words").exists() is not bool(environment)


@pytest.mark.parametrize("hypervisor", ["kvmtool", "stratovirt", "alioth"])
def test_without_a_vsock_there_is_no_way_to_ask(hypervisor: str) -> None:
    assert not {"microvm-shutdown", "microvm-ask-guest"} & set(scripts(hypervisor))


@pytest.mark.parametrize("hypervisor", ["qemu", "cloud-hypervisor", "firecracker", "crosvm"])
def test_hypervisors_with_a_button_use_that(hypervisor: str) -> None:
    texts = scripts(hypervisor, vsock={"cid": CID}, socket="vm.sock")
    assert "microvm-shutdown" in texts and "microvm-ask-guest" not in texts
