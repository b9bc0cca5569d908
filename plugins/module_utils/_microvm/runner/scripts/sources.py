# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the shell scripts of this directory.

"""Shell functions of packages' scripts, as strings; the scripts beside this file are the source."""

from __future__ import annotations

ASK_GUEST = r"""
# Seconds for the answer, unless the stop itself has fewer: a busy guest has to start a service and a few programs.
ANSWER_TIME=30

# An address of vsock(7) as socat takes one of any family: bytes, little-endian. Its VSOCK-CONNECT would do, but crashes
# with an own port in version 1.8.0, which Debian 13 has.
vsock_address() { # context, port
    local number bytes=x0000
    for number in "$2" "$1"; do
        bytes+=$(printf %02x $((number & 255)) $((number >> 8 & 255)) $((number >> 16 & 255)) $((number >> 24 & 255)))
    done
    echo "${bytes}00000000"
}

# The guest answers only root, whom it knows by the privileged port. What reads the guest's answer may take such a port,
# and is nobody otherwise. Prints what the answer means, or why there is none.
send_word() { # context, port, word, answer of a guest that obeys, seconds
    local any=4294967295 capability=-all,+net_bind_service guest own
    guest=$(vsock_address "$1" "$2") own=$(vsock_address "$any" $((512 + RANDOM % 512)))
    printf '%s\n' "$3" | timeout --kill-after=1 "$(($5 + 5))" setpriv --reuid=65534 --regid=65534 --clear-groups \
        --no-new-privs --inh-caps="$capability" --ambient-caps="$capability" --bounding-set="$capability" \
        socat -t "$5" - "SOCKET-CONNECT:40:0:$guest,bind=$own,connect-timeout=3,shut-none" |
        meaning_of_answer "$3" "$4"
}

# Nothing that a guest says is repeated.
meaning_of_answer() { # word, answer of a guest that obeys
    local line=''
    if ! IFS= read -r -n 128 line && [ -z "$line" ]; then return; fi
    case $line in
        "$2") echo "$2" ;;
        failed) echo "it failed to $1" ;;
        "only the host's root is answered") echo "it does not take this for a word of its host's root" ;;
        *) echo "it does not know the word $1" ;;
    esac
}

ask_guest() { # MicroVM, context, port, word, answer of a guest that obeys
    local limit=${STOP_TIMEOUT:-$ANSWER_TIME} occupied=0 begin end left answer status
    end=$((SECONDS + (limit < ANSWER_TIME ? limit : ANSWER_TIME)))
    while true; do
        status=0 begin=$SECONDS left=$((SECONDS < end ? end - SECONDS : 1))
        answer=$(send_word "$2" "$3" "$4" "$5" "$left" 2>&1) || status=$?
        case $answer in
            # socat may have warned as well.
            "$5" | "$5"$'\n'* | *$'\n'"$5")
                echo "MicroVM $1: the guest was asked over its vsock, and is $5"
                return 0
                ;;
            # Another MicroVM's guest is being asked from this port.
            *"Address already in use"*)
                occupied=$((occupied + 1))
                if [ "$occupied" -lt 5 ]; then continue; fi
                ;;
            # Closed at once: others have taken all connections that the guest answers at a time.
            '' | *"] E read("* | *"] E write("*)
                if [ "$status" -le 1 ] && [ $((SECONDS - begin)) -le 1 ]; then
                    if [ "$SECONDS" -lt "$end" ] && sleep 0.2; then continue; fi
                    answer="it closes the connection"
                # It has the word.
                elif [[ $status =~ ^(0|1|124|137)$ ]]; then
                    echo "MicroVM $1: the guest was asked over its vsock, and has not answered yet"
                    return 0
                fi
                ;;
        esac
        answer=$(tail -n 1 <<< "$answer" | tr -cd '[:print:]')
        answer=${answer##*: }
        echo "MicroVM $1: the guest cannot be asked over its vsock (${answer:-status $status})"
        return 1
    done
}
"""

BALLOON = r"""
check_usage() { # pattern of the one argument, usage, the script's arguments
    local pattern="^$1\$" usage=$2
    shift 2
    if [ "$#" -ne 1 ] || [[ ! "$1" =~ $pattern ]]; then
        echo "usage: microvm-balloon $usage" >&2
        exit 2
    fi
}

read_size() { # the guest's MiB, those that the balloon takes
    balloon_mebibytes=$((10#$2))
    if [ "$balloon_mebibytes" -ge "$1" ]; then
        echo "the guest has $1 MiB; the balloon must leave some of them" >&2
        exit 2
    fi
}

set_balloon() { # the guest's MiB, those that the balloon takes; calls request
    read_size "$@"
    # shellcheck disable=SC2034 # for the request; not every hypervisor takes this unit
    balloon_bytes=$((balloon_mebibytes * 1024 * 1024))
    # shellcheck disable=SC2034
    guest_bytes=$((($1 - balloon_mebibytes) * 1024 * 1024))
    request
}

# For a hypervisor that takes only differences, and cannot be asked for what they have come to. It ignores one that
# would take more from the balloon than is in it. So differences that are halved from the guest's size leave nothing in
# it, whatever was there before: as in a binary number, each is taken once at most.
set_balloon_by_differences() { # the guest's MiB, those that the balloon takes; calls request and shrink
    local lock
    read_size "$@"
    # Two at once would add up.
    exec {lock}< .
    flock "$lock"
    difference=1
    while [ "$((difference * 2))" -le "$1" ]; do difference=$((difference * 2)); done
    while [ "$difference" -gt 0 ]; do
        shrink
        difference=$((difference / 2))
    done
    difference=$balloon_mebibytes
    if [ "$difference" -gt 0 ]; then request; fi
}
"""

BIND_MACVTAP = r"""
# Set before: the directory of the taps' rules.
: "${tap_rules:?}"

# From a macvtap on one of our networks only frames of its guest pass. Each has a table netdev of its own, which sees
# frames before the kernel gives them to a neighbour on the same link or to the link, and a file of it, by which it is
# loaded again. These functions are called where errors do not end the script.
bind_macvtap() { # name, network, MAC address, then addresses of the guest, and "dhcp" if it gets or chooses others
    local tap=$1 file=$tap_rules/$1.netdev
    mkdir -p -- "$tap_rules" || return
    {
        flock 9 || return
        macvtap_rules "$@" > "$file.partial" && mv -fT -- "$file.partial" "$file" || return
        if nft -f "$file"; then return; fi
        rm -f -- "$file"
    } 9< "$tap_rules"
    echo "$tap is not put on $2, since nft refuses its rules: what it says is above. Linux 5.16 or later is required;" \
        "without it, declare macvtap.link and macvtap.mode of the interface instead of the network" >&2
    return 1
}

# Of all MicroVMs: some end without taking their macvtaps away in order.
unbind_missing_macvtaps() {
    local file tap
    if [ ! -d "$tap_rules" ]; then return; fi
    {
        flock 9 || return
        for file in "$tap_rules"/*.netdev; do
            tap=${file##*/} tap=${tap%.netdev}
            if [ ! -e "$file" ] || [ -e "/sys/class/net/$tap" ]; then continue; fi
            # Before its table, which is loaded again as long as there is a file.
            rm -f -- "$file"
            nft delete table netdev "microvm_$tap" 2> /dev/null || true
        done
    } 9< "$tap_rules"
}

# The first line tells runs of networks which one the macvtap is on. IPv6 addresses that a guest makes of its MAC
# address have the prefixes that routers announce.
macvtap_rules() { # what bind_macvtap takes
    local tap=$1 network=$2 mac=$3 own address number any='' ipv4='' ipv6='' targets='' table
    own=$(eui64 "$mac")
    for address in "${@:4}"; do
        case $address in
            dhcp) any=yes ;;
            *:*) number=$(ipv6_number "$address") && ipv6+="${ipv6:+, }$address" targets+="${targets:+, }$number" ;;
            *) ipv4+="${ipv4:+, }$address" ;;
        esac
    done
    table="netdev microvm_$tap"
    printf '# network %s\n' "$network"
    # One transaction, whatever is there.
    printf 'table %s\ndelete table %s\ntable %s {\n' "$table" "$table" "$table"
    cat << END
    chain guest {
        type filter hook egress device "$tap" priority filter; policy drop;
        ether saddr != $mac counter drop
        ether type arp goto guest_arp
        ether type ip meta l4proto != 0 goto guest_ip
        ether type ip6 goto guest_ip6
        counter drop
    }
    chain guest_arp {
        arp htype != 1 counter drop
        arp ptype != 0x0800 counter drop
        arp hlen != 6 counter drop
        arp plen != 4 counter drop
        arp operation != { request, reply } counter drop
        arp saddr ether != $mac counter drop
        $(permitted "$any" 'arp saddr ip' "$ipv4")
        $(permitted '' 'arp operation request arp saddr ip 0.0.0.0 arp daddr ip' "$ipv4")
        counter drop
    }
    chain guest_ip {
        meta l4proto igmp @th,0,8 != { 0x12, 0x16, 0x17, 0x22 } counter drop
        meta l4proto 103 counter drop
        icmp type redirect counter drop
        ip option lsrr exists counter drop
        ip option ssrr exists counter drop
        udp sport 67 counter drop
        udp dport 68 counter drop
        ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
        $(permitted "$any" 'ip saddr' "$ipv4")
        counter drop
    }
    chain guest_ip6 {
        exthdr frag exists frag nexthdr != { tcp, udp, esp, sctp } counter drop
        udp sport 547 counter drop
        udp dport 546 counter drop
        icmpv6 type { nd-router-advert, nd-redirect, mld-listener-query, 151 } counter drop
        meta l4proto 103 counter drop
        $(permitted "$any" 'ip6 saddr' '')
        icmpv6 type nd-neighbor-advert goto guest_advertisement
        ip6 saddr :: goto guest_without_address
        goto guest_source6
    }
    chain guest_advertisement {
        @th,64,128 & 0xffffffffffffffff == $(ipv6_number "::$own") goto guest_source6
        $(permitted '' '@th,64,128' "$targets" 'goto guest_source6')
        counter drop
    }
    chain guest_without_address {
        icmpv6 type nd-neighbor-solicit @th,64,128 & 0xffffffffffffffff == $(ipv6_number "::$own") accept
        $(permitted '' 'icmpv6 type nd-neighbor-solicit @th,64,128' "$targets")
        icmpv6 type { nd-router-solicit, mld-listener-report, mld2-listener-report } accept
        counter drop
    }
    chain guest_source6 {
        meta l4proto 0 counter drop
        ip6 saddr & ::ffff:ffff:ffff:ffff == ::$own accept
        $(permitted '' 'ip6 saddr' "$ipv6")
        counter drop
    }
}
END
}

permitted() { # whether everything is, expression, its values, verdict
    if [ -n "$1" ]; then
        echo accept
    elif [ -n "$3" ]; then
        echo "$2 { $3 } ${4:-accept}"
    fi
}
"""

BIND_PCI_DEVICE = """
# Set by tests alone.
sysfs=${sysfs:-/sys}

driver_of() { # address; nothing for a device without a driver
    local link
    link=$(readlink "$sysfs/bus/pci/devices/$1/driver") || return 0
    echo "${link##*/}"
}

# Another card moves the addresses of others, and the host may need what is at this one now.
is_recorded() { # address; numbers of vendor and kind, as far as they are known
    local device=$sysfs/bus/pci/devices/$1 present
    if [ -z "${2:-}" ] || [ ! -e "$device" ]; then return; fi
    present=$(cat "$device/vendor"):$(cat "$device/device")
    if [ "${present//0x/}" = "$2" ]; then return; fi
    echo "$1 is the device ${present//0x/}, and $2 was handed over; it is left to the host" >&2
    return 1
}

# While a module is being loaded, its driver takes devices before the kernel offers to have them back.
await_unbind() { # path of a device
    local _try
    for _try in {1..50}; do
        if [ ! -e "$1/driver" ] || [ -e "$1/driver/unbind" ]; then return; fi
        sleep 0.2
    done
}

bind_pci_device() { # address
    local device=$sysfs/bus/pci/devices/$1 _try
    if [ ! -e "$device" ]; then
        echo "there is no PCI device $1 on this host" >&2
        return 1
    fi
    if [ ! -e "$device/iommu_group" ]; then
        echo "$1 is in no IOMMU group; switch the IOMMU on in the firmware and on the kernel's command line" >&2
        return 1
    fi
    # A driver whose module is being loaded may have chosen the device before it was told apart, and take it now.
    for _try in 1 2 3; do
        if [ "$(driver_of "$1")" = vfio-pci ]; then return; fi
        echo vfio-pci > "$device/driver_override"
        await_unbind "$device"
        if [ -e "$device/driver" ]; then echo "$1" > "$device/driver/unbind"; fi
        echo "$1" > "$sysfs/bus/pci/drivers_probe"
    done
    if [ "$(driver_of "$1")" != vfio-pci ]; then
        echo "vfio-pci has not taken $1; see the kernel's messages" >&2
        return 1
    fi
}

# The kernel's choice is another one where several drivers know a device.
unbind_pci_device() { # address, driver that gets it; none or - for the kernel's choice
    local device=$sysfs/bus/pci/devices/$1 driver=${2:--}
    if [ ! -e "$device" ]; then return; fi
    if [ "$(driver_of "$1")" = vfio-pci ]; then echo "$1" > "$device/driver/unbind"; fi
    # Without an override, the kernel's own driver takes it.
    echo > "$device/driver_override"
    if [ "$driver" != - ] && [ "$(driver_of "$1")" != "$driver" ]; then
        modprobe -- "$driver" 2> /dev/null || true
        if [ -e "$sysfs/bus/pci/drivers/$driver/bind" ] && [ ! -e "$device/driver" ]; then
            echo "$1" > "$sysfs/bus/pci/drivers/$driver/bind" || true
        fi
    fi
    if [ ! -e "$device/driver" ]; then echo "$1" > "$sysfs/bus/pci/drivers_probe"; fi
}
"""

BIND_TAPS = r"""
# Set before: the list of our networks with their leases, the unit that loads their rules, the directory of the taps'
# rules, and the file with the parameters of the kernel for our networks.
: "${network_list:?}" "${network_unit:?}" "${tap_rules:?}" "${network_settings:?}"

# From a tap on one of our networks only frames of its guest pass: by elements of the table bridge microvm_fleet, and,
# where the MAC address is known, by flags of the port that hold without any rules. Each tap has a file of its elements,
# which is loaded with the rules of the networks. Who changes files or elements holds a lock of their directory, and so
# does who loads the rules: otherwise a load would replace elements that are added after it has read the files.
# These functions are called where errors do not end the script.
bind_tap() { # name, MAC address or nothing, then IP addresses of the guest, and "dhcp" if it gets or chooses others
    if [ ! -e "$network_list" ]; then return; fi
    await_bridge "$1"
    bind_port replace "$@"
}

# Taps of packages that do not list them, and others that are bound to nothing. Those that are about to be bound to
# their guests are so after this; those that are stay so.
bind_unlisted_taps() {
    local kind bridge rest port
    if [ ! -e "$network_list" ]; then return; fi
    while read -r kind bridge rest; do
        if [ "$kind" != network ]; then continue; fi
        for port in "/sys/class/net/$bridge/brif"/*; do
            if [ -e "$port/../tun_flags" ]; then bind_port keep "$(basename -- "$port")" || return; fi
        done
    done < "$network_list"
}

# systemd-networkd may put a tap on its bridge a moment after it was created. Some taps are never on one: all of a
# MicroVM together are waited for at most two seconds.
bridge_waits=20
await_bridge() { # tap
    while [ "$bridge_waits" -gt 0 ] && [ -e "/sys/class/net/$1" ] && [ ! -e "/sys/class/net/$1/master" ]; do
        sleep 0.1
        bridge_waits=$((bridge_waits - 1))
    done
}

bind_port() { # "replace", or "keep" a binding that it has; then what bind_tap takes
    local how=$1 tap=$2 mac=${3:-} bridge kind network value rest
    local subnet='' isolation='' leased='' prefix='' lan='' routed=()
    bridge=$(basename -- "$(readlink -- "/sys/class/net/$tap/master")")
    while read -r kind network value rest; do
        case $kind:$network in
            "network:$bridge") subnet=$value isolation=$rest ;;
            "prefix:$bridge") prefix=$value ;;
            "lan:$bridge") lan=yes ;;
            "routed:$bridge") routed=("$value" "$rest") ;;
            "lease:$bridge") if [ "${value,,}" = "${mac,,}" ]; then leased=$rest; fi ;;
        esac
    done < "$network_list"
    # A bridge of others is theirs.
    if [ -z "$subnet" ] && [ "${#routed[@]}" = 0 ]; then return; fi
    if [[ ! "$tap$mac" =~ ^[A-Za-z0-9_.:-]+$ ]]; then
        echo "$tap cannot be bound to its guest: its name or the MAC address has unexpected characters" >&2
        return 1
    fi
    mkdir -p -- "$tap_rules" || return
    if [ "${#routed[@]}" -gt 0 ]; then
        route_tap "$tap" "$bridge" "${routed[@]}" "$mac" "${@:4}"
        return
    fi
    # Rules do not see frames of LLDP, by which a guest would take the MAC address of a neighbour.
    ip link set dev "$bridge" type bridge no_linklocal_learn 1 || return
    {
        flock 9 || return
        if [ "$how" = keep ] && [ -e "$tap_rules/$tap.nft" ]; then return; fi
        delete_elements "$tap" || return
        add_elements "$tap" "$bridge" "$mac" "$subnet" "$leased" "${@:4}" || return
        if [ -n "$prefix" ] && [ -n "$mac" ]; then
            add_ipv6_elements "$tap" "$bridge" "$mac" "$prefix" "${@:4}" || return
        fi
        if [ -n "$lan" ]; then add_lan_elements "$tap" "$bridge" "$mac" "${@:4}" || return; fi
    } 9< "$tap_rules"
    # Module microvm_tap may keep its taps from their neighbours where the network does not.
    if [ "$how" = replace ] || [ "$isolation" = on ]; then
        bridge link set dev "$tap" isolated "$isolation" || return
    fi
    if [ -n "$mac" ]; then pin_mac "$tap" "$mac" || return; fi
    # The host has no address on it.
    if [ -w "/proc/sys/net/ipv6/conf/$tap/disable_ipv6" ]; then
        echo 1 > "/proc/sys/net/ipv6/conf/$tap/disable_ipv6" || return
    fi
}

# Kernels before 5.18 cannot lock a port. Frames for a neighbour that the bridge does not know go to no guest.
pin_mac() { # tap, MAC address
    bridge link set dev "$1" learning off flood off || return
    bridge fdb replace "$2" dev "$1" master static || return
    bridge link set dev "$1" locked on 2> /dev/null || true
}

add_elements() { # tap, bridge, then what tap_elements takes after the tap
    tap_elements "$1" "${@:3}" | load_elements "$1" "$2"
}

load_elements() { # tap, network; elements from the standard input
    local tap=$1 bridge=$2 file=$tap_rules/$1.nft
    cat > "$file.partial" || return
    mv -fT -- "$file.partial" "$file" || return
    if nft -f "$file"; then return; fi
    rm -f -- "$file"
    if nft list set bridge microvm_fleet taps > /dev/null 2>&1; then
        echo "$tap is not put on $bridge, since nft refuses its rules: what it says is above." \
            "systemctl reload $network_unit loads the rules without those of taps that are gone" >&2
    else
        echo "$tap is not put on $bridge, since the rules of the networks are not loaded:" \
            "see systemctl status $network_unit" >&2
    fi
    return 1
}

# Nothing declared means that the guest may have any address that is nobody else's.
tap_elements() { # tap, MAC address or nothing, subnet, address of its lease or nothing, then addresses and "dhcp"
    local tap=$1 mac=$2 subnet=$3 leased=$4 address elements='add element bridge microvm_fleet'
    shift 4
    echo "$elements taps { \"$tap\" }"
    if [ -n "$mac" ]; then
        echo "$elements macs { \"$tap\" . $mac }"
        echo "$elements bound_macs { $mac }"
    else
        echo "$elements anonymous { \"$tap\" }"
    fi
    for address in "${@:-dhcp}"; do
        if [ "$address" = dhcp ]; then address=$leased; fi
        case $address in
            '') echo "$elements subnets { \"$tap\" . $subnet }" ;;
            *:*) ;;
            *[!0-9.]*) ;;
            *)
                echo "$elements addresses { \"$tap\" . $address }"
                echo "$elements bound { $address }"
                ;;
        esac
    done
}

add_ipv6_elements() { # tap, bridge, then what ipv6_elements takes after the tap
    ipv6_elements "$1" "${@:3}" | load_further_elements "$1" "$2"
}

# In a file by network and tap: no name of an interface has a colon.
load_further_elements() { # tap, bridge; elements from the standard input
    local tap=$1 file=$tap_rules/$2:$1.nft6
    cat > "$file.partial" || return
    mv -fT -- "$file.partial" "$file" || return
    if nft -f "$file"; then return; fi
    delete_elements "$tap"
    echo "$tap is not put on $2, since nft refuses its further rules: what it says is above." \
        "systemctl reload $network_unit loads those of the network" >&2
    return 1
}

# On a bridge onto an interface of the host, guests are told from the LAN by what these say.
add_lan_elements() { # tap, bridge, MAC address or nothing, then addresses and other words
    lan_elements "$@" | load_further_elements "$1" "$2"
}

# The prefixes of the LAN are not known: an address that a guest makes of its MAC address is bound by its second half.
lan_elements() { # tap, bridge, MAC address or nothing, then addresses and other words
    local tap=$1 own address number elements='add element bridge microvm_fleet'
    echo "$elements lan_taps { \"$tap\" }"
    if [ -z "$3" ]; then return; fi
    own=$(eui64 "$3")
    echo "add element inet microvm_fleet lan_guests { \"$2\" . $3 }"
    echo "$elements lan_taps6 { \"$tap\" }"
    echo "$elements lan_identifiers { \"$tap\" . 0x${own//:/} }"
    for address in "${@:4}"; do
        number=$(ipv6_number "$address") || continue
        echo "$elements lan_addresses { \"$tap\" . $address }"
        echo "$elements lan_targets { \"$tap\" . $number }"
    done
}

# Declared addresses, and those that a guest makes of its MAC address, which are nobody else's: a guest gets its prefix
# by router advertisements, however its addresses of IPv4 are given. Messages of neighbours have them as numbers.
ipv6_elements() { # tap, MAC address, prefix as four groups, then addresses and other words
    local tap=$1 own address number elements='add element bridge microvm_fleet'
    own=$(eui64 "$2")
    echo "$elements taps6 { \"$tap\" }"
    for address in "fe80:0:0:0:$own" "$3:$own" "${@:4}"; do
        number=$(ipv6_number "$address") || continue
        echo "$elements addresses6 { \"$tap\" . $address }"
        echo "$elements targets6 { \"$tap\" . $number }"
    done
}

# The second half of an address that is made of a MAC address (RFC 4291, appendix A).
eui64() { # MAC address
    local octets
    IFS=: read -r -a octets <<< "${1,,}"
    printf '%02x%s:%sff:fe%s:%s%s\n' "$((0x${octets[0]} ^ 2))" "${octets[@]:1}"
}

# Prints an address of IPv6 as a number; fails for everything else.
ipv6_number() { # address
    local left=${1%%::*} right='' group number=0x
    local -a first last=()
    if [[ ! "$1" =~ ^[0-9a-fA-F:]*:[0-9a-fA-F:]*$ ]]; then return 1; fi
    if [[ "$1" == *::* ]]; then right=${1#*::}; fi
    IFS=: read -r -a first <<< "$left"
    IFS=: read -r -a last <<< "$right"
    while [ $((${#first[@]} + ${#last[@]})) -lt 8 ]; do first+=(0); done
    for group in "${first[@]}" "${last[@]}"; do number+=$(printf %04x "0x$group"); done
    echo "$number"
}

# Of all MicroVMs: some end without taking their taps away in order. A tap that exists is not without its binding.
unbind_missing_taps() {
    local file tap
    if [ ! -d "$tap_rules" ]; then return; fi
    {
        flock 9 || return
        for file in "$tap_rules"/*.nft; do
            tap=${file##*/} tap=${tap%.nft}
            if [ ! -e "/sys/class/net/$tap" ]; then delete_elements "$tap"; fi
        done
    } 9< "$tap_rules"
}

# Somebody may have deleted some elements, or all rules. An address that two taps have stays bound.
delete_elements() { # tap
    local file=$tap_rules/$1.nft line other others=(/dev/null)
    rm -f -- "$tap_rules"/names/*/"$1"
    if [ ! -e "$file" ]; then return; fi
    for other in "$tap_rules"/*.nft; do
        if [ "$other" != "$file" ]; then others+=("$other"); fi
    done
    for file in "$tap_rules/$1.nft" "$tap_rules"/*":$1.nft6"; do
        if [ ! -e "$file" ]; then continue; fi
        while read -r line; do
            if ! grep -qxF -e "$line" -- "${others[@]}"; then nft "delete ${line#add }" 2> /dev/null || true; fi
        done < "$file"
        rm -f -- "$file"
    done
}

# Where no udev has applied them to a new bridge.
apply_network_settings() {
    local path equals value
    if [ ! -e "$network_settings" ]; then return; fi
    while read -r path equals value; do
        if [ "$equals" = = ] && [ -w "/proc/sys/$path" ]; then echo "$value" > "/proc/sys/$path" || return; fi
    done < "$network_settings"
}
"""

BLOCK_DEVICES = r"""
# Prints the device that a path of a declaration leads to, once it is there: below /dev, where only root makes links.
block_device() { # path
    local path=$1 device tenths=0
    while [ ! -e "$path" ] && [ "$tenths" -lt 300 ]; do
        # Volume managers and udev may be late, at the host's boot above all.
        sleep 0.1
        tenths=$((tenths + 1))
    done
    device=$(readlink -e -- "$path") || device=
    case $device in
        /dev/shm/* | /dev/mqueue/* | /dev/hugepages/*) device= ;;
        /dev/*) ;;
        *) device= ;;
    esac
    if ! [ -b "$device" ]; then
        echo "$path is no block device of this host" >&2
        return 1
    fi
    echo "$device"
}

# Prints nothing for what is no block device.
device_numbers() { # device, by any of its paths
    local numbers
    if ! [ -b "$1" ]; then return; fi
    numbers=$(stat --dereference --format '%t %T' -- "$1")
    echo "$((16#${numbers% *})):$((16#${numbers#* }))"
}

sysfs=/sys
procfs=/proc

# Prints the numbers of a device and of all that is made of it: partitions, and what volume managers, arrays and
# encryption make of these, to the last.
devices_upon() { # directory of a device in sysfs
    local file
    cat "$1/dev" 2> /dev/null || true
    for file in "$1"/*/partition "$1"/holders/*/dev; do
        if [ -e "$file" ]; then devices_upon "${file%/*}"; fi
    done
}

# Prints the numbers of each device that the host uses, and how, as its first process sees it.
used_devices() {
    local numbers use rest path
    while read -r _ _ numbers _ use rest; do
        use="mounted on the host, at $use"
        echo "$numbers $use"
        # btrfs and others have a number that is no device's; after the dash are their type and one of their devices.
        rest=${rest#* - * }
        if [[ "$numbers" = 0:* && "$rest" = /dev/* ]]; then echo "$(device_numbers "${rest%% *}") $use"; fi
    done < "$procfs/1/mountinfo"
    for path in "$sysfs"/fs/btrfs/*/devices/*/dev; do
        if [ -e "$path" ]; then echo "$(cat "$path") mounted on the host, as part of a btrfs"; fi
    done
    # Kernels without swap have no such file.
    if ! [ -e "$procfs/swaps" ]; then return; fi
    while read -r path rest; do echo "$(device_numbers "$path") used as swap space on the host"; done < "$procfs/swaps"
}

# Two systems that write to one file system destroy it: neither the device, nor a part of it, nor what is made of it.
refuse_if_used() { # device, path as it was declared
    local numbers uses use upon
    numbers=$(device_numbers "$1")
    upon=" $numbers $(devices_upon "$sysfs/dev/block/$numbers" | tr '\n' ' ')"
    uses=$(used_devices)
    while IFS=' ' read -r numbers use; do
        if [[ -n "$use" && "$upon" = *" $numbers "* ]]; then
            echo "$2, or a part of it, is $use; end that, or declare another device" >&2
            return 1
        fi
    done <<< "$uses"
}

# An entry of the access list, not the owner: udev gives a device its owner and mode again at any event.
give_block_device() { # access, path, user
    local device
    device=$(block_device "$2")
    if [ "$1" != r ]; then refuse_if_used "$device" "$2"; fi
    setfacl --modify "user:$3:$1" -- "$device"
}

take_block_device() { # path, user
    local device
    device=$(readlink -e -- "$1") || return 0
    if [ -b "$device" ]; then setfacl --remove "user:$2" -- "$device" || true; fi
}
"""

CREDENTIAL_FILE = """
credential_file() { # name, path; prints the path of systemd's copy where the unit has one
    local copy=${CREDENTIALS_DIRECTORY:-}/$1
    if [ -n "${CREDENTIALS_DIRECTORY:-}" ] && [ -e "$copy" ]; then echo "$copy"; else echo "$2"; fi
}
"""

END_GUEST = """
# Of a hypervisor without a power button. The script defines ask, over the guest's vsock. GUEST_ASKED says yes or no
# where root has tried that before, since nobody else can.
end_guest() { # file that record_process has written, seconds
    local end=$((SECONDS + $2))
    case ${GUEST_ASKED:-} in
        yes) ;;
        no) return 1 ;;
        *) ask || return 1 ;;
    esac
    while is_running "$1"; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "the guest has not ended within $2 seconds" >&2
            return 1
        fi
        sleep 0.2
    done
}
"""

ENTER_DIRECTORY = r"""
# Root opens directories that lie below somebody else's. Whoever may change a directory on the way can replace the next
# component at any moment, so nothing is resolved twice: the working directory moves component by component, the kernel
# says where it has arrived, and what follows works on the working directory itself.

refuse() { # message
    echo "$1" >&2
    return 1
}

# Whether only root can change the entries of the working directory. The bits of the group include access control lists.
is_roots() {
    local owner mode
    read -r owner mode < <(stat --format '%u %a' .)
    [ "$owner" = 0 ] && [ $((8#$mode & 8#022)) -eq 0 ]
}

# Whether only root can replace an entry of the working directory: with the sticky bit, others can replace only theirs.
is_fixed() { # entry
    local owners
    if is_roots; then return; fi
    owners=$(stat --format %u . "./$1" 2>/dev/null) && [ "$owners" = $'0\n0' ] && [ -k . ]
}

# bash's own `pwd -P` resolves the path again and is not the kernel's answer.
is_at() { # path
    [ "$(readlink -n /proc/self/cwd)" = "${1:-/}" ]
}

# A link is followed in the root directory alone, as in `/data`, since whoever creates one may lead root anywhere: root
# of a guest is root in the directories that the guest shares, so no owner says who has created a link. `strict` expects
# that only root can change any directory on the way: then the path can be resolved again, by programs that do so.
enter_directory() { # absolute path, then any of: create, strict
    local rest=$1 options=" ${*:2} " part is_link way='' links=0
    cd -P / || return
    while [[ "$rest" =~ ^/*([^/]+)(.*)$ ]]; do
        part=${BASH_REMATCH[1]} rest=${BASH_REMATCH[2]}
        # Asked once: between two questions, a directory may have become a link.
        if [ -L "./$part" ]; then is_link=yes; else is_link=''; fi
        if [ -n "$is_link" ] && [ -n "$way" ]; then
            refuse "$1: $way/$part is a link, which others than root may have made; declare what it leads to" || return
        fi
        if [[ "$options" == *' strict '* ]] && ! is_fixed "$part"; then
            refuse "$1: others than root can replace '$part' in ${way:-/}" || return
        fi
        if [ -n "$is_link" ]; then
            links=$((links + 1))
            if [ "$links" -gt 40 ]; then refuse "$1: too many links" || return; fi
            rest=$(readlink -n -- "./$part")$rest
            if [[ "$rest" == /* ]]; then cd -P / && way='' || return; fi
            continue
        fi
        case $part in .) ;; ..) way=${way%/*} ;; *) way=$way/$part ;; esac
        if [[ "$options" == *' create '* ]] && [ ! -e "./$part" ]; then mkdir -- "./$part" || return; fi
        cd -P -- "./$part" || return
        is_at "$way" || refuse "$1: '$part' was replaced while it was opened" || return
    done
}
"""

EVENTS = r"""
# A process beside the hypervisor writes down why it ends, which its exit status does not tell. Both ends of the FIFOs
# stay open in the hypervisor, so that what reads ends with it, not before and not later.
record_reason_of_end() { # FIFO to the hypervisor, FIFO from it, file
    local commands events reader
    rm -f -- "$@"
    mkfifo -m 0600 "$1" "$2"
    # shellcheck disable=SC2094 # one end for the hypervisor, one for what reads
    exec {commands}<> "$1" {events}<> "$2" {reader}< "$2"
    echo '{"execute":"qmp_capabilities"}' >&"$commands"
    sed -un 's/.*"SHUTDOWN".*"reason": "\([a-z-]*\)".*/\1/p' <&"$reader" > "$3" {commands}>&- {events}>&- &
    exec {reader}<&-
}
"""

EXTRA_ARGUMENTS = """
# The words that the declared program prints; none of them is expanded.
# shellcheck disable=SC2034 # for the hypervisor's command line
read_extra_arguments() { # program
    local printed
    printed=$("$1")
    read -r -d '' -a extra_arguments <<< "$printed" || true
}
"""

FORMAT_IF_BLANK = """
# A device of the host is formatted only if nothing at all is on it: no signature that util-linux knows, and no other
# data in its first 16 MiB and in its last MiB, where file systems, partition tables, encryption, volume managers and
# databases have what is theirs. Runs as the MicroVM's user.
format_if_blank() { # device, mkfs and its arguments
    local device=$1 signatures size status=0 mebibyte=$((1 << 20))
    shift
    signatures=$(wipefs --no-act --noheadings -- "$device") || return
    blkid --probe -- "$device" > /dev/null || status=$?
    # 2: nothing was found.
    if [ -n "$signatures" ] || [ "$status" -ne 2 ]; then return; fi
    size=$(blockdev --getsize64 "$device") || return
    if ! is_zero "$device" 0 $((size < 16 * mebibyte ? size : 16 * mebibyte)) ||
        ! is_zero "$device" $((size < mebibyte ? 0 : size - mebibyte)) $((size < mebibyte ? size : mebibyte)); then
        echo "$device has data without a known signature, and is not formatted" >&2
        return
    fi
    echo "formatting $device: $1"
    "$@" "$device"
    sync -- "$device"
}

is_zero() { # device, begin and length in bytes
    cmp -s --ignore-initial="$2:0" --bytes="$3" -- "$1" /dev/zero
}
"""

GIVE_PCI_DEVICE_BACK = """
# With the functions of bind_pci_device.
: "${sysfs:?}"

# Devices that microvm_vfio keeps from the host's drivers stay so; it has recorded which driver gets the others back.
give_pci_device_back() { # address, list of devices
    local kind address driver restore group _rest
    # The node stays with the device, or with others of its group; there is none of a device that is back already.
    group=$(readlink "$sysfs/bus/pci/devices/$1/iommu_group") || true
    if [ -n "$group" ]; then chown root:root "/dev/vfio/${group##*/}" 2> /dev/null || true; fi
    while read -r kind address driver restore _rest; do
        if [ "$kind" != device ] || [ "$address" != "$1" ]; then continue; fi
        if [ "$restore" = absent ]; then return; fi
        unbind_pci_device "$1" "$driver"
        return
    done < <(cat "$2" 2> /dev/null)
    unbind_pci_device "$1"
}
"""

HTTP_REQUEST = r"""
http_request() { # address for socat, method and path, body
    local answer body=$3
    answer=$({
        printf '%s\r\n' "$2 HTTP/1.1" 'Host: localhost' 'Accept: application/json' 'Content-Type: application/json' \
            "Content-Length: ${#body}" ''
        printf '%s' "$body"
    } | socat -t 1 - "$1") || return
    if [[ ! "$answer" =~ ^HTTP/1.[01]\ 2 ]]; then
        echo "$answer" >&2
        return 1
    fi
}
"""

INITIAL_BALLOON = """
set_initial_balloon() { # microvm-balloon, MiB
    (
        tries=0
        until [ "$tries" -ge 100 ] || "$1" "$2" 2>/dev/null; do
            sleep 0.1
            tries=$((tries + 1))
        done
    ) &
}
"""

INITRD_CREDENTIALS = """
# The kernel unpacks one archive after the other. The archive has a name for a moment only, in memory, and for nobody
# else; then only the hypervisor can open it.

begin_initrd() { # MicroVM
    # Remove what a killed start has left.
    find /dev/shm -maxdepth 1 -user "$(id -u)" -name "microvm.$1.????????" -exec rm -rf {} +
    initrd_directory=$(mktemp -d "/dev/shm/microvm.$1.XXXXXXXX")
    trap 'rm -rf "$initrd_directory"' EXIT
    mkdir -p "$initrd_directory/.extra/system_credentials"
}

add_credential() { # file, name
    (umask 077 && cat "$1" > "$initrd_directory/.extra/system_credentials/$2.cred")
}

join_initrd() { # initial RAM disk that the credentials are appended to
    (umask 077 && cat "$1" > "$initrd_directory/initrd")
    # An archive begins at a multiple of four.
    truncate -s %512 "$initrd_directory/initrd"
    (
        cd "$initrd_directory" || exit
        find .extra -print0 | cpio --quiet --create --format=newc --null --owner=0:0
    ) >> "$initrd_directory/initrd"
}

end_initrd() { # when it is open
    rm -rf "$initrd_directory"
    trap - EXIT
}
"""

IS_RUNNING = r"""
# The number of a process that has ended may be another's; its start time is not.
# The file is the hypervisor's, so it may be anything by now.
is_running() { # file that record_process has written
    local process started stat fields
    [ -f "$1" ] || return 1
    read -r process started < <(head -c 64 "$1" 2>/dev/null | tr -d '\0') || true
    [[ $process =~ ^[1-9][0-9]{0,9}$ ]] || return 1
    # Another user's process answers no signal, but is there.
    kill -0 "$process" 2>/dev/null || [ -d "/proc/$process" ] || return 1
    [ -n "$started" ] || return 0
    stat=$(cat "/proc/$process/stat" 2>/dev/null) || return 1
    read -ra fields <<< "${stat##*) }"
    [ "${fields[19]}" = "$started" ] && [ "${fields[0]}" != Z ]
}
"""

JOIN_MACVTAP = """
# A package names the network, and the host knows its link and its mode.
join_macvtap() { # list of the host's networks, name, user, group, network, MAC address
    local list=$1 id=$2 user=$3 group=$4 network=$5 mac=$6 kind name link mode
    if [ -e "$list" ]; then
        while read -r kind name link mode; do
            if [ "$kind $name" = "macvtap $network" ]; then
                make_macvtap "$id" "$user" "$group" "$link" "$mac" "$mode"
                return
            fi
        done < "$list"
    fi
    echo "this host has no network $network with mode macvtap; declare it in microvm_networks" >&2
    exit 1
}
"""

MACVTAP_DEVICE = """
macvtap_device() { # interface; prints the path of its character device
    echo "/dev/tap$(cat "/sys/class/net/$1/ifindex")"
}
"""

MAKE_MACVTAP = """
# Multicast reaches a macvtap only with allmulticast. The host itself has no address on it.
make_macvtap() { # name, user, group, link, MAC, mode
    local name=$1 user=$2 group=$3 link=$4 mac=$5 mode=$6 index waited=0
    if [ -e "/sys/class/net/$name" ]; then
        if [ ! -d "/sys/class/net/$name/macvtap" ]; then
            echo "$name exists and is not a macvtap; declare another id" >&2
            exit 1
        fi
        ip link delete dev "$name"
    fi
    ip link add link "$link" name "$name" address "$mac" type macvtap mode "$mode"
    ip link set dev "$name" allmulticast on
    if [ -w "/proc/sys/net/ipv6/conf/$name/disable_ipv6" ]; then
        echo 1 > "/proc/sys/net/ipv6/conf/$name/disable_ipv6"
    fi
    ip link set dev "$name" up
    index=$(cat "/sys/class/net/$name/ifindex")
    # udev makes the device.
    while [ ! -e "/dev/tap$index" ] && [ "$waited" -lt 50 ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    # On a host of microvm.nix, the user's group has another name.
    chown "$user:$group" "/dev/tap$index" 2> /dev/null || chown "$user:" "/dev/tap$index"
    chmod 0600 "/dev/tap$index"
}
"""

MAKE_TAP = """
make_tap() { # name, user, bridge or nothing, flags
    local name=$1 user=$2 bridge=$3 waited=0
    shift 3
    # At a start of the host, the one who makes bridges may just be at it.
    while [ -n "$bridge" ] && [ ! -e "/sys/class/net/$bridge" ] && [ "$waited" -lt 50 ]; do
        sleep 0.2
        waited=$((waited + 1))
    done
    if [ -e "/sys/class/net/$name" ]; then
        # One that was left over may have other flags, which cannot be changed.
        if [ "$(cat "/sys/class/net/$name/owner" 2>/dev/null)" != "$(id -u "$user")" ]; then
            echo "$name exists and is not a tap of the user $user; declare another id" >&2
            exit 1
        fi
        if [ "$(cat "/sys/class/net/$name/carrier" 2>/dev/null)" = 1 ]; then
            echo "$name is in use by another MicroVM; declare another id" >&2
            exit 1
        fi
        ip link delete dev "$name"
    fi
    ip tuntap add name "$name" mode tap user "$user" "$@"
    if [ -n "$bridge" ]; then ip link set dev "$name" master "$bridge"; fi
    ip link set dev "$name" up
}
"""

NAME_GUEST = r"""
# Set before: the list of our networks with their leases, and the directory of the taps' rules.
: "${network_list:?}" "${tap_rules:?}"

# A tap of a network with `dns_names` has a file with the name of its guest, which the network's server reads as soon as
# it is there. It has the addresses of the network that the guest may have, and goes with the elements of the tap. A
# MicroVM that is called as the host is in each domain, or whose name is no part of a domain name, has none.
name_guest() { # MicroVM, tap, MAC address or nothing, then addresses of the guest, and "dhcp" if it gets others
    local vm=$1 tap=$2 mac=${3:-} network file lines
    if [ ! -e "$network_list" ] || [ ! -d "$tap_rules" ]; then return; fi
    network=$(named_network "$tap" "${@:4}")
    if [ -z "$network" ] || [[ ! "${vm,,}" =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]]; then return; fi
    if [ "${vm,,}" = host ] || [ "${vm,,}" = localhost ]; then return; fi
    lines=$(guest_addresses "$network" "$mac" "${@:4}" | sed "s/\$/ $vm/") || return
    if [ -z "$lines" ]; then return; fi
    file=$tap_rules/names/$network
    {
        flock 9 || return
        mkdir -p -- "$file" || return
        # The server does not read a file that is called so.
        echo "$lines" > "$file/.$tap.partial" || return
        mv -fT -- "$file/.$tap.partial" "$file/$tap"
    } 9< "$tap_rules"
}

# Prints the network with names that a tap is on: as a port of its bridge, or by the addresses of its guest.
named_network() { # tap, then addresses of the guest
    local bridge kind network value rest address names=' '
    bridge=$(basename -- "$(readlink -- "/sys/class/net/$1/master")")
    while read -r kind network value rest; do
        if [ "$kind" = names ]; then names+="$network "; fi
    done < "$network_list"
    while read -r kind network value rest; do
        if [[ "$names" != *" $network "* ]]; then continue; fi
        if [ "$kind:$network" = "network:$bridge" ]; then echo "$network"; fi
        if [ "$kind" != routed ] || [ -n "$bridge" ]; then continue; fi
        for address in "${@:2}"; do
            if is_in_subnet "$address" "$value"; then
                echo "$network"
                break
            fi
        done
    done < "$network_list"
}

# Prints the addresses of a guest that are of its network, one on each line: declared ones, and that of its lease.
guest_addresses() { # network, MAC address or nothing, then addresses of the guest, and "dhcp"
    local kind network value rest subnet='' prefix='' leased='' address number
    while read -r kind network value rest; do
        case $kind:$network in
            "network:$1" | "routed:$1") subnet=$value ;;
            "prefix:$1") prefix=$value ;;
            "lease:$1") if [ "${value,,}" = "${2,,}" ]; then leased=$rest; fi ;;
        esac
    done < "$network_list"
    for address in "${@:3}"; do
        if [ "$address" = dhcp ]; then address=$leased; fi
        if [[ "$address" != *:* ]]; then
            if is_in_subnet "$address" "$subnet"; then echo "$address"; fi
        elif number=$(ipv6_number "$address") && [ -n "$prefix" ] && [[ "$number" = "0x${prefix//:/}"* ]]; then
            echo "$address"
        fi
    done
}
"""

NOTIFY_RELAY = """
# The guest's systemd reports that it is up by a connection to this socket. It waits for its end, so that comes at once.
relay_notifications() { # socket, escaped for socat
    if [ -n "${NOTIFY_SOCKET:-}" ]; then
        socat -t 0 -T 0.5 "UNIX-LISTEN:$1,fork" "UNIX-SENDTO:$NOTIFY_SOCKET" &
    fi
}
"""

PACKAGE_ACTIONS = r"""
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
"""

QMP_COMMAND = r"""
# Of a hypervisor that negotiates no capabilities, and takes what has come by then for one command.
qmp_command() { # address for socat, command of the QEMU Machine Protocol
    local answer
    answer=$(printf '%s\n' "$2" | socat -t 1 - "$1") || return
    if [[ "$answer" == *'"error"'* ]]; then
        echo "$answer" >&2
        return 1
    fi
}
"""

QMP_REQUEST = r"""
qmp_request() { # address for socat, command of the QEMU Machine Protocol
    local answer
    answer=$(printf '%s\n' '{"execute":"qmp_capabilities"}' "$2" | socat -t 1 - "$1") || return
    if [[ "$answer" == *'"error"'* ]]; then
        echo "$answer" >&2
        return 1
    fi
}
"""

RECORD_PROCESS = """
# microvm-shutdown waits for the end of this very process, which is the hypervisor's. Its number may be another's when
# it has ended; its start time is not.
record_process() { # file
    local stat fields
    if [ -r /proc/self/stat ]; then
        stat=$(cat "/proc/$$/stat")
        read -ra fields <<< "${stat##*) }"
        echo "$$ ${fields[19]}" > "$1"
    else
        echo "$$" > "$1"
    fi
}
"""

REGISTER_MACHINE = r"""
varlink_parameters() { # JSON, process; prints the JSON with the process
    echo "${1%\}}, \"leader\": $2}"
}

# Varlink takes the number of the process as it is, and the vsock by which `ssh machine/NAME` reaches the guest
# (systemd 257 and newer); D-Bus is there with every version.
register_machine() { # MicroVM, process, JSON for Varlink, octets of the machine id after their number
    local name=$1 leader=$2 parameters varlink=/run/systemd/machine/io.systemd.Machine
    parameters=$(varlink_parameters "$3" "$leader")
    shift 3
    if [ -S "$varlink" ] && command -v varlinkctl >/dev/null &&
        varlinkctl call "$varlink" io.systemd.Machine.Register "$parameters" >/dev/null; then
        return
    fi
    busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager \
        RegisterMachine sayssus "$name" "$@" microvm.fleet vm "$leader" ''
}
"""

REMOVE_MACVTAP = """
remove_macvtap() { # name
    if [ -d "/sys/class/net/$1/macvtap" ]; then ip link delete dev "$1"; fi
}
"""

REMOVE_TAP = """
remove_tap() { # name, user
    if [ "$(cat "/sys/class/net/$1/owner" 2>/dev/null)" = "$(id -u "$2")" ]; then ip link delete dev "$1"; fi
}
"""

ROUTE_TAP = r"""
# Set before: the directory of the taps' rules.
: "${tap_rules:?}"

# A tap of a network with `mode: routed` is on no bridge: a route of the host leads to each address of its guest, and
# elements of the table inet microvm_fleet say which addresses the guest sends from. The rules come first, then the
# route. Routes and parameters of the kernel go with the tap. Called where errors do not end the script.
route_tap() { # tap, network, its address with prefix length, whether it forwards, MAC address, addresses of the guest
    local tap=$1 network=$2 gateway=${3%/*} forwards=$4 mac=$5 address usable=()
    for address in "${@:6}"; do
        case $address in
            dhcp | *:*) ;;
            *)
                is_in_subnet "$address" "$3" && [ "$address" != "$gateway" ] && usable+=("$address") && continue
                echo "$tap is not routed: $address is no address for a guest of the network $network ($3);" \
                    "correct it in guest.networks" >&2
                return 1
                ;;
        esac
    done
    if [ "${#usable[@]}" = 0 ]; then
        echo "$tap is not routed: its package says no IPv4 address, and the network $network ($3) has no DHCP server;" \
            "declare one in guest.networks" >&2
        return 1
    fi
    {
        flock 9 || return
        route_to_guest "$tap" "$network" "$gateway" "$mac" "${usable[@]}" || return
    } 9< "$tap_rules"
    set_tap_parameter ipv4 "$tap" forwarding "$forwards"
}

route_to_guest() { # tap, network, its address, MAC address, addresses of the guest
    local tap=$1 network=$2 gateway=$3 mac=$4 address
    shift 4
    for address in "$@"; do refuse_routed_elsewhere "$tap" "$address" || return; done
    set_tap_parameter ipv6 "$tap" disable_ipv6 1 || return
    set_tap_parameter ipv4 "$tap" forwarding 0 || return
    set_tap_parameter ipv4 "$tap" rp_filter 1 || return
    delete_elements "$tap" || return
    routed_elements "$tap" "$@" | load_elements "$tap" "$network" || return
    ip link set dev "$tap" nomaster || return
    ip address replace "$gateway/32" dev "$tap" || return
    for address in "$@"; do
        ip route replace "$address/32" dev "$tap" proto static src "$gateway" || return
        if [ -n "$mac" ]; then ip neighbour replace "$address" lladdr "$mac" dev "$tap" nud permanent || return; fi
    done
}

refuse_routed_elsewhere() { # tap, address
    local route
    route=$(ip -4 -o route show "$2/32") || return
    if [ -z "$route" ] || [[ " $route " = *" dev $1 "* ]]; then return; fi
    echo "$1 is not routed: the host has a route to $2 already ($route);" \
        "stop what uses it, or declare another address" >&2
    return 1
}

routed_elements() { # tap, addresses
    local elements='add element inet microvm_fleet' address
    echo "$elements routed { \"$1\" }"
    for address in "${@:2}"; do echo "$elements routed_addresses { \"$1\" . $address }"; done
}

# There are none of IPv6 where the kernel has no IPv6.
set_tap_parameter() { # protocol, tap, parameter, value
    local path=/proc/sys/net/$1/conf/$2/$3
    if [ -d "/proc/sys/net/$1" ]; then echo "$4" > "$path"; fi
}

is_in_subnet() { # address, address with the prefix length of the subnet
    local mask=$(((0xffffffff << (32 - ${2#*/})) & 0xffffffff)) number other
    number=$(address_number "$1") && other=$(address_number "${2%/*}") || return
    [ "$((number & mask))" = "$((other & mask))" ]
}

# Written in one way only: others read 010 as 8.
address_number() { # IPv4 address
    local IFS=. part parts number=0
    [[ "$1" =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || return
    read -r -a parts <<< "$1"
    for part in "${parts[@]}"; do
        if [[ "$part" = 0?* ]] || [ "$part" -gt 255 ]; then return 1; fi
        number=$((number * 256 + part))
    done
    echo "$number"
}
"""

SHUT_DOWN = """
shut_down() { # file that record_process has written, seconds; calls request, which asks the guest to power off
    local fifths=0 timeout=$2
    while is_running "$1"; do
        if [ "$fifths" -ge $((5 * timeout)) ]; then
            echo "the guest has not ended within $timeout seconds" >&2
            exit 1
        fi
        # Again and again: the first request is lost on a guest that is still booting.
        if [ $((fifths % 15)) -eq 0 ]; then request >/dev/null 2>&1 || true; fi
        sleep 0.2
        fifths=$((fifths + 1))
    done
}
"""

SIDECAR = """
start_sidecar() { # socket that it makes, command
    local socket=$1 sidecar
    shift
    "$@" &
    sidecar=$!
    while [ ! -S "$socket" ]; do
        kill -0 "$sidecar"
        sleep 0.1
    done
}
"""

TAKE_NOTIFICATION = """
# The relay of the guest's notification is a unit of its own; systemd takes one only from this unit's processes.
take_notification() { # socket
    if [ -n "${NOTIFY_SOCKET:-}" ]; then
        socat -u "UNIX-RECV:$1" "UNIX-SENDTO:$NOTIFY_SOCKET" &
    fi
}
"""

TAKE_PCI_DEVICE = """
# With the functions of bind_pci_device and give_pci_device_back.
: "${sysfs:?}"

# systemd runs no ExecStop= after a start that fails: what that has taken goes back.
taken_devices=()
begin_devices() { # list of devices
    listed_devices=$1
    trap give_taken_devices_back EXIT
}

give_taken_devices_back() {
    local address
    for address in "${taken_devices[@]}"; do give_pci_device_back "$address" "$listed_devices" || true; done
}

take_pci_device() { # address, user, group
    local device=$sysfs/bus/pci/devices/$1 group other kind address identity _rest
    while read -r kind address _rest _rest identity; do
        if [ "$kind $address" = "device $1" ]; then is_recorded "$1" "$identity" || exit 1; fi
    done < <(cat "$listed_devices" 2> /dev/null)
    # What vfio-pci had before may be another MicroVM's.
    if [ "$(driver_of "$1")" != vfio-pci ]; then taken_devices+=("$1"); fi
    bind_pci_device "$1" || exit 1
    group=$(basename "$(readlink "$device/iommu_group")")
    for other in "$device"/iommu_group/devices/*; do
        # Bridges may keep their driver; vfio refuses the rest itself, but says less.
        if [ -e "$other/driver" ] && [ "$(basename "$(readlink "$other/driver")")" != vfio-pci ] &&
            [[ "$(cat "$other/class")" != 0x0604* ]]; then
            echo "$(basename "$other") shares the IOMMU group $group with $1, and the host still uses it" >&2
        fi
    done
    # On a host of microvm.nix, the user's group has another name.
    chown "$2:$3" "/dev/vfio/$group" 2> /dev/null || chown "$2:" "/dev/vfio/$group"
}
"""

TERMINAL = """
# The hypervisor wants a terminal as its standard input, which a unit has not. A process beside it copies what is typed
# to one, and ends when the hypervisor has ended. The hypervisor itself stays the process that gets signals and whose
# status counts, with the output and all other descriptors that it has anyway.
provide_terminal() { # link that leads to the terminal meanwhile
    local link=$1 copier
    if [ -t 0 ]; then return; fi
    rm -rf -- "$link"
    # With its own end of the terminal alone open, it sees when the hypervisor has closed the other one. Where there is
    # nothing to read, the terminal stays all the same.
    socat -t 0 "PTY,link=$link,wait-slave,pty-interval=0.05" STDIO,ignoreeof <&0 > /dev/null 2>&1 &
    copier=$!
    while [ ! -e "$link" ]; do
        if ! kill -0 "$copier" 2> /dev/null; then
            echo "socat has ended before the hypervisor had a terminal" >&2
            exit 1
        fi
        sleep 0.05
    done
    exec < "$link"
    rm -f -- "$link"
}
"""

TSC_PARAMETER = """
# A kernel without KVM's clock measures the processor's frequency against a timer, and gets it wrong under load.
# Where the frequency changes, /proc/cpuinfo shows the moment's and only base_frequency is the clock's.
tsc_parameter() { # prints a blank and the kernel's parameter, or nothing where the frequency is not known
    local cpufreq=/sys/devices/system/cpu/cpu0/cpufreq frequency=
    if [ -r "$cpufreq/base_frequency" ]; then
        frequency=$(cat "$cpufreq/base_frequency")
    elif [ ! -e "$cpufreq" ] && [ -r /proc/cpuinfo ]; then
        frequency=$(sed -n '/^cpu MHz/{s/[^0-9]//gp;q;}' /proc/cpuinfo)
    fi
    echo "${frequency:+ tsc_early_khz=$frequency}"
}
"""

UNREGISTER_MACHINE = r"""
# Not TerminateMachine, which would kill the unit that this runs in.
unregister_machine() { # MicroVM
    busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager \
        UnregisterMachine s "$1" 2>/dev/null || true
}
"""

VIRTIOFSD = """
# Where distributions have the program.
PATH=$PATH:/usr/libexec

# Numbers of the descriptors of listening sockets that daemons inherit, by the paths of these.
declare -A listening=()

# Words before the command of a daemon that is not root's.
identity=()

# Every socket listens before any daemon is there, and stays when a daemon ends and another one follows: a hypervisor
# that connects at any moment waits in the queue of the socket instead of being refused.
LISTEN='import fcntl, grp, os, socket, sys
group, paths = sys.argv[1], sys.argv[2 : sys.argv.index("--")]
command, descriptors = sys.argv[sys.argv.index("--") + 1 :], []
os.umask(0o177)
for path in paths:
    if os.path.lexists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    if group:
        os.chown(path, -1, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid)
        os.chmod(path, 0o660)
    listener.listen(16)
    descriptors.append(fcntl.fcntl(listener.detach(), fcntl.F_DUPFD_CLOEXEC, 3 + len(paths)))
for number, descriptor in enumerate(descriptors, 3):
    os.dup2(descriptor, number)
os.umask(0o077)
os.environ.update(LISTEN_FDS=str(len(paths)), LISTEN_PID=str(os.getpid()))
os.execvp(command[0], command)'

# Replaces the script by itself, with the sockets open, as systemd passes them on (sd_listen_fds(3)). A host without
# Python lets daemons make their own.
listen() { # group or nothing, sockets, --, the command that this is
    local socket number=3
    if [ "${LISTEN_PID:-}" != $$ ]; then
        if command -v python3 > /dev/null; then exec python3 -I -c "$LISTEN" "$@"; fi
        return
    fi
    unset LISTEN_PID LISTEN_FDS
    shift
    for socket; do
        if [ "$socket" = -- ]; then break; fi
        listening[$socket]=$number
        number=$((number + 1))
    done
}

# The group of sockets: that of the hypervisor's account, which has another name on a host of microvm.nix. Nothing on a
# machine without the account, where people run packages by hand.
usable_group() { # group, user of the hypervisor
    if [ -z "$1" ]; then return; fi
    if [[ "$1" =~ ^[0-9]+$ ]] || getent group -- "$1" > /dev/null; then
        echo "$1"
    else
        id -gn -- "$2" 2> /dev/null || true
    fi
}

# Units of this collection have a source mounted before. Those of microvm.nix, and people, run the script without: from
# the directory that the source is relative to, and with the namespaces in which virtiofsd then confines itself.
serve_source() { # where it is mounted, source, socket, command
    local mounted=$1 source=$2 word
    shift 2
    if [ ! -e "$mounted" ]; then
        if ! source=$(umask 022 && mkdir -p -- "$source" && realpath -- "$source"); then
            kill -USR1 $$
            exit 1
        fi
        for word; do
            shift
            case $word in
                "--shared-dir=$mounted") set -- "$@" "--shared-dir=$source" ;;
                --sandbox=chroot | --socket-group=*) ;;
                *) set -- "$@" "$word" ;;
            esac
        done
    fi
    serve "$@"
}

# A daemon without privileges: the guest can do what its user can do. Unless identities are translated otherwise, what
# the guest creates is that user's, and to the guest all files are root's (virtiofsd's README).
serve_as() { # user, arguments of serve_source
    local uid gid kind number unprivileged=(--inh-caps=-all --bounding-set=-all --no-new-privs)
    if ! uid=$(id -u -- "$1") || ! gid=$(id -g -- "$1"); then
        kill -USR1 $$
        exit 1
    fi
    shift
    for kind in uid gid; do
        if [[ " $* " == *" --translate-$kind="* ]]; then continue; fi
        number=${!kind}
        set -- "$@" "--translate-$kind=squash-guest:0:$number:4294967295" "--translate-$kind=squash-host:0:0:4294967295"
    done
    if [ "$(id -u)" != "$uid" ]; then
        # Root ends such a daemon by its own end: a signal would take CAP_KILL.
        identity=(setpriv "--reuid=$uid" "--regid=$gid" --init-groups --pdeathsig=TERM "${unprivileged[@]}")
    fi
    serve_source "$@"
}

# What a daemon is executed with: the socket that listens in place of one that it would make, and no other one.
inherit_socket() { # socket, command
    local word descriptor own=${listening[$1]:-}
    shift
    if [ -z "$own" ]; then exec "${identity[@]}" "$@"; fi
    for descriptor in "${listening[@]}"; do
        if [ "$descriptor" != "$own" ]; then exec {descriptor}>&-; fi
    done
    for word; do
        shift
        case $word in --socket-path=* | --socket-group=*) ;; *) set -- "$@" "$word" ;; esac
    done
    exec "${identity[@]}" "$@" "--fd=$own"
}

# A socket that listens says nothing of its daemon, which may refuse its options: it has begun when it is executed and
# still runs a moment later.
await_begin() { # process of this shell
    local _try
    for _try in {1..20}; do
        if [ "$(cat "/proc/$1/comm" 2> /dev/null)" != bash ]; then break; fi
        sleep 0.05
    done
    sleep 0.1
    [ -n "$(jobs -pr)" ]
}

# A daemon ends, with success, when its hypervisor closes the socket, as one that reboots in place does; then there must
# be another. With any other status, all end, and systemd decides.
serve() { # socket, command
    # Not local: the trap still needs them when the function has ended.
    socket=$1
    daemon=
    trap 'if kill "$daemon" 2>/dev/null; then wait; fi; rm -f -- "$socket" "$socket.pid"' EXIT
    trap 'exit 0' TERM
    while true; do
        if [ -z "${listening[$socket]:-}" ]; then rm -f -- "$socket" "$socket.pid"; fi
        inherit_socket "$@" &
        daemon=$!
        if [ -n "${listening[$socket]:-}" ] && await_begin "$daemon"; then echo "$daemon" > "$socket.pid"; fi
        if ! wait "$daemon"; then
            echo "the virtiofsd of $socket has failed" >&2
            kill -USR1 $$
            exit 1
        fi
    done
}

end_together() {
    # shellcheck disable=SC2046 # numbers
    trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
    trap 'exit 0' TERM INT
    trap 'exit 1' USR1
}

await_end() { # sockets
    local socket
    for socket; do
        while [ ! -S "$socket" ] || [ ! -e "$socket${listening[$socket]:+.pid}" ]; do sleep 0.1; done
    done
    if [ -n "${NOTIFY_SOCKET:-}" ]; then systemd-notify --ready; fi
    wait
}
"""

VOLUMES = """
ext_bytes() { # image; prints the size of its file system, or nothing where it is none of ext2, ext3, ext4
    local field value count=0 size=0
    while IFS=: read -r field value; do
        case $field in
            'Block count') count=$((value)) ;;
            'Block size') size=$((value)) ;;
        esac
    done < <(dumpe2fs -h "$1" 2>/dev/null)
    if [ $((count * size)) -gt 0 ]; then echo $((count * size)); fi
}

# Completes what a killed start has left undone: the file system is asked, not the image's size.
grow_volume() { # image, MiB, mkfs
    local image=$1 bytes=$(($2 * 1024 * 1024)) taken status=0
    if [ "$(stat -L -c %s "$image")" -lt "$bytes" ]; then
        echo "growing $image to $2 MiB"
        truncate -s "$bytes" "$image"
    fi
    case $3 in mkfs.ext[234]) taken=$(ext_bytes "$image") ;; *) return ;; esac
    # Less than a group of blocks may be left over.
    if [ -z "$taken" ] || [ $((bytes - taken)) -lt $((1024 * 1024)) ]; then return; fi
    e2fsck -f -p "$image" || status=$?
    if [ "$status" -gt 1 ]; then
        echo "the file system of $image has errors, and is not grown; check it with e2fsck" >&2
        return
    fi
    resize2fs "$image"
    sync "$image"
}

# The image is formatted under another name and then given its own: a start that is killed leaves no half image, and
# an image that exists is never formatted. Copies on write make a file system inside of a file slow, so btrfs is asked
# for none.
create_volume() { # image, MiB, mkfs and its arguments
    local image=$1 size=$2 partial=$1.partial
    if [ -f "$image" ] && [ -w "$image" ]; then grow_volume "$image" "$size" "$3"; fi
    shift 2
    if [ -e "$image" ]; then return; fi
    if [ -L "$image" ]; then
        echo "$image is a link that leads nowhere" >&2
        exit 1
    fi
    echo "creating $image: $size MiB, $1"
    rm -f -- "$partial"
    (umask 077 && : > "$partial")
    chattr +C "$partial" 2>/dev/null || true
    truncate -s "${size}M" "$partial"
    "$@" "$partial"
    sync "$partial"
    mv -n "$partial" "$image"
    if [ -e "$partial" ]; then
        echo "$image was made by somebody else meanwhile" >&2
        exit 1
    fi
    sync "$(dirname "$image")"
}
"""
