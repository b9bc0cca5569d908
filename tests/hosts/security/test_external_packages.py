# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""External packages whose unit settings attack the host: refused before anything has changed."""

from __future__ import annotations

import json

from ..host import Host
from ..packages import echoing
from ..paths import FLEET, SCRIPTS, STATE, UNITS

MAIN, SHARES = "microvm@.service", "microvm-virtiofsd@.service"
PLANT = "/bin/touch /root/planted"

SETTINGS: tuple[tuple[str, str], ...] = (
    (MAIN, f"[Service]\nExecStartPre=+{PLANT}\n"),
    (MAIN, f"[Service]\nUser=root\nExecStart=\nExecStart={PLANT}\n"),
    (MAIN, f"[Service]\n# comment\rExecStopPost=+{PLANT}\n"),
    (MAIN, f"[Service]\n; comment \\\nUMask=0077\nExecStartPost=!!{PLANT}\n"),
    (MAIN, "[Unit]\nOnSuccess=reboot.target\n"),
    (MAIN, "[Service]\nUMask=0077\n[Install]\nAlias=cron.service\n"),
    (MAIN, "[Service]\nEnvironment=CLEAN_END=poweroff BASH_ENV=/root/external/plant\n"),
    (MAIN, "[Service]\nEnvironmentFile=/etc/shadow\n"),
    (MAIN, "[Service]\nLoadCredential=a:/etc/ssh/ssh_host_ed25519_key\n"),
    (MAIN, "[Service]\nReadWritePaths=/etc /usr\nGroup=root\n"),
    (MAIN, "[Service]\nStandardOutput=append:/etc/cron.d/planted\n"),
    (MAIN, "[Service]\nRootDirectory=/srv\n"),
    (MAIN, "[Service]\nAmbientCapabilities=CAP_SYS_ADMIN\nCapabilityBoundingSet=CAP_SYS_ADMIN\n"),
    (MAIN, "[Service]\nDeviceAllow=block-* rwm\n"),
    (MAIN, "[Service]\nPAMName=login\n"),
    (MAIN, f"[Service]\nBindPaths=/root/external:{SCRIPTS}\n"),
    (MAIN, "[Service]\nNoNewPrivileges=no\nProtectSystem=no\n"),
    (MAIN, "[Service]\nSlice=init.scope\nDelegate=yes\n"),
    (SHARES, f"[Service]\nExecStartPre={PLANT}\n"),
    (SHARES, "[Service]\nReadWritePaths=/\n"),
    (SHARES, "[Service]\nBindReadOnlyPaths=/root/external:/usr/bin\n"),
    (SHARES, "[Service]\nCapabilityBoundingSet=CAP_SYS_MODULE CAP_SYS_PTRACE\n"),
    (SHARES, "[Service]\nSystemCallFilter=\nPrivateNetwork=no\n"),
)
"""Drop-ins by template, each of which would give its maker something of the host's."""


def attempt(host: Host, template: str, text: str) -> list[str]:
    """Return what is wrong with the refusal of a package with these settings."""
    host.run("rm -rf /root/external")
    host.send("/root/external", {**echoing("one"), "plant": PLANT, f"share/microvm/systemd/{template}.conf": text})
    problems = []
    for option in ("", "--check"):
        output = host.microvm(f"create web --package /root/external {option}", 1)
        if (
            f"/root/external/share/microvm/systemd/{template}.conf, line " not in output
            or "60-local.conf" not in output
        ):
            problems.append(f"{text!r}: {output}")
    left = host.run(
        f"ls -d {STATE}/web {FLEET}/packages/*-web {UNITS}/microvm*@web.service.d /root/planted 2>/dev/null; true"
    )
    return [*problems, *([f"{text!r} left {left}"] if left else [])]


def test_unit_settings_of_hostile_packages_are_refused_before_anything_changes(host: Host) -> None:
    problems = [problem for template, text in SETTINGS for problem in attempt(host, template, text)]
    print(f"hostile packages: {len(SETTINGS)}")
    assert problems == []


def rendered(host: Host, **options: object) -> None:
    """Render a package for MicroVM ``web`` in ``/root/external``, as another machine would."""
    declared = {"name": "web", "kernel": "/boot/kernel", "accel": "tcg", **options}
    host.send("/root", {"web.json": json.dumps(declared)})
    host.run(
        "rm -rf /root/external && mkdir -p /boot && touch /boot/kernel"
        " && microvm render /root/web.json --output /root/external"
    )


def test_a_rendered_package_is_accepted_for_what_it_declares_and_nothing_else(host: Host, fake_qemu: None) -> None:
    host.run("mkdir -p /srv/own && install -m 600 /dev/null /root/key")
    rendered(host, volumes=[{"image": "/srv/own/a.img", "size": 8}], credential_files={"key": "/root/key"})
    host.microvm("create web --package /root/external")
    assert 'ReadWritePaths="/srv/own"' in host.run(f"cat {UNITS}/microvm@web.service.d/50-microvm-fleet.conf")
    file = f"/root/external/share/microvm/systemd/{MAIN}.conf"
    changes = (
        "s,/srv/own,/etc,",
        "s,:/root/key,:/etc/shadow,",
        "s,User=microvm-web,User=root,",
        "/^User=/d",
        "s,^Group=.*,Group=shadow,",
        "$aReadWritePaths=/root",
        "$aLoadCredential=more:/root/key",
        "$aDeviceAllow=char-vfio rw",
    )
    for change in changes:
        rendered(host, volumes=[{"image": "/srv/own/a.img", "size": 8}], credential_files={"key": "/root/key"})
        host.run(f"sed -i '{change}' {file}")
        assert file in host.microvm("update web --package /root/external", 1), change
    print(f"rendered packages with changed settings: {len(changes)}")
    assert host.info("web")["generation"] == 1


def test_an_operator_s_own_drop_in_does_what_the_package_may_not(host: Host) -> None:
    host.send("/root/plain", echoing("one"))
    directory = f"{UNITS}/microvm@web.service.d"
    host.run(f"mkdir -p {directory} && printf '[Service]\\nEnvironment=MARK=local\\n' > {directory}/60-local.conf")
    host.microvm("create web --package /root/plain")
    host.microvm("start web")
    process = host.info("web")["process"]
    assert "MARK=local" in host.run(f"tr '\\0' '\\n' < /proc/{process}/environ")


def test_a_generation_that_an_earlier_version_accepted_is_not_rolled_back_to(host: Host) -> None:
    for mark in ("one", "two"):
        host.send(f"/root/echo-{mark}", echoing(mark))
        host.microvm(f"{'create' if mark == 'one' else 'update'} web --package /root/echo-{mark}")
    first = host.run(f"readlink -f {STATE}/web/old").strip()
    host.send(f"{first}/share/microvm/systemd", {f"{MAIN}.conf": f"[Service]\nExecStartPre=+{PLANT}\n"})
    for option in ("", "1", "--check"):
        output = host.microvm(f"rollback web {option}", 1)
        assert "generation 1" in output and "ExecStartPre" in output and "60-local.conf" in output
    assert host.info("web")["generation"] == 2
    host.run("test ! -e /root/planted")
