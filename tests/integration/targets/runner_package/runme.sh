#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A package's scripts on real kernel objects: taps on a bridge, a QEMU that opens them, a stop that waits for its end.
# All in a network namespace of its own.

set -eux

here=$(dirname "$(readlink -f "$0")")
if [ "${1:-}" != inside ]; then
    exec unshare --net --mount "$here/runme.sh" inside
fi
# Without its own, /sys/class/net shows the links of the machine.
mount -t sysfs sysfs /sys
# ansible-test says where the collection is; render.py imports it without Ansible.
export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"

work=$(mktemp -d)
qemu=
cleanup() {
    if [ -n "$qemu" ]; then kill -KILL "$qemu" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

# QEMU loads any file as an ancient kernel; what it then runs does nothing.
truncate --size 64K "$work/kernel"
python "$here/render.py" "$work/package" <<JSON
{"name": "probe", "kernel": "$work/kernel", "mem": 64, "vcpu": 2,
 "interfaces": [{"id": "mv-probe", "mac": "02:00:00:00:00:01", "bridge": "br-probe"}, {"type": "user", "id": "user0"}],
 "volumes": [{"image": "data volume.img", "size": 8}],
 "shares": [{"tag": "share", "source": "$work"}]}
JSON
mkdir "$work/state"
cd "$work/state"
id microvm >/dev/null 2>&1 || sed -i -e 's/ user microvm / user root /' -e 's/(id -u microvm)/(id -u root)/' \
    "$work/package/bin/tap-up" "$work/package/bin/tap-down"

# A bridge that does not exist is an error, and one that names it.
if "$work/package/bin/tap-up" 2>"$work/error"; then exit 1; fi
grep br-probe "$work/error"

ip link add br-probe type bridge
"$work/package/bin/tap-up"
ip -json link show master br-probe | grep mv-probe
# IFF_TAP | IFF_NO_PI is not asked for here; IFF_VNET_HDR (0x4000) and IFF_MULTI_QUEUE (0x100) are, for two processors.
flags=$(cat /sys/class/net/mv-probe/tun_flags)
[ $((flags & 0x4100)) -eq $((0x4100)) ]
"$work/package/bin/tap-up" # over one that was left

# What is not a tap is not ours to delete.
"$work/package/bin/tap-down"
ip link add mv-probe type bridge
"$work/package/bin/tap-down"
if "$work/package/bin/tap-up" 2>"$work/error"; then exit 1; fi
grep 'mv-probe exists' "$work/error"
ip link del mv-probe
# Nor is somebody else's tap.
ip tuntap add name mv-probe mode tap user 12345
"$work/package/bin/tap-down"
if "$work/package/bin/tap-up" 2>"$work/error"; then exit 1; fi
grep 'mv-probe exists' "$work/error"
ip link del mv-probe
"$work/package/bin/tap-up"

# QEMU accepts the command line, opens the tap, the new volume and the share, and answers.
"$work/package/bin/microvm-run" >"$work/console" 2>&1 </dev/null &
qemu=$!
for _ in $(seq 100); do
    [ ! -S probe.sock ] || break
    sleep 0.1
done
answer() { printf '%s\n' '{"execute":"qmp_capabilities"}' "$1" | socat -t 2 - UNIX-CONNECT:probe.sock; }
answer '{"execute":"query-status"}' | grep '"status": "running"'
# A tap that is in use is not taken away.
if "$work/package/bin/tap-up" 2>"$work/error"; then exit 1; fi
grep 'mv-probe is in use' "$work/error"
[ "$(stat --format %s 'data volume.img')" -eq $((8 * 1024 * 1024)) ]

# A stop asks again and again and returns when the process has ended, not before, whatever its standard input is.
"$work/package/bin/microvm-shutdown" </dev/null >"$work/stop" &
stop=$!
for _ in $(seq 60); do
    [ "$(grep -c POWERDOWN "$work/stop")" -lt 2 ] || break
    sleep 0.5
done
[ "$(grep -c POWERDOWN "$work/stop")" -ge 2 ]
kill -0 "$stop"
kill -TERM "$qemu"
wait "$qemu" || true
qemu=
for _ in $(seq 50); do
    kill -0 "$stop" 2>/dev/null || break
    sleep 0.1
done
if kill -0 "$stop" 2>/dev/null; then exit 1; fi
"$work/package/bin/microvm-shutdown" # of one that does not run

"$work/package/bin/tap-down"
"$work/package/bin/tap-down" # twice
[ ! -e /sys/class/net/mv-probe ]
