# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sandboxes of all units that are installed, as ``systemd-analyze security`` and the kernel see them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..host import ROOT, Host, active
from ..packages import STAY, fake
from ..paths import NETWORK_UNIT, NETWORK_WATCH_UNIT, STATE, UNITS

PLUGINS = ROOT / "plugins/module_utils/_microvm"
HELPERS = {
    "microvm-wait": 2.0,
    "microvm-set-booted": 1.2,
    "microvm-tap-interfaces": 2.5,
    "microvm-macvtap-interfaces": 3.0,
    "microvm-pci-devices": 2.0,
    "microvm-boot-queue": 1.7,
    "microvm-virtiofsd": 3.2,
    "microvm-notify": 1.3,
}
"""Highest exposure of the template units of root's."""
NETWORK_EXPOSURE = 2.0
TABLE = "microvm_fleet"

PRIVILEGES = {
    "microvm-set-booted": set(),
    "microvm-tap-interfaces": {"cap_net_admin"},
    "microvm-macvtap-interfaces": {"cap_net_admin", "cap_chown", "cap_fowner", "cap_dac_override"},
    "microvm-pci-devices": {"cap_chown", "cap_fowner", "cap_dac_override"},
    "microvm-boot-queue": set(),
}
"""Capabilities that a script of a package has in a helper unit."""


def exposure(host: Host, unit: str) -> float:
    """Return the exposure level of a unit, and print it."""
    level = float(
        re.findall(r"([0-9.]+) [A-Z]", host.run(f"systemd-analyze security --no-pager {unit} | tail -n 1"))[-1]
    )
    print(f"exposure of {unit}: {level}")
    return level


def test_every_unit_is_listed_here() -> None:
    units = {path.name for path in (PLUGINS / "resources/host_setup/units").glob("*@.service")}
    assert units == {f"{unit}@.service" for unit in HELPERS} | {"microvm@.service"}


@pytest.fixture(name="nft")
def _nft(host: Host) -> None:
    """Install what role ``network`` installs."""
    host.run("command -v nft >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y nftables")


@pytest.mark.parametrize("unit", HELPERS)
def test_the_exposure_of_a_helper_unit_has_a_bound(host: Host, unit: str) -> None:
    assert exposure(host, f"{unit}@web.service") <= HELPERS[unit]


def test_the_exposure_of_the_hypervisors_unit_has_a_bound(host: Host) -> None:
    assert exposure(host, "microvm@web.service") <= 5.0


def test_the_rules_of_networks_are_loaded_within_a_sandbox(host: Host, nft: None, tmp_path: Path) -> None:
    networks = [{"name": "mvnet0", "address": "10.99.0.1/24", "nat": True}]
    play = (
        f"- {{hosts: all, gather_facts: false, tasks: [{{microvm.fleet.microvm_network: {{networks: {networks}}}}}]}}\n"
    )
    host.play(tmp_path, play)
    try:
        assert exposure(host, NETWORK_UNIT) <= NETWORK_EXPOSURE
        for verb in ("restart", "reload"):
            host.run(f"nft delete table inet {TABLE}; systemctl {verb} {NETWORK_UNIT}")
            assert "masquerade" in host.run(f"nft list table inet {TABLE}")
        assert exposure(host, NETWORK_WATCH_UNIT) <= NETWORK_EXPOSURE
        host.run(f"systemctl stop {NETWORK_UNIT}")
        host.run(f"nft list table inet {TABLE} || nft list table bridge {TABLE}", status=1)
    finally:
        host.play(tmp_path, play.replace(str(networks), "[]"))


PROBE = r"""
{
    echo "capabilities $(grep CapEff /proc/self/status)"
    for path in /etc /usr /root /var/lib /run /boot /proc/sys/kernel/hostname; do
        if [ -d "$path" ]; then path=$path/planted; fi
        (echo planted > "$path") 2>/dev/null && echo "wrote $path"
    done
    unshare --user true 2>/dev/null && echo "made a namespace"
    unshare --mount true 2>/dev/null && echo "made a namespace"
    mount -t tmpfs none /mnt 2>/dev/null && echo "mounted"
    mknod "$PWD/device" b 8 0 2>/dev/null && echo "made a device"
    (cp /bin/true "$PWD/setuid" && chmod u+s "$PWD/setuid") 2>/dev/null && echo "made a setuid program"
    (exec 3<>/dev/tcp/192.0.2.1/80) 2>&1 | grep -q "not permitted\|not supported" || true
    nsenter -t 1 -m true 2>/dev/null && echo "entered a namespace"
    date -s @0 >/dev/null 2>&1 && echo "set the clock"
    [ -e /dev/sda ] && echo "saw a disk"
    rm -f "$PWD/setuid"
} > "$PWD/probe" 2>&1
true
"""
"""Script of a hostile package: says what it can do."""
TRIES = 15


@pytest.mark.parametrize(
    ("unit", "script"),
    [
        ("microvm-tap-interfaces", "tap_up"),
        ("microvm-macvtap-interfaces", "macvtap_up"),
        ("microvm-pci-devices", "pci_setup"),
    ],
)
def test_a_script_of_a_package_can_do_what_its_unit_is_for_and_no_more(host: Host, unit: str, script: str) -> None:
    host.install_packages({"web": fake(STAY, **{script: f"cd {STATE}/web\n{PROBE}"})})
    host.run("systemctl start microvm@web")
    first, *rest = host.run(f"cat {STATE}/web/probe").splitlines()
    mask = int(first.split()[-1], 16)
    numbers = {"cap_chown": 0, "cap_dac_override": 1, "cap_fowner": 3, "cap_net_admin": 12}
    assert mask == sum(1 << numbers[name] for name in PRIVILEGES[unit])
    print(f"{TRIES} tries of a script in {unit}@: {len(rest)} succeeded")
    assert rest == []


def test_scripts_of_packages_configure_the_network(host: Host, nft: None) -> None:
    lines = """
ip tuntap add name t0 mode tap user microvm
ip address add 10.98.0.1/24 dev t0
ip link set dev t0 up
ip route add 10.97.0.0/24 dev t0
ip -6 route show > /dev/null
echo 1 > /proc/sys/net/ipv4/conf/t0/proxy_arp
nft add table inet of_web
nft 'add chain inet of_web forward { type filter hook forward priority 0; }'
nft 'add rule inet of_web forward iifname t0 drop'
"""
    host.install_packages(
        {"web": fake(STAY, tap_up=f"set -e{lines}", tap_down="ip link delete t0; nft delete table inet of_web\n")}
    )
    host.run("systemctl start microvm@web")
    assert "10.97.0.0/24" in host.run("ip route show dev t0")
    assert "drop" in host.run("nft list table inet of_web")
    assert host.run("cat /proc/sys/net/ipv4/conf/t0/proxy_arp").strip() == "1"
    host.run("systemctl stop microvm@web")
    host.wait_for("end of the tap", lambda: host.run("ip link show type tun"), lambda seen: seen == "")
    host.run("nft list table inet of_web", status=1)


def test_helpers_do_not_run_for_a_package_that_is_not_recorded_as_running(host: Host) -> None:
    """The unit that sets the link fails, here by an operator's drop-in; then no script of any package runs."""
    scripts = dict.fromkeys((*UP, *DOWN), f"touch {STATE}/web/ran-$(basename $0)\n")
    host.install_packages({"web": fake(STAY, **scripts)})
    drop_in = f"{UNITS}/microvm-set-booted@web.service.d"
    host.send(drop_in, {"60-broken.conf": "[Service]\nExecStart=\nExecStart=/bin/false\n"})
    host.run("systemctl daemon-reload")
    units = [f"{unit}@web" for unit in HELPERS if unit not in ("microvm-boot-queue", "microvm-wait")]
    for unit in ("microvm@web", *units):
        host.run(f"systemctl start {unit}", status=1)
    print(f"{len(units) + 1} starts without the link")
    assert "ran-" not in host.run(f"ls {STATE}/web")
    host.run(f"rm -r {drop_in}; systemctl daemon-reload; systemctl reset-failed; systemctl start microvm@web")
    assert host.states(["microvm@web"]) == active(["microvm@web"])
    ran = host.run(f"ls {STATE}/web").split()
    assert {f"ran-{name.replace('_', '-')}" for name in UP} <= {*ran}


UP = ("tap_up", "macvtap_up", "pci_setup")
DOWN = ("tap_down", "macvtap_down", "pci_teardown")
