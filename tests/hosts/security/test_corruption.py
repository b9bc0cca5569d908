# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a MicroVM are damaged in every way: it is the error of that MicroVM, and volumes stay."""

from __future__ import annotations

import json

import pytest

from ..fleet import Fleet, declaration
from ..host import Host
from ..paths import RECORDS, STATE, STORE

FILE = "/root/fleet.json"
NAMES = ("db", "web")
RECORD = f"{RECORDS}/web.json"
VOLUME = f"{STATE}/web/work/data.img"

DAMAGE = {
    "empty": ": > {file}",
    "half of it": "truncate --size=60 {file}",
    "zeros": "truncate --size=0 {file}; truncate --size=300 {file}",
    "noise": "head --bytes=300 /dev/urandom > {file}",
    "a brace": "echo {{ > {file}",
    "null": "echo null > {file}",
    "a list": "echo [] > {file}",
    "a directory": "rm {file}; mkdir {file}",
    "a FIFO": "rm {file}; mkfifo {file}",
    "an endless device": "ln -sf /dev/zero {file}",
    "a link to itself": "ln -sf $(basename {file}) {file}",
    "a large file": "truncate --size=1T {file}",
    "escape sequences": r"printf '{{\"name\": \"\\033]0;owned\\007\"}}' > {file}",
}
"""Lines of a shell that damage a file."""


def declared(**options: object) -> list[dict[str, object]]:
    """Return the declarations of two MicroVMs with a volume each."""
    fixed = {"volumes": [{"image": "data.img", "size": 8}], **options}
    return [{**declaration(0, **fixed), "name": name} for name in NAMES]


@pytest.fixture(name="fleet")
def _fleet(host: Host, fake_qemu: None) -> Fleet:
    """Two running MicroVMs."""
    fleet = Fleet(host)
    fleet.apply(declared())
    host.run(
        f"echo precious > {VOLUME}; rm -rf /root/record /root/package; cp {RECORD} /root/record;"
        f"cp -a $(readlink {STATE}/web/current) /root/package"
    )
    return fleet


def clean(output: str) -> str:
    """Return an output without a traceback or a control character."""
    assert "Traceback" not in output and output.replace("\n", "").isprintable(), output
    return output


def test_a_damaged_record_is_the_error_of_its_microvm_alone(host: Host, fleet: Fleet) -> None:
    tries = 0
    for number, (kind, line) in enumerate(DAMAGE.items()):
        host.run(line.format(file=RECORD))
        changed = fleet.declare("changed.json", declared(mem=600 + number))
        before = host.run(f"cat {STATE}/db/current/share/microvm/command-line")
        outputs = [host.microvm(words, 1) for words in (f"apply {changed}", "list", "info web", "gc", "stop web")]
        outputs += [host.microvm("remove web --yes --volumes delete --confirm data.img", 1)]
        assert all(RECORD in clean(output) for output in outputs), kind
        assert "db" in outputs[1] and host.microvm("info db").startswith("name:")
        assert host.run(f"cat {STATE}/db/current/share/microvm/command-line") != before
        assert host.run(f"cat {VOLUME}; systemctl is-active microvm@web") == "precious\nactive\n"
        assert [vm["name"] for vm in json.loads(host.run("microvm list --json 2>/dev/null || true"))] == list(NAMES)
        tries += len(outputs)
        host.run(f"rm -rf {RECORD}; cp /root/record {RECORD}")
    print(f"{tries} tries with {len(DAMAGE)} kinds of damage of a record")
    assert "changed" in host.microvm(f"apply {FILE}")


def test_a_record_that_was_moved_away_is_made_anew(host: Host, fleet: Fleet) -> None:
    host.run(f"mv {RECORD} {RECORD}.damaged")
    host.microvm(f"apply {FILE}")
    assert host.info("web")["generation"] == 1 and host.run(f"cat {VOLUME}") == "precious\n"
    fleet.assert_unchanged(FILE)


@pytest.mark.parametrize("file", ["bin/microvm-run", "share/microvm/declaration.json"])
def test_a_damaged_package_is_replaced_by_the_next_run(host: Host, fleet: Fleet, file: str) -> None:
    package = host.run(f"readlink {STATE}/web/current").strip()
    kinds = {kind: line for kind, line in DAMAGE.items() if file.endswith("json") or kind in ("empty", "a FIFO")}
    process = host.info("web")["process"]
    for kind, line in kinds.items():
        host.run(line.format(file=f"{package}/{file}"))
        assert package.rpartition("/")[2] in clean(host.microvm("list", 1)), kind
        shown = host.microvm(f"apply {FILE} --check")
        assert f"install package {package.rpartition('/')[2]}" in shown and "db: unchanged" in shown, kind
        clean(host.microvm(f"apply {FILE}"))
        host.run(f"diff -r --no-dereference {package} /root/package && ls -A {STORE} | grep -c '^[.]' | grep -x 0")
        fleet.assert_unchanged(FILE)
    print(f"{len(kinds)} kinds of damage of {file} were repaired")
    assert host.info("web")["process"] == process


def test_a_start_that_fails_tells_of_the_damage_and_the_next_run_repairs_it(host: Host, fleet: Fleet) -> None:
    package = host.run(f"readlink {STATE}/web/current").strip()
    for content in ("#!/bin/false", "#!/nonexistent", "not a script", "#!/bin/sh\nexit 3"):
        host.microvm("stop web")
        host.run(f"printf '{content}' > {package}/bin/microvm-run")
        output = clean(host.microvm(f"apply {FILE}", 1, timeout=300))
        assert f"{package} contains files that do not match the digest" in output
        assert "install package" in host.microvm(f"apply {FILE}")
        # systemd may be about to start it again by itself.
        host.wait_for_states({"microvm@web": "active"})
        fleet.assert_unchanged(FILE)


TAMPERING = {
    "other content": "echo '# more' >> {package}/bin/microvm-run",
    "another mode": "chmod 644 {package}/bin/microvm-run",
    "a setuid bit": "chmod u+s {package}/bin/microvm-run",
    "a writable directory": "chmod 777 {package}/bin",
    "another file": "echo x > {package}/bin/pre-start",
    "a file less": "rm {package}/share/microvm/hypervisor",
    "a link instead": "ln -sf /etc/passwd {package}/share/microvm/hypervisor",
    "a name that is not UTF-8": r"touch {package}/$(printf '\377')",
}
"""Lines of a shell that change a package."""


def test_verification_finds_every_change_of_a_package(host: Host, fleet: Fleet) -> None:
    assert host.microvm("gc --verify")
    package = host.run(f"readlink {STATE}/web/current").strip()
    name = package.rpartition("/")[2]
    for kind, line in TAMPERING.items():
        host.run(line.format(package=package))
        shown = clean(host.microvm("gc --verify --check", 1))
        assert f"mark as damaged: package {name}" in shown and package in shown, kind
        done = host.microvm("gc --verify", 1)
        assert sorted(shown.replace("to free", "freed").splitlines()) == sorted(done.splitlines())
        assert "db: unchanged" in host.microvm(f"apply {FILE}")
        host.microvm("gc --verify")
        fleet.assert_unchanged(FILE)
    print(f"{len(TAMPERING)} changes of a package were found and repaired")
