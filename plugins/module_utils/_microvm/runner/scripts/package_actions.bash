# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set before: the account of packages without scripts, which know no other, entries of the state directory, and the
# directories of what shares are mounted from, of the numbers of restarts, of lost shares and of consoles; the prefix of
# directories of huge pages; and the list of devices that are handed over, and the rules of udev for their users.
: "${user:?}" "${group:?}" "${current:?}" "${booted:?}" "${work:?}" "${sockets:?}" "${shares_directory:?}"
: "${restarts_directory:?}" "${console_directory:?}" "${huge_pages_prefix:?}" "${device_list:?}"
: "${device_rules:?}" "${lost_shares_directory:?}"

# Interfaces that a failed start has made would stay, not bound to their guest: systemd runs no ExecStop= after it.
declare -A interfaces_before=()
begin_interfaces() { # list of the package whose lines begin with a name
    local id _rest
    if [ ! -e "$1" ]; then return; fi
    while read -r id _rest; do interfaces_before[$id]=$(index_of "$id"); done < "$1"
    trap take_interfaces_back EXIT
}

index_of() { # interface; nothing for one that is not there
    cat "/sys/class/net/$1/ifindex" 2> /dev/null || true
}

# What was there before may be another MicroVM's.
take_interfaces_back() {
    local id index
    for id in "${!interfaces_before[@]}"; do
        index=$(index_of "$id")
        if [ -n "$index" ] && [ "$index" != "${interfaces_before[$id]}" ]; then ip link delete dev "$id" || true; fi
    done
    unbind_missing_taps
    unbind_missing_macvtaps
}

tap_up() {
    local flags=(vnet_hdr) id
    if [ -e "$lists/tap-flags" ]; then read -r -d '' -a flags < "$lists/tap-flags" || true; fi
    while read -r id; do make_tap "$id" "$user" '' "${flags[@]}"; done < "$lists/tap-interfaces"
}

# By the list of guests that our packages have, or by that of taps alone; without any, by what is on the bridges.
bind_taps() {
    local id guest
    if [ -e "$lists/tap-interfaces" ]; then
        while read -r id; do
            read -r -a guest < <(guest_of_tap "$id") || true
            bind_tap "${guest[@]}" || return
            name_guest "$name" "${guest[@]}" || return
        done < "$lists/tap-interfaces"
    else
        bind_unlisted_taps || return
    fi
    apply_network_settings
}

guest_of_tap() { # name
    local tap rest
    if [ -e "$lists/tap-guests" ]; then
        while read -r tap rest; do
            if [ "$tap" = "$1" ]; then
                echo "$tap $rest"
                return
            fi
        done < "$lists/tap-guests"
    fi
    echo "$1"
}

tap_down() {
    local id
    while read -r id; do remove_tap "$id" "$user"; done < "$lists/tap-interfaces"
}

# A tap without its binding would be open: it goes first.
take_taps_away() {
    if [ -x "$package/bin/tap-down" ]; then
        "$package/bin/tap-down"
    elif [ -e "$lists/tap-interfaces" ]; then
        tap_down
    fi
    unbind_missing_taps
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

# Those that join networks of this host, and no others.
bind_macvtaps() {
    local guest
    if [ ! -e "$lists/macvtap-guests" ]; then return; fi
    while read -r -a guest; do bind_macvtap "${guest[@]}" || return; done < "$lists/macvtap-guests"
}

pci_setup() {
    local address
    begin_devices "$device_list"
    modprobe vfio-pci
    while read -r address; do take_pci_device "$address" "$user" "$group"; done < "$lists/pci-devices"
    trap - EXIT
}

pci_teardown() {
    local address
    while read -r address; do give_pci_device_back "$address" "$device_list"; done < "$lists/pci-devices"
}

# The rules ask who owns the working directory when a device appears, which may have been before that was made.
devices_permit() {
    if ! grep --quiet --no-messages --fixed-strings -- "/$name/work\"" "$device_rules"; then return; fi
    timeout 60 udevadm trigger --settle --subsystem-match=usb --subsystem-match=vfio
}

# All kinds in one process: systemd runs no ExecStop= after a start that fails, nor after one that is stopped between
# two commands. What was given before goes back.
devices_give() {
    given_to_vm=$name
    trap take_given_devices EXIT
    (run_action pci-setup "$name")
    given=(pci-teardown)
    (run_action block-devices-give "$name")
    given=(block-devices-take pci-teardown)
    (run_action huge-pages-give "$name")
    trap - EXIT
}

given=()
take_given_devices() {
    local action
    for action in "${given[@]}"; do (run_action "$action" "$given_to_vm") || true; done
}

# The list says no user: it is the one whose working directory this is, which only root could give it.
block_devices_give() {
    local access path owner
    owner=$(stat -c %u -- "$work")
    begin_block_devices "$owner"
    while read -r access path; do
        give_block_device "$access" "$path" "$owner"
        given_block_devices+=("$path")
    done < "$lists/block-devices"
    trap - EXIT
}

# Those that come before one that cannot be given.
given_block_devices=()
begin_block_devices() { # user
    given_to=$1
    trap take_given_block_devices EXIT
}

take_given_block_devices() {
    local path
    for path in "${given_block_devices[@]}"; do take_block_device "$path" "$given_to" || true; done
}

block_devices_take() {
    local _access path owner
    owner=$(stat -c %u -- "$work")
    while read -r _access path; do take_block_device "$path" "$owner"; done < "$lists/block-devices"
}

# The list says that there is one, the name says which: only root makes directories among the huge pages, for the user
# whose working directory this is.
huge_pages_give() {
    local directory=$huge_pages_prefix$name mount=${huge_pages_prefix%/*}
    if [ "$(stat --file-system --format %T -- "$mount")" != hugetlbfs ]; then
        echo "there are no huge pages at $mount, where hugepage_mem takes them from: start dev-hugepages.mount" >&2
        return 1
    fi
    huge_pages_take
    mkdir --mode=0700 -- "$directory"
    if ! chown "$(stat -c %u:%g -- "$work")" -- "$directory"; then
        huge_pages_take
        return 1
    fi
}

huge_pages_take() {
    rm -rf --one-file-system -- "$huge_pages_prefix$name"
}

# Goes where a file is to be created or removed by root: no directory on the way is anybody else's.
enter_directory_of() { # path, absolute or relative to the directory of sockets; then options of enter_directory
    local path=$1
    if [[ "$path" != /* ]]; then path=$sockets/$path; fi
    enter_directory "$(dirname -- "$path")" strict "${@:2}" || return
    is_roots || refuse "$path: others than root can create files beside it; declare a socket elsewhere"
}

# Creates a missing source in the working directory: as the MicroVM's user, who can lead these steps nowhere else. Only
# the directories above one that others shall own are that user's.
make_source() { # list of a share
    local source as_user owner
    source=$(cat "$1/source")
    if [[ "$source" == /* ]] || [ -e "$work/$source" ]; then return; fi
    as_user=$source
    if [ -e "$1/created" ]; then as_user=$(dirname -- "$source"); fi
    owner=$(stat -c '--reuid=%u --regid=%g' -- "$work")
    # shellcheck disable=SC2086 # two words
    (umask 022 && cd -P -- "$work" && setpriv $owner --clear-groups mkdir -p -- "$as_user") || true
    if [ -e "$1/created" ]; then (make_given_source "$1" "$work/$as_user" "$(basename -- "$source")"); fi
}

# Creates a source that others shall own, as a whole or not at all: it has another name until it is theirs.
make_given_source() { # list of a share, directory of the source, its name in there
    local aside=$3.partial
    enter_directory "$2" create || return
    # A start that was killed leaves an empty directory.
    if [ -e "./$aside" ]; then rmdir -- "./$aside" || return; fi
    enter_directory "$2/$aside" create || return
    give_source "$1" || return
    enter_directory "$2" || return
    # It is not there, unless the MicroVM's user has just created it.
    mv --no-clobber --no-target-directory -- "./$aside" "./$3" || [ -e "./$3" ]
}

# The working directory is the source that was just created. Of another one that its user has put there, empty too, that
# user has no more than before.
give_source() { # list of a share
    local owner group mode
    if [ -n "$(ls -A .)" ]; then return; fi
    read -r owner group mode < "$1/created"
    chown -- "$owner:$group" . && chmod -- "$mode" .
}

# Goes to the source of a share. A missing one is created in the working directory, and for packages that only list it.
enter_source() { # list of a share, then options of enter_directory
    local source
    source=$(cat "$1/source")
    if [[ "$source" != /* ]]; then
        enter_directory "$work/$source" create "${@:2}"
    elif [ ! -x "$package/bin/virtiofsd-run" ]; then
        enter_directory "$source" create "${@:2}"
    else
        enter_directory "$source" "${@:2}"
    fi
}

# Outside of the sandbox, before systemd sets it up: the links that it mounts, and what they lead to. Until systemd
# follows such a link, others may have replaced a directory on the way, so begin_shares compares.
virtiofsd_prepare() {
    local share number=0 place=$shares_directory/$name
    forget_shares
    (umask 022 && mkdir -p -- "$sockets" "$place/sources" "$place/root/opened")
    for share in "$lists"/virtiofs/*; do
        if [ ! -e "$share/source" ]; then continue; fi
        (umask 022 && enter_directory_of "$(cat "$share/socket")" create)
        if [ ! -e "$share/number" ]; then
            mkdir -- "$place/sources/$number"
            number=$((number + 1))
            continue
        fi
        (
            make_source "$share"
            enter_source "$share"
            ln -s -- "$(readlink -n /proc/self/cwd)" "$place/sources/$(cat "$share/number")"
            stat --format '%d:%i' . > "$place/root/opened/$(cat "$share/number")"
        )
    done
}

# Those of begin_shares.
remove_mount_points() {
    local file source
    for file in "$lists"/virtiofs/*/source; do
        source=$(cat "$file" 2>/dev/null) || continue
        if [[ "$source" != /* ]]; then (cd "$sockets" && rmdir -p -- "$source") 2>/dev/null || true; fi
    done
}

forget_shares() {
    local place=$shares_directory/$name
    if [ ! -d "$place" ]; then return; fi
    rm -f -- "$place/root/opened"/*
    # Links and mount points: a directory with anything in it stays.
    find "$place" -xdev -depth \( -type l -o -empty \) -delete
}

# Before the daemons of a package begin, in the unit's own mounts. Ours have each source mounted. A package that only
# lists them is served from mounts that are created here. The script of any other package resolves paths again, so they
# have to be such that only root can change them; relative ones are mounted beside the sockets, where its daemons work.
begin_shares() {
    local share number=0 source place=$shares_directory/$name
    for share in "$lists"/virtiofs/*; do
        if [ ! -e "$share/source" ]; then continue; fi
        source=$(cat "$share/source")
        if [ -e "$share/number" ]; then
            is_opened "$(cat "$share/number")" || refuse "$source is not what it was when it was opened"
        elif [ ! -x "$package/bin/virtiofsd-run" ]; then
            mount_source "$share" "$place/sources/$number"
        elif [[ "$source" != /* ]]; then
            mkdir -p -- "$sockets/$source"
            mount_source "$share" "$sockets/$source"
        else
            (enter_source "$share" strict)
        fi
        number=$((number + 1))
    done
    # Daemons create files as root, and follow links: the directory is root's.
    cd "$sockets" || return
}

# What virtiofsd_prepare has opened and put into the root directory.
is_opened() { # number of a share
    local opened
    opened=$(cat "/opened/$1") || return
    [ -n "$opened" ] && [ "$(stat --format '%d:%i' "$shares_directory/$name/sources/$1")" = "$opened" ]
}

mount_source() { # list of a share, mount point
    (enter_source "$1" && mount --no-canonicalize --bind . "$2")
}

# Its daemons have the capabilities that serving files takes, and not those of the script.
virtiofsd_run() {
    local share number=0 address addresses=()
    for share in "$lists"/virtiofs/*; do addresses+=("$(cat "$share/socket")"); done
    listen "$group" "${addresses[@]}" -- "$0" virtiofsd-run "$name"
    end_together
    for share in "$lists"/virtiofs/*; do
        address=$(cat "$share/socket")
        serve "$address" setpriv --bounding-set=-sys_admin,-mknod,-setfcap \
            virtiofsd "--socket-path=$address" "--socket-group=$group" \
            "--shared-dir=$shares_directory/$name/sources/$number" \
            --sandbox=chroot --modcaps=-mknod:-setfcap --thread-pool-size "$(nproc)" --posix-acl --xattr &
        number=$((number + 1))
    done
    await_end "${addresses[@]}"
}

# Of which start of the MicroVM, by which start of its daemons.
record_loss() {
    local file=$lost_shares_directory/$name start
    start=$(systemctl show --property=InvocationID --value "microvm@$name.service")
    (umask 022 && mkdir -p -- "$lost_shares_directory")
    echo "$start ${INVOCATION_ID:-} $SERVICE_RESULT" > "$file.partial" && chmod 0644 -- "$file.partial" &&
        mv -fT -- "$file.partial" "$file"
}

# After the unit of the shares has ended, however: nothing of it stays, and a guest does not run on without its files.
virtiofsd_ended() {
    local file address
    for file in "$lists"/virtiofs/*/socket; do
        if [ ! -e "$file" ]; then continue; fi
        address=$(cat "$file")
        (enter_directory_of "$address" && rm -f -- "./${address##*/}" "./${address##*/}.pid") || true
    done
    remove_mount_points
    forget_shares
    if [ "${SERVICE_RESULT:-success}" = success ]; then return; fi
    # What comes next matters more than this note.
    record_loss || true
    echo "virtiofsd of MicroVM $name has ended ($SERVICE_RESULT); the MicroVM is stopped, since its shares are gone" >&2
    # The unit's main process applies on_crash.
    systemctl kill --kill-who=main --signal=USR1 "microvm@$name.service" 2>/dev/null || true
}

# The unit hides the host's bus below /run, also from what runs as root in it.
with_host_files() { # program of the package and its arguments
    local program
    program=$(realpath -- "$package")/bin/$1
    shift
    nsenter --mount=/proc/1/ns/mnt -- bash -c 'cd -- "$1" && shift && exec "$@"' bash "$PWD" "$program" "$@"
}

# The unit's main process is registered, since systemd itself says which one that is: the number of the hypervisor's own
# process would have to be read from a file of the MicroVM's user.
register() {
    if ! with_host_files microvm-register "${MAINPID:?}"; then
        echo "MicroVM $name could not be registered with systemd-machined, and runs without" >&2
    fi
}

# Before the unit's own user ends the hypervisor. Not when that has ended by itself. What root makes in the directory of
# that user is directories, which follow no link.
ask_guest_to_end() {
    local runtime=$console_directory/$name
    if [ -z "${MAINPID:-}" ]; then return; fi
    # microvm-start takes the end for what it is.
    mkdir -- "$runtime/stopping" 2> /dev/null || true
    if "$package/bin/microvm-ask-guest" < /dev/null; then mkdir -- "$runtime/asked" 2> /dev/null || true; fi
}

# systemd forgets how often it has started a service again when helper units are restarted with it (PartOf=). So the
# ends are counted that another start follows, until the service is stopped; it says by its status what follows.
count_restart() {
    local file=$restarts_directory/$name count=0
    case ${SERVICE_RESULT:-success}:${EXIT_STATUS:-} in
        *:134) return ;;
        success:133) ;;
        success:*)
            rm -f -- "$file" "$lost_shares_directory/$name"
            return
            ;;
    esac
    mkdir -p -- "$restarts_directory"
    if [ -s "$file" ]; then count=$(< "$file"); fi
    echo "$((count + 1))" > "$file.partial" && mv -fT -- "$file.partial" "$file"
}

run_action() { # action, MicroVM, its state directory where that is not the working directory
    local action=$1 name=$2 package lists
    case $action in
        tap-up | macvtap-up | devices-give | pci-setup | block-devices-give) package=$current ;;
        devices-permit | huge-pages-give) package=$current ;;
        virtiofsd-prepare | virtiofsd-run | microvm-register) package=$current ;;
        *) package=$booted ;;
    esac
    # A start that failed early leaves no link to what runs.
    if [ ! -e "$package" ]; then package=$current; fi
    lists=$package/share/microvm
    case $action in
        virtiofsd-prepare | virtiofsd-ended) "${action//-/_}" ;;
        microvm-register) if [ -x "$package/bin/$action" ]; then register; fi ;;
        microvm-unregister)
            # The number is for information, and its errors would hide why the hypervisor has ended.
            count_restart 2> /dev/null || true
            if [ -x "$package/bin/$action" ]; then with_host_files "$action" || true; fi
            ;;
        microvm-ask-guest) if [ -x "$package/bin/$action" ]; then ask_guest_to_end; fi ;;
        huge-pages-give | huge-pages-take)
            if [ -e "$lists/huge-pages" ]; then "${action//-/_}"; fi
            ;;
        block-devices-give | block-devices-take)
            if [ -e "$lists/block-devices" ]; then "${action//-/_}"; fi
            ;;
        pci-setup | pci-teardown)
            if [ -x "$package/bin/$action" ]; then exec "$package/bin/$action"; fi
            if [ -e "$lists/pci-devices" ]; then "${action//-/_}"; fi
            ;;
        devices-give | devices-permit) "${action//-/_}" ;;
        tap-up)
            begin_interfaces "$lists/tap-interfaces"
            if [ -x "$package/bin/tap-up" ]; then "$package/bin/tap-up"; else tap_up; fi
            trap - EXIT
            if ! bind_taps; then
                # systemd runs no ExecStop= after this.
                take_taps_away
                return 1
            fi
            ;;
        tap-down) take_taps_away ;;
        macvtap-up)
            begin_interfaces "$lists/macvtap-interfaces"
            begin_interfaces "$lists/macvtap-guests"
            if [ -x "$package/bin/macvtap-up" ]; then "$package/bin/macvtap-up"; else macvtap_up; fi
            bind_macvtaps
            trap - EXIT
            ;;
        macvtap-down)
            if [ -x "$package/bin/macvtap-down" ]; then "$package/bin/macvtap-down"; else macvtap_down; fi
            unbind_missing_macvtaps
            ;;
        virtiofsd-run)
            # Once: the same process begins again when its sockets listen, see listen.
            if [ "${LISTEN_PID:-}" != $$ ]; then begin_shares; fi
            if [ -x "$package/bin/$action" ]; then exec "$package/bin/$action"; fi
            "${action//-/_}"
            ;;
        *)
            echo "microvm-package: there is no action $action" >&2
            exit 2
            ;;
    esac
}
