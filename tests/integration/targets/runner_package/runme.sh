#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test a package's scripts on real kernel objects: taps on a bridge, a QEMU that opens them, a stop that waits for the
# end of QEMU. The test runs in a separate network namespace.

set -eux

here=$(dirname "$(readlink -f "$0")")
if [ "${1:-}" != inside ]; then
    exec unshare --net --mount "$here/runme.sh" inside
fi
# Without this mount, /sys/class/net shows the interfaces of the machine.
mount -t sysfs sysfs /sys
# ansible-test sets the path of the collection; render.py imports it without Ansible.
export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"

work=$(mktemp -d)
qemu=
cleanup() {
    if [ -n "$qemu" ]; then kill -KILL "$qemu" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT

# QEMU loads any file as a kernel of the oldest format; the guest does nothing.
truncate --size 64K "$work/kernel"
python "$here/render.py" "$work/package" <<JSON
{"name": "probe", "kernel": "$work/kernel", "mem": 64, "vcpu": 2, "balloon": true,
 "qemu": {"extra_args": ["-qmp", "unix:events.sock,server=on,wait=off"]},
 "interfaces": [{"id": "mv-probe", "mac": "02:00:00:00:00:01", "bridge": "br-probe"}, {"type": "user", "id": "user0"}],
 "volumes": [{"image": "data volume.img", "size": 8}],
 "shares": [{"tag": "share", "source": "$work"}]}
JSON
mkdir "$work/state"
cd "$work/state"
id microvm-probe >/dev/null 2>&1 || sed -i -E '/^(make|remove)_tap /s/ microvm-probe( |$)/ root\1/' \
    "$work/package/bin/tap-up" "$work/package/bin/tap-down"

# The error for a bridge that does not exist names the bridge.
if "$work/package/bin/tap-up" 2>"$work/error"; then exit 1; fi
grep br-probe "$work/error"

ip link add br-probe type bridge
"$work/package/bin/tap-up"
ip -json link show master br-probe | grep mv-probe
# The tap has IFF_VNET_HDR (0x4000), and for two processors IFF_MULTI_QUEUE (0x100).
flags=$(cat /sys/class/net/mv-probe/tun_flags)
[ $((flags & 0x4100)) -eq $((0x4100)) ]
"$work/package/bin/tap-up" # replaces a remaining tap

# An interface that is not a tap is left alone.
"$work/package/bin/tap-down"
ip link add mv-probe type bridge
"$work/package/bin/tap-down"
if "$work/package/bin/tap-up" 2>"$work/error"; then exit 1; fi
grep 'mv-probe exists' "$work/error"
ip link del mv-probe
# A tap of another user is left alone.
ip tuntap add name mv-probe mode tap user 12345
"$work/package/bin/tap-down"
if "$work/package/bin/tap-up" 2>"$work/error"; then exit 1; fi
grep 'mv-probe exists' "$work/error"
ip link del mv-probe
"$work/package/bin/tap-up"

# QEMU accepts the command line, opens the tap, the new volume and the share, and answers.
"$work/package/bin/microvm-run" >"$work/console" 2>&1 </dev/null &
qemu=$!
for _ in $(seq 600); do
    [ ! -S probe.sock ] || break
    sleep 0.1
done
answer() { printf '%s\n' '{"execute":"qmp_capabilities"}' "$1" | socat -t 10 - UNIX-CONNECT:probe.sock; }
answer '{"execute":"query-status"}' | grep '"status": "running"'
# A tap in use is not removed.
if "$work/package/bin/tap-up" 2>"$work/error"; then exit 1; fi
grep 'mv-probe is in use' "$work/error"
[ "$(stat --format %s 'data volume.img')" -eq $((8 * 1024 * 1024)) ]
blkid -o value -s TYPE 'data volume.img' | grep ext4
[ "$(cut -d ' ' -f 1 microvm.pid)" = "$qemu" ]
tr '\0' '\n' < "/proc/$qemu/cmdline" | head -1 | grep -x microvm@probe

# The balloon accepts a size; a size that leaves no memory to the guest, or is not a number, is refused.
"$work/package/bin/microvm-balloon" 16
for size in 64 -1 '1; touch pwned'; do
    if "$work/package/bin/microvm-balloon" "$size" 2>"$work/error"; then exit 1; fi
done
[ ! -e pwned ]

# A stop repeats its request and returns only when the process has ended, whatever its standard input is.
(printf '{"execute":"qmp_capabilities"}\n'; exec sleep 60) | socat - UNIX-CONNECT:events.sock >"$work/events" &
"$work/package/bin/microvm-shutdown" </dev/null &
stop=$!
for _ in $(seq 60); do
    [ "$(grep -c POWERDOWN "$work/events")" -lt 2 ] || break
    sleep 0.5
done
[ "$(grep -c POWERDOWN "$work/events")" -ge 2 ]
kill -0 "$stop"
kill -TERM "$qemu"
wait "$qemu" || true
qemu=
for _ in $(seq 600); do
    kill -0 "$stop" 2>/dev/null || break
    sleep 0.1
done
if kill -0 "$stop" 2>/dev/null; then exit 1; fi
"$work/package/bin/microvm-shutdown" # of a MicroVM that does not run

"$work/package/bin/tap-down"
"$work/package/bin/tap-down" # twice
[ ! -e /sys/class/net/mv-probe ]

# Volumes of every file system with installed tools have labels and arguments that the shell does not expand; existing
# volumes are unchanged.
python "$here/render.py" "$work/volumes" <<'JSON'
{"name": "volumes", "kernel": "/k", "volumes": [
 {"image": "it's $HOME.img", "size": 8, "fs_type": "ext2", "label": "a 'b' $c", "mkfs_extra_args": ["-m", "0"]},
 {"image": "three", "size": 8, "fs_type": "ext3"},
 {"image": "fat", "size": 40, "fs_type": "vfat", "label": "DATA"},
 {"image": "large", "size": 400, "fs_type": "xfs", "label": "x"},
 {"image": "tree", "size": 200, "fs_type": "btrfs"}]}
JSON
# Omit the last lines, which execute the hypervisor, and file systems without installed tools.
sed '/^exec /,$d' "$work/volumes/bin/microvm-run" > "$work/create"
for kind in vfat xfs btrfs; do
    if ! command -v "mkfs.$kind"; then sed -i "/^create_volume .* mkfs.$kind/d" "$work/create"; fi
done
mkdir "$work/made"
cd "$work/made"
touch "it's \$HOME.img.partial" # left by a killed start
bash "$work/create"
[ "$(blkid -o value -s LABEL "it's \$HOME.img")" = "a 'b' \$c" ]
blkid -o value -s TYPE "it's \$HOME.img" | grep -x ext2
for image in *; do
    case $image in *.partial) exit 1 ;; esac
done
echo mine > three
bash "$work/create"
[ "$(cat three)" = mine ]
