# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An attacker writes declarations: systemd reads the declared paths, and nothing that a harmless one has not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ..fleet import Declaration, Fleet
from ..host import Host
from ..paths import STATE

pytestmark = pytest.mark.usefixtures("fake_qemu")

COUNT = 200
BACKSLASH = "\\"
DIRECTORY = "/srv/hostile"
ODD = "ab \\\\\"'%%i$`#;=:{}*?~!-é\u00a0\u3000"
INJECTIONS = (
    "$(touch /pwned)",
    "`touch /pwned`",
    "' ; touch /pwned ; '",
    '" ExecStartPre=/bin/touch /pwned "',
    "%n%i%h",
    "\\x0aExecStartPre=touch",
    "\\\\\\n",
    "${CREDENTIALS_DIRECTORY}",
    "{{ lookup('pipe', 'touch') }}",
    "x\\ y\\",
)
REFUSED: dict[str, Any] = {
    "credential_files.token": [f"{DIRECTORY}/x\\", f"{DIRECTORY}/x y", f"{DIRECTORY}/x\nUser=root", "/x/../y", "/x//y"],
    "volumes[0].image": [
        "/srv/x\nUser=root/y.img",
        "/srv/x\u2028User=root/y.img",
        "/srv/\0/y.img",
        "/srv/\x9b2J/y.img",
    ],
    "shares[0].source": ["/srv/x\rUser=root", "/srv/x\x85User=root", "/srv/\u202egnp"],
    "shares[0].mount_point": ["/mnt/../etc", "/mnt\n/dev/vda / ext4 rw 0 0"],
    "guest.networks[0].gateway": ["fe80::1%x\nDNS=192.0.2.66", "192.0.2.1\n[Route]"],
    "guest.networks[0].dns[0]": ["fe80::1%x\nDomains=evil.example"],
    "kernel": ["/root/k\nUser=root"],
    "limits.memory_max": ["99999999999999999999G"],
    "pre_start": ["true\rfalse", "true\0"],
}
"""Values that no file can express, by the key that an error names."""

VOLATILE = (
    *("Id", "Names", "InvocationID", "Description", "User", "Group", "MemoryAvailable", "TasksCurrent"),
    *("StateChangeTimestamp", "StateChangeTimestampMonotonic"),
)
"""Properties that differ between any two units, or that are compared by themselves."""

ASK = """\
import json, subprocess, sys
MANAGER = ["org.freedesktop.systemd1"]
def call(path, *words):
    command = ["busctl", "--json=short", "call", *MANAGER, path, *words]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["data"]
for unit in sys.argv[1:]:
    path = call("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "LoadUnit", "s", unit)[0]
    both = {}
    for interface in ("Service", "Unit"):
        name = "org.freedesktop.systemd1." + interface
        both.update(call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", name)[0])
    print(json.dumps({key: value["data"] for key, value in both.items()}))
"""
"""Program on the host that prints all properties of services, as systemd has them in memory."""


def hostile_names() -> Iterator[str]:
    """Yield names of directories and files, the same in each run."""
    chance = random.Random(1207)
    while True:
        text = "".join(chance.choices(ODD, k=chance.randint(1, 14)))
        place = chance.randint(0, len(text))
        injection = chance.choice(INJECTIONS).replace("/", "") if chance.random() < 0.5 else ""
        yield f"x{text[:place]}{injection}{text[place:]}"


def declarations() -> list[Declaration]:
    """Return declarations whose paths are hostile in all places that a unit names."""
    names = hostile_names()
    result: list[Declaration] = []
    for number in range(COUNT):
        volume, share, writable, file, source = (next(names) for _number in range(5))
        shares = [
            {"tag": "a", "proto": "9p", "source": f"{DIRECTORY}/{number}/{share}"},
            {
                "tag": "b",
                "proto": "virtiofs",
                "source": f"{DIRECTORY}/{number}/{writable}",
                "mount_point": f"/{source}",
            },
        ]
        result.append(
            {
                "name": f"h{number:03}",
                "kernel": "/etc/hostname",
                "accel": "tcg",
                "state": "present",
                # In LoadCredential= systemd reads blanks and backslashes in two ways.
                "credential_files": {
                    "token": f"{DIRECTORY}/{number}/{file.replace(' ', '').replace(BACKSLASH, '')}.key"
                },
                "volumes": [{"image": f"{DIRECTORY}/{number}/{volume}/data.img", "size": 8}],
                "shares": shares,
                "ready": {"check": "none"},
                "guest": {"enable": True},
            }
        )
    return result


def properties(host: Host, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return what systemd has read of the services of MicroVMs, by their names."""
    host.send("/root", {"ask.py": ASK})
    output = host.run(f"python3 /root/ask.py {' '.join(f'microvm@{name}.service' for name in names)}", timeout=300)
    return dict(zip(names, map(json.loads, output.splitlines()), strict=True))


@pytest.fixture(name="clean")
def _clean(host: Host) -> Iterator[None]:
    yield
    host.run(f"rm -rf {DIRECTORY} /pwned")


def harmless(name: str, number: int) -> Declaration:
    """Return a declaration of the same kind without a hostile character."""
    return {
        **declarations()[0],
        "name": name,
        "credential_files": {"token": f"{DIRECTORY}/key"},
        "volumes": [{"image": f"{DIRECTORY}/{number}/data.img", "size": 8}],
        "shares": [
            {"tag": "a", "proto": "9p", "source": f"{DIRECTORY}/a"},
            {"tag": "b", "proto": "virtiofs", "source": f"{DIRECTORY}/b", "mount_point": "/b"},
        ],
    }


def credential(attack: Declaration) -> str:
    """Return the path of the file of a declaration's credential."""
    files: Any = attack["credential_files"]
    return str(files["token"])


def others(read: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what does not depend on declared paths and on the name of the MicroVM; lists have no order here."""
    text = json.dumps({key: value for key, value in read.items() if key not in VOLATILE})
    values: dict[str, Any] = json.loads(text.replace(name, "model"))
    return {key: _without_declared(value) if isinstance(value, list) else value for key, value in values.items()}


def _without_declared(values: list[Any]) -> list[str]:
    return sorted(text for text in map(json.dumps, values) if DIRECTORY not in text)


def send_credentials(host: Host, attacks: Sequence[Declaration]) -> None:
    """Write the files of credentials on the host."""
    host.send("/", {credential(attack)[1:]: f"secret of {attack['name']}" for attack in attacks})


@pytest.mark.usefixtures("clean")
def test_systemd_has_the_declared_paths_and_what_a_harmless_microvm_has(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    attacks, model = declarations(), harmless("model", COUNT)
    send_credentials(host, [*attacks, model])
    file = Fleet(host).declare("hostile.json", [*attacks, model])
    host.microvm(f"apply {file}", timeout=600)
    seen = properties(host, [str(vm["name"]) for vm in (*attacks, model)])
    expected = others(seen.pop("model"), "model")
    for attack in attacks:
        name = str(attack["name"])
        read = seen[name]
        assert read["LoadCredential"] == [["token", credential(attack)]]
        shares: Any = attack["shares"]
        volumes: Any = attack["volumes"]
        written = [volumes[0]["image"].rpartition("/")[0], *(share["source"] for share in shares)]
        assert set(written) <= {*read["ReadWritePaths"], *(source for source, *_more in read["BindPaths"])}
        assert (read["User"], read["Group"]) == (f"microvm-{name}", f"microvm-{name}")
        assert others(read, name) == expected
    homes = host.run("getent passwd | grep '^microvm-h' | cut -d: -f1,6").split()
    assert sorted(homes) == [f"microvm-{vm['name']}:{STATE}/{vm['name']}" for vm in attacks]
    assert host.run("ls /pwned 2>/dev/null || true") == ""
    with capsys.disabled():
        print(
            f"\n{len(attacks)} hostile declarations installed, {5 * len(attacks)} hostile paths read back from systemd"
        )


@pytest.mark.usefixtures("clean")
def test_systemd_loads_the_file_of_a_hostile_credential(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    attacks = [{**attack, "shares": [], "volumes": [], "state": "started"} for attack in declarations()[:8]]
    send_credentials(host, attacks)
    host.microvm(f"apply {Fleet(host).declare('hostile.json', attacks)}", timeout=300)
    for attack in attacks:
        name = str(attack["name"])
        assert host.run(f"cat /run/credentials/microvm@{name}.service/token") == f"secret of {name}"
    assert host.run("ls /pwned 2>/dev/null || true") == ""
    with capsys.disabled():
        print(f"\n{len(attacks)} credentials of hostile paths loaded")


def with_value(key: str, value: object) -> Declaration:
    """Return a declaration with a value at the place that a key names, such as ``shares[0].source``."""
    declaration: Any = json.loads(json.dumps(harmless("victim", 0)))
    declaration["interfaces"] = [{"id": "vm-victim", "bridge": "br0"}]
    declaration["guest"]["networks"] = [{"addresses": ["192.0.2.9/24"], "dns": ["192.0.2.1"]}]
    *parents, last = key.replace("[0]", ".0").split(".")
    place = declaration
    for parent in parents:
        place = place[int(parent)] if parent.isdigit() else place.setdefault(parent, {})
    place[int(last) if last.isdigit() else last] = value
    return declaration  # type: ignore[no-any-return]


@pytest.mark.usefixtures("clean")
def test_values_that_no_file_can_express_are_refused_with_their_key_before_anything_changes(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = [(key, value) for key, values in REFUSED.items() for value in values]
    for key, value in tries:
        file = Fleet(host).declare("refused.json", [harmless("before", 1), with_value(key, value)])
        send_credentials(host, [harmless("before", 1)])
        output = host.microvm(f"apply {file}", 1)
        assert key in output and not {"\x1b", "\x9b", "\u202e", "\0"} & set(output), output
        assert host.run(f"ls {STATE}") == ""
    with capsys.disabled():
        print(f"\n{len(tries)} declarations refused with their keys, none of them changed the host")
