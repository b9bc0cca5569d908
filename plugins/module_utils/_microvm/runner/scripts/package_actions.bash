# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set before: the account of packages without scripts, which know no other, and the links of the state directory.
: "${user:?}" "${group:?}" "${current:?}" "${booted:?}"

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
    while read -r address; do take_pci_device "$address" "$user" "$group"; done < "$lists/pci-devices"
}

pci_teardown() {
    local address
    while read -r address; do give_pci_device_back "$address"; done < "$lists/pci-devices"
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
    # The unit's main process applies on_crash.
    systemctl kill --kill-who=main --signal=USR1 "microvm@$name.service" 2>/dev/null || true
}

# The unit's main process is registered, since systemd itself says which one that is: the number of the hypervisor's own
# process would have to be read from a file of the MicroVM's user.
register() {
    if ! "$package/bin/microvm-register" "${MAINPID:?}"; then
        echo "MicroVM $name could not be registered with systemd-machined, and runs without" >&2
    fi
}

run_action() { # action, MicroVM
    local action=$1 name=$2 package lists
    case $action in
        tap-up | macvtap-up | pci-setup | virtiofsd-run | microvm-register) package=$current ;;
        *) package=$booted ;;
    esac
    # A start that failed early leaves no link to what runs.
    if [ ! -e "$package" ]; then package=$current; fi
    lists=$package/share/microvm
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
}
