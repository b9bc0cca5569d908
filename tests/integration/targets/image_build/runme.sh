#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# A build that is killed leaves no image that looks finished, no process and no mount; the next one completes it.

set -eux

here=$(dirname "$(readlink -f "$0")")
# ansible-test says where the collection is; build.py imports it without Ansible.
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
    # Nobody works on it any more.
    for _ in $(seq 50); do
        pgrep --full "$work/store" >/dev/null || break
        sleep 0.1
    done
    if pgrep --full --list-full "$work/store"; then exit 1; fi
    if grep "$work" /proc/self/mounts; then exit 1; fi
    for image in $(finished); do
        # A build that was through before its time.
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
files = json.loads((image / "manifest.json").read_text())["files"]
assert set(files) == {"kernel", "initrd", "root.erofs"}, files
for name, expected in files.items():
    assert hashlib.sha256((image / name).read_bytes()).hexdigest() == expected["sha256"], name
PYTHON

# What is there is not built again: not a file is touched.
touch "$work/now"
[ "$(python "$here/build.py" "$work/store" erofs)" = "$image" ]
[ -z "$(find "$image" -newer "$work/now")" ]

# The other file system.
image=$(python "$here/build.py" "$work/store" squashfs)
unsquashfs -stat "$image/root.squashfs"
unsquashfs -cat "$image/root.squashfs" usr/lib/os-release | grep VERSION_CODENAME=trixie
