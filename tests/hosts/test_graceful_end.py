# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests whose hypervisors have no power button are asked over their vsock, by root, before anything else.

The hypervisors are fakes, and hosts of the test bed have no vsock: the guest's units listen on a Unix socket here.
"""

from __future__ import annotations

import re

from .host import ROOT, Files, Host
from .packages import STAY, fake
from .paths import UNITS
from .test_stop import READY, UNTIL_ASKED, begin, last_words

IMAGES = ROOT / "plugins/module_utils/_microvm/resources/images/scripts"
PORT = "901"
SOCKET = "/run/words.socket"
HERE = f"[Socket]\nListenStream=\nListenStream={SOCKET}\n"
PEER = """\
[Service]
Environment="REMOTE_ADDR={}" REMOTE_PORT={}
Environment=PATH=/run/fakes:/usr/bin:/bin
ReadWritePaths=/run/fakes
"""
"""What systemd sets for a peer on vsock, and a systemctl that does nothing."""
SYSTEMCTL = '#!/bin/sh\necho "$@" > /run/fakes/log\n'
AS_ROOT = '[ "$(id -u)" = 0 ] || exit 9\n'
UNTIL_ENDED = 'while kill -0 "$(cat process)" 2>/dev/null; do sleep 0.1; done\n'


def guest_units() -> Files:
    """Return the units of guests that answer their host."""
    setup = (IMAGES / "setup.sh").read_text()
    units = re.findall(r"^unit (microvm-host\S+) <<'?END'?\n(.*?)^END\n", setup, re.MULTILINE | re.DOTALL)
    return {name: text.replace("$guest_port", PORT) for name, text in units}


def asked(host: Host, word: str, address: str = "vsock:2", port: int = 1000) -> str:
    """Return what the guest's service answers to a peer with some address."""
    host.send(f"{UNITS}/microvm-host@.service.d", {"peer.conf": PEER.format(address, port)})
    host.run("systemctl daemon-reload")
    # Who is sent away is not listened to: the connection is reset, and the answer may be lost if that comes first.
    ask = f"echo {word} | timeout 60 socat -t 50 - UNIX-CONNECT:{SOCKET},shut-none 2>/dev/null || true"
    return host.run(ask) or host.run(ask)


def test_the_units_of_guests_answer_the_root_of_their_host_and_nobody_else(host: Host) -> None:
    units = guest_units()
    assert set(units) == {"microvm-host.socket", "microvm-host@.service"}
    host.send("/usr/lib/microvm-fleet", {"answer-host": "#!/bin/sh\n" + (IMAGES / "answer-host.sh").read_text()})
    host.send("/run/fakes", {"systemctl": SYSTEMCTL})
    try:
        host.send("/run/guest", {**units, "microvm-host@0.service": units["microvm-host@.service"]})
        host.run("cd /run/guest && systemd-analyze verify ./microvm-host.socket ./microvm-host@0.service")
        host.send(UNITS, {**units, "microvm-host.socket.d/here.conf": HERE})
        host.run("systemctl daemon-reload && systemctl start microvm-host.socket")
        assert asked(host, "reboot") == "rebooting\n"
        assert host.run("cat /run/fakes/log") == "--quiet --no-block --no-wall reboot\n"
        assert asked(host, "freeze") == "unknown word\n"
        assert (
            asked(host, "poweroff", port=1024)
            == asked(host, "poweroff", "vsock:3")
            == ("only the host's root is answered\n")
        )
        assert host.run("cat /run/fakes/log") == "--quiet --no-block --no-wall reboot\n"
        # As many as like to.
        crowd = f"for n in $(seq 300); do socat -u /dev/null UNIX-CONNECT:{SOCKET} 2>/dev/null & done; wait; true"
        host.run(crowd)
        assert host.states(["microvm-host.socket"]) == {"microvm-host.socket": "active"}
        assert host.run("systemctl list-units --plain --no-legend --state=failed 'microvm-host*'") == ""
    finally:
        host.run(
            f"systemctl stop microvm-host.socket; rm -rf {UNITS}/microvm-host* /usr/lib/microvm-fleet /run/guest"
            f" /run/fakes {SOCKET}; systemctl daemon-reload"
        )


def test_root_asks_the_guest_before_the_hypervisor_s_user_goes_on(host: Host) -> None:
    ask = f"{AS_ROOT}touch asked; echo asking\n"
    wait = '[ "$GUEST_ASKED" = yes ] || exit 9\n' + UNTIL_ENDED
    packages = {
        "answers": fake("echo $$ > process", READY, UNTIL_ASKED, microvm_ask_guest=ask, microvm_shutdown=wait),
        # The script of root ends with the hypervisor.
        "hasty": fake("echo $$ > process", READY, UNTIL_ASKED, microvm_ask_guest=ask + UNTIL_ENDED),
        "silent": fake(
            READY,
            STAY,
            microvm_ask_guest=f"{AS_ROOT}exit 1\n",
            microvm_shutdown='[ "$GUEST_ASKED" = no ] || echo wrong; exit 1\n',
        ),
    }
    host.install_packages(packages)
    begin(host, *packages)
    host.run("systemctl stop " + " ".join(f"microvm@{name}" for name in packages))
    assert set(host.states(f"microvm@{name}" for name in packages).values()) == {"inactive"}
    assert last_words(host, *packages) == {
        "answers": "MicroVM answers: stopped by the guest after N s",
        "hasty": "MicroVM hasty: stopped by the guest after N s",
        "silent": "MicroVM silent: stopped by SIGTERM after N s",
    }
    assert "asking" in host.journal("answers") and "wrong" not in host.journal("silent")


def test_a_guest_that_ends_by_itself_is_not_asked(host: Host) -> None:
    host.install_packages({"gone": fake(READY, microvm_ask_guest="echo asking\n")})
    begin(host, "gone")
    host.wait_for_states({"microvm@gone": "inactive"})
    assert host.journal("gone") == ["MicroVM gone has powered off and stays down"]
