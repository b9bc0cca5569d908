# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of a unit, from what `systemctl cat` prints."""

from __future__ import annotations

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.unit_files import parse_service

PRINTED = """\
# /etc/systemd/system/microvm@.service
[Unit]
Description=MicroVM '%i'

[Service]
Type=exec
User=microvm
# A comment=with an equals sign
WorkingDirectory=/srv/vms/%i
DeviceAllow=/dev/kvm rw
ExecStart=/bin/start \\
    %i

[Install]
WantedBy=multi-user.target

# /etc/systemd/system/microvm@web.service.d/50-microvm-fleet.conf
[Service]
User=microvm-web
DeviceAllow=
DeviceAllow=/dev/net/tun rw
LoadCredential=key:/srv/100%%/key
"""


def test_later_files_come_later_and_specifiers_are_resolved() -> None:
    assert list(parse_service(PRINTED, "web")) == [
        ("Type", "exec"),
        ("User", "microvm"),
        ("WorkingDirectory", "/srv/vms/web"),
        ("DeviceAllow", "/dev/kvm rw"),
        ("ExecStart", "/bin/start      web"),
        ("User", "microvm-web"),
        ("DeviceAllow", ""),
        ("DeviceAllow", "/dev/net/tun rw"),
        ("LoadCredential", "key:/srv/100%/key"),
    ]
