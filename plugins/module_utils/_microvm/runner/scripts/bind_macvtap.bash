# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

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
