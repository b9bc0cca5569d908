# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``roles/host/files/microvm-package``: runs a package's scripts, or does the same for a package that has none.

It has the very functions that packages have, so there is one way to make a tap.
"""

from __future__ import annotations

from _microvm.declaration.names import BOOTED_LINK, CURRENT_LINK, GROUP, USER
from _microvm.runner.scripts.interfaces import MAKE_MACVTAP, MAKE_TAP, REMOVE_MACVTAP, REMOVE_TAP
from _microvm.runner.scripts.pci import GIVE_BACK, TAKE
from _microvm.runner.scripts.virtiofsd import AWAIT_END, SERVE

_BEGIN = f"""\
#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the scripts of packages.

# What the units of a MicroVM do beside its hypervisor, in its state directory, for any runner package: the package's
# own script if it has one, else the same by its lists, as packages of microvm.nix had them before they had scripts.
# Usage: microvm-package ACTION NAME

set -euo pipefail

action=$1
name=$2
# Of packages without scripts, which know no other.
user={USER}
group={GROUP}
case $action in
    tap-up | macvtap-up | pci-setup | virtiofsd-run | microvm-register) package={CURRENT_LINK} ;;
    *) package={BOOTED_LINK} ;;
esac
# A start that failed early leaves no link to what runs.
if [ ! -e "$package" ]; then package={CURRENT_LINK}; fi
lists=$package/share/microvm
"""

_END = r"""
tap_up() {
    local flags=(vnet_hdr) id
    if [ -e "$lists/tap-flags" ]; then read -r -d '' -a flags < "$lists/tap-flags" || true; fi
    while read -r id; do make_tap "$id" "$user" '' "${flags[@]}"; done < "$lists/tap-interfaces"
}

tap_down() {
    local id
    while read -r id; do remove_tap "$id" "$user"; done < "$lists/tap-interfaces"
}

macvtap_up() {
    local id mac link mode
    while read -r id mac link mode; do
        make_macvtap "$id" "$user" "$group" "$link" "$mac" "$mode"
    done < "$lists/macvtap-interfaces"
}

macvtap_down() {
    local id _rest
    while read -r id _rest; do remove_macvtap "$id"; done < "$lists/macvtap-interfaces"
}

pci_setup() {
    local address
    modprobe vfio-pci
    while read -r address; do take "$address" "$user" "$group"; done < "$lists/pci-devices"
}

pci_teardown() {
    local address
    while read -r address; do give_back "$address"; done < "$lists/pci-devices"
}

virtiofsd_run() {
    local share source address addresses=()
    end_together
    for share in "$lists"/virtiofs/*; do
        address=$(cat "$share/socket")
        source=$(cat "$share/source")
        mkdir -p -- "$source"
        addresses+=("$address")
        serve "$address" virtiofsd "--socket-path=$address" "--socket-group=$group" "--shared-dir=$source" \
            --thread-pool-size "$(nproc)" --posix-acl --xattr &
    done
    await_end "${addresses[@]}"
}

# After the unit of the shares has ended, however: nothing of it stays, and a guest does not run on without its files.
virtiofsd_ended() {
    local file address
    for file in "$lists"/virtiofs/*/socket; do
        if [ ! -e "$file" ]; then continue; fi
        address=$(cat "$file")
        rm -f -- "$address" "$address.pid"
    done
    if [ "${SERVICE_RESULT:-success}" = success ]; then return; fi
    echo "virtiofsd of MicroVM $name has ended ($SERVICE_RESULT); the MicroVM is stopped, since its shares are gone" >&2
    # Its main process knows what a crash is followed by.
    systemctl kill --kill-who=main --signal=USR1 "microvm@$name.service" 2>/dev/null || true
}

# machined is told the hypervisor's process, which the unit's main process has made.
register() {
    local process='' waited=0
    while [ "$waited" -lt 50 ] && ! read -r process _started < "/run/microvms/$name/hypervisor.pid"; do
        sleep 0.1
        waited=$((waited + 1))
    done 2>/dev/null
    if ! "$package/bin/microvm-register" "${process:-${MAINPID:-}}"; then
        echo "MicroVM $name could not be registered with systemd-machined, and runs without" >&2
    fi
}

case $action in
    virtiofsd-ended) virtiofsd_ended ;;
    microvm-register) if [ -x "$package/bin/$action" ]; then register; fi ;;
    microvm-unregister) if [ -x "$package/bin/$action" ]; then "$package/bin/$action" || true; fi ;;
    tap-up | tap-down | macvtap-up | macvtap-down | pci-setup | pci-teardown | virtiofsd-run)
        if [ -x "$package/bin/$action" ]; then exec "$package/bin/$action"; fi
        "${action//-/_}"
        ;;
    *)
        echo "microvm-package: there is no action $action" >&2
        exit 2
        ;;
esac
"""


def microvm_package() -> str:
    """The script. It runs as root in the state directory, and expects a name that systemd has unescaped."""
    functions = (MAKE_TAP, REMOVE_TAP, MAKE_MACVTAP, REMOVE_MACVTAP, TAKE, GIVE_BACK, SERVE, AWAIT_END)
    return _BEGIN + "".join(functions) + _END
