#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test a guest of another architecture than the host's: Debian's arm64 kernel boots on x86_64 from a package that the
# command renders, mounts its disk, and its power-off ends QEMU.

set -eux

here=$(dirname "$(readlink -f "$0")")
# ansible-test sets the path of the collection.
microvm=$ANSIBLE_COLLECTIONS_PATH/ansible_collections/microvm/fleet/bin/microvm

# Print a line in the format of pytest, which `make test` shows at its end.
skip() {
    printf 'SKIPPED cpu_emulation skipped: %s\n' "$1"
    exit 0
}

[ "$(uname -m)" = x86_64 ] || skip "the machine is not x86_64"

# The downloaded guest is cached until make-guest changes.
digest=$(sha256sum "$here/make-guest" | cut -c 1-16)
guest=/var/cache/microvm-fleet/cpu_emulation/$(. /etc/os-release && echo "$ID-$VERSION_CODENAME")-$digest
status=0
"$here/make-guest" "$guest" || status=$?
[ "$status" -ne 3 ] || skip "no linux-image-cloud-arm64 from the machine's apt sources"
[ "$status" -eq 0 ]

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo open-sesame >"$work/credential"
# The CPU model cortex-a57 is fast to emulate; pointer authentication makes `max` slow.
cat >"$work/arm.json" <<JSON
{"name": "arm", "hypervisor": "qemu", "guest_system": "aarch64-linux", "cpu": "cortex-a57", "mem": 256,
 "kernel": "$guest/kernel", "initrd_path": "$guest/initrd", "credential_files": {"probe": "$work/credential"},
 "volumes": [{"image": "data.img", "size": 16, "mount_point": "/data"}]}
JSON
"$microvm" render "$work/arm.json" --platform x86_64-linux --output "$work/package"

mkdir "$work/state"
cd "$work/state"
timeout 60 "$work/package/bin/microvm-shutdown" # of a MicroVM that does not run
status=0
timeout 600 "$work/package/bin/microvm-run" </dev/null >"$work/console" 2>&1 || status=$?
tr -d '\r' <"$work/console" | tee "$work/lines"
[ "$status" -eq 0 ]
grep -x 'guest: architecture aarch64' "$work/lines"
grep '^guest: command line .*\<console=ttyAMA0\>' "$work/lines"
grep -x 'guest: credential open-sesame' "$work/lines"
grep '^guest: disk /dev/vda /data ext4 rw' "$work/lines"
[ "$(stat --format %s data.img)" -eq $((16 * 1024 * 1024)) ]
timeout 60 "$work/package/bin/microvm-shutdown" # of a MicroVM that has ended
