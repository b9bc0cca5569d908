# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A MicroVM whose guest notifies its host is active when the guest is up.

Hosts of the test bed have no vsock device: the notification comes from behind the relay. `make exam` has real guests.
"""

from __future__ import annotations

from .host import Host
from .packages import fake
from .paths import STATE

CONTEXT, PORT = 4242, 5266
TAKES = 'socat -u UNIX-RECV:microvm.notify "UNIX-SENDTO:$NOTIFY_SOCKET" & exec sleep infinity'
BIND = f"import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).bind((socket.VMADDR_CID_ANY, {PORT}))"
"""Fails where somebody listens at the port."""

MAIN, RELAY = "microvm@told", "microvm-notify@told"


def test_a_microvm_is_active_when_its_guest_has_notified(host: Host) -> None:
    share = {
        "share/microvm/vsock-cid": f"{CONTEXT}\n",
        "share/microvm/notify-port": f"{PORT}\n",
        "share/microvm/systemd/microvm@.service.conf": "[Service]\nType=notify\nNotifyAccess=all\n",
    }
    host.send("/root/told", {**fake(TAKES), **share})
    host.microvm("create told --package /root/told")
    host.run(f"systemctl start --no-block {MAIN}")
    host.wait_for_states({RELAY: "active", MAIN: "activating"})
    process = host.run(f"systemctl show -P MainPID {RELAY}").strip()
    assert host.run(f"ps -o user= -p {process}") == "microvm\n"
    assert "Address already in use" in host.run(f"python3 -c '{BIND}' 2>&1 || true")
    words = f"printf READY=1 | runuser -u microvm -- socat -u - UNIX-SENDTO:{STATE}/told/work/microvm.notify"
    host.run(f"until [ -S {STATE}/told/work/microvm.notify ]; do sleep 0.1; done")
    assert "Permission denied" in host.run(f"{words.replace('-u microvm', '-u nobody')} 2>&1 || true")
    assert host.states([MAIN]) == {MAIN: "activating"}
    host.wait_for("who takes it", lambda: host.run(f"{words} 2> /dev/null && echo sent || true"), bool)
    host.wait_for_states({MAIN: "active"})
    host.microvm("stop told")
    assert host.states([MAIN, RELAY]) == {MAIN: "inactive", RELAY: "inactive"}
