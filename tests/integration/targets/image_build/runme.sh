#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test that a killed build leaves no image that looks finished, no process and no mount, that the next build completes
# the image, and that its guest also accepts credentials from the initial RAM disk.

set -eux

here=$(dirname "$(readlink -f "$0")")
# ansible-test sets the path of the collection; build.py imports it without Ansible.
export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

finished() { find "$work/store" -maxdepth 1 -type d -name '[0-9a-f]*'; }

for seconds in 0.3 2 4 6 9; do
    python "$here/build.py" "$work/store" erofs >/dev/null &
    build=$!
    sleep "$seconds"
    kill -KILL "$build" || true
    wait "$build" || true
    # No process of the killed build is left.
    for _ in $(seq 600); do
        pgrep --full "$work/store" >/dev/null || break
        sleep 0.1
    done
    if pgrep --full --list-full "$work/store"; then exit 1; fi
    if grep "$work" /proc/self/mounts; then exit 1; fi
    for image in $(finished); do
        # The build was finished before it was killed.
        [ -s "$image/manifest.json" ]
    done
done

image=$(python "$here/build.py" "$work/store" erofs)
[ "$(finished)" = "$image" ]
[ -z "$(find "$work/store" -name '.partial-*')" ]
fsck.erofs "$image/root.erofs"
python - "$image" <<'PYTHON'
import hashlib, json, pathlib, sys

image = pathlib.Path(sys.argv[1])
manifest = json.loads((image / "manifest.json").read_text())
files = manifest["files"]
# As Debian configures it: what is predicted of an image before its build is what the build finds.
assert manifest["kernel_lacks"] == ["CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES"], manifest["kernel_lacks"]
assert set(files) == {"kernel", "initrd", "root.erofs"}, files
for name, expected in files.items():
    assert hashlib.sha256((image / name).read_bytes()).hexdigest() == expected["sha256"], name
PYTHON

# An existing image is not built again: no file is touched.
touch "$work/now"
[ "$(python "$here/build.py" "$work/store" erofs)" = "$image" ]
[ -z "$(find "$image" -newer "$work/now")" ]

# kvmtool has no channel for credentials and no serial numbers of disks: the guest gets credentials from the initial RAM
# disk and finds disks by their order. kvmtool needs KVM, so a fake lkvm runs QEMU with the same kernel and disks.
mkdir -p "$work/kvmtool/bin" "$work/guest"
cat >"$work/kvmtool/bin/lkvm" <<'LKVM'
#!/usr/bin/env bash
set -eu
disks=()
while [ "$#" -gt 0 ]; do
    case $1 in
        -k) kernel=$2 ;;
        -i) initrd=$2 ;;
        -p) parameters=$2 ;;
        -d)
            disks+=(-drive "if=none,id=d${#disks[@]},format=raw,readonly=$([[ $2 = *,ro ]] && echo on || echo off),file=${2%,ro}"
                -device "virtio-blk-device,drive=d${#disks[@]}")
            ;;
    esac
    shift
done
frequency=$(sed -n '/^cpu MHz/{s/[^0-9]//gp;q;}' /proc/cpuinfo)
exec qemu-system-x86_64 -M microvm,accel=tcg,acpi=on,pit=on,pic=on,rtc=on -cpu max -m 512 -nodefaults -no-reboot \
    -nographic -serial stdio -kernel "$kernel" -initrd "$initrd" "${disks[@]}" \
    -append "$parameters tsc_early_khz=$frequency"
LKVM
chmod +x "$work/kvmtool/bin/lkvm"
echo 'open sesame' >"$work/secret"
chmod 0400 "$work/secret"
cat >"$work/guest.json" <<JSON
{"name": "told", "hypervisor": "kvmtool", "image": "$image", "kvmtool": {"package": "$work/kvmtool"},
 "credential_files": {"token": "$work/secret"},
 "volumes": [{"image": "root.img", "size": 64, "mount_point": "/"}],
 "kernel_params": ["systemd.run=\"/bin/sh -c 'cat /run/credentials/@system/token /etc/hostname; stat -f -c %T /; lsblk -n -o NAME,MOUNTPOINTS; hostname'\"",
  "systemd.journald.forward_to_console=1"]}
JSON
microvm="$ANSIBLE_COLLECTIONS_PATH/ansible_collections/microvm/fleet/bin/microvm"
"$microvm" render "$work/guest.json" --platform x86_64-linux --output "$work/package"
if grep -r sesame "$work/package"; then exit 1; fi
cd "$work/guest"
timeout 600 "$work/package/bin/microvm-run" </dev/null >"$work/console" || true
grep -a 'open sesame' "$work/console"
grep -aE 'sh\[[0-9]+\]: told' "$work/console"
grep -aE 'sh\[[0-9]+\]: overlayfs' "$work/console"
if ls /dev/shm/microvm.*; then exit 1; fi

# SquashFS is the other file system of images.
image=$(python "$here/build.py" "$work/store" squashfs)
unsquashfs -stat "$image/root.squashfs"
unsquashfs -cat "$image/root.squashfs" usr/lib/os-release | grep VERSION_CODENAME=trixie
