#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test the scripts of packages that need features that this machine's kernel may lack: macvtap devices, an IOMMU, vfio.
# The scripts run unchanged in a MicroVM whose QEMU emulates an IOMMU and a network card under TCG.

set -eux

here=$(dirname "$(readlink -f "$0")")
collection="$ANSIBLE_COLLECTIONS_PATH/ansible_collections/microvm/fleet"
export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"
if [ "$(uname -m)" != x86_64 ]; then
    echo "SKIPPED kernel_objects: emulates an x86_64 host only on x86_64"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

image=$(python "$collection/tests/integration/targets/image_build/build.py" /var/cache/microvm-fleet/images erofs)
mkdir "$work/probe" "$work/state"
cp "$here/inside.sh" "$work/probe/"
cat >"$work/package.json" <<'JSON'
{"name": "probe", "kernel": "/k", "hypervisor": "qemu", "vcpu": 2,
 "devices": [{"bus": "pci", "path": "0000:00:10.0"}],
 "interfaces": [{"type": "macvtap", "id": "mv-probe", "mac": "02:00:00:00:00:09",
                 "macvtap": {"link": "lower", "mode": "bridge"}}]}
JSON
"$collection/bin/microvm" render "$work/package.json" --platform x86_64-linux --output "$work/probe/package"
python - >"$work/probe/restore-devices" <<'PYTHON'
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio.files import script

print(script())
PYTHON
python - >"$work/probe/device-list" <<'PYTHON'
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import DEVICE_LIST

print(DEVICE_LIST)
PYTHON
cat >"$work/host.json" <<JSON
{"name": "host", "image": "$image", "accel": "tcg", "mem": 768, "ready": {"check": "none"},
 "shares": [{"tag": "probe", "source": "$work/probe", "mount_point": "/probe"}],
 "qemu": {"machine": "q35",
          "machine_opts": {"accel": "tcg", "kernel-irqchip": "split"},
          "extra_args": ["-device", "intel-iommu,intremap=on,caching-mode=on",
                         "-device", "e1000e,addr=0x10,romfile="]},
 "kernel_params": ["intel_iommu=on", "systemd.run=\"/bin/bash /probe/inside.sh\"",
                   "systemd.run_success_action=poweroff", "systemd.run_failure_action=poweroff"]}
JSON
"$collection/bin/microvm" render "$work/host.json" --platform x86_64-linux --output "$work/host"
cd "$work/state"
timeout 600 "$work/host/bin/microvm-run" </dev/null >"$work/console" 2>&1 || true
if ! grep -a 'all is well' "$work/probe/log"; then
    tail -n 40 "$work/console"
    cat "$work/probe/log"
    exit 1
fi
