# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the shell scripts of this directory.

"""Shell functions of networks' units, as strings; the scripts beside this file are the source."""

from __future__ import annotations

AWAIT_REPORTS = """
# nft does not say when it has begun to listen; from then on it reports a table, or a chain, that is made for this.
await_reports() { # descriptor, name
    local report=''
    until [[ "$report" = *" $2" ]]; do
        nft "add table inet $2; add chain inet $2 $2; delete table inet $2"
        read -r -t 0.5 report <&"$1" || [ $? -gt 128 ]
    done
}
"""

FOLLOW_DOCKER = r"""
# Keeps rules in the chain that Docker leaves to others. Docker makes it with its first start, and again after firewalld
# has deleted it with a reload; the kernel reports that, and between two reports nothing runs.
# With the argument "insert" the script inserts the rules once, with "remove" it removes them.
docker_action=${1-follow}
docker_rules() { # our chain, the rule that leads to it, its rules for IPv4, and for IPv6, as iptables prints them
    local report
    set -euo pipefail
    case $docker_action in
        insert) insert_rules "$@" ;;
        remove) remove_rules "$1" "$2" ;;
        *)
            exec {reports}< <(exec nft monitor new chains 2>&1)
            await_reports "$reports" "$1_watch"
            while :; do
                insert_rules "$@"
                while :; do
                    read -r report <&"$reports"
                    case $report in
                        *" chain ip filter DOCKER-USER"* | *" chain ip6 filter DOCKER-USER"*) break ;;
                        # Reports may be lost where there are too many. What nft says then is about no chain.
                        *" chain "* | "#"*) ;;
                        *) break ;;
                    esac
                done
            done
            ;;
    esac
}

insert_rules() { # chain, rule that leads to it, rules for IPv4, for IPv6
    insert_family iptables "$1" "$2" "$3"
    insert_family ip6tables "$1" "$2" "$4"
}

# One transaction for our chain, which is only written if it differs. Versions of iptables differ in which strings have
# quotes.
insert_family() { # program, chain, rule that leads to it, rules
    local program=$1 chain=$2 leading=$3 rules=$4 listed jump
    listed=$("$program" -w 10 -S 2> /dev/null) || return 0
    listed=${listed//\"/}
    if [ -z "$rules" ] || ! has_line "$listed" "-N DOCKER-USER"; then
        remove_family "$program" "$chain" "$leading"
        return
    fi
    if [ "$(echo "$listed" | grep -e "^-A $chain ")" != "$rules" ]; then
        printf '*filter\n:%s - [0:0]\n%s\nCOMMIT\n' "$chain" "$rules" | "$program-restore" -w 10 --noflush
    fi
    jump=$(jump_commands "$listed" "$chain" "$leading")
    if [ -n "$jump" ]; then
        printf '*filter\n%s\nCOMMIT\n' "$jump" | "$program-restore" -w 10 --noflush
    fi
}

# Our chain accepts, so it comes after the rules of others, which may deny; only an unconditional RETURN comes later,
# such as Docker's before version 28. Nothing is printed where it is there, and nowhere else. Earlier versions made the
# rule without a comment.
jump_commands() { # listed rules, our chain, rule that leads to it
    local line removals='' number=0 place='' own=()
    while read -r line; do
        case $line in
            "$3")
                own+=("$((number + 1))")
                removals+="-D ${line#-A }"$'\n'
                ;;
            "-A DOCKER-USER -j $2")
                own+=(former)
                removals+="-D ${line#-A }"$'\n'
                ;;
            "-A DOCKER-USER -j RETURN") place=${place:-$((++number))} ;;
            "-A DOCKER-USER "*) number=$((number + 1)) ;;
        esac
    done <<< "$1"
    place=${place:-$((number + 1))}
    if [ "${own[*]}" != "$place" ]; then
        printf '%s-I DOCKER-USER %s %s\n' "$removals" "$place" "${3#-A DOCKER-USER }"
    fi
}

has_line() { # text, line
    [[ $'\n'$1$'\n' = *$'\n'$2$'\n'* ]]
}

remove_rules() { # chain, rule that leads to it
    remove_family iptables "$1" "$2"
    remove_family ip6tables "$1" "$2"
}

remove_family() { # program, chain, rule that leads to it
    local words
    if "$1" -w 10 -n -L "$2" > /dev/null 2>&1; then
        read -ra words <<< "${3#-A }"
        "$1" -w 10 -D "${words[@]}" 2> /dev/null || :
        "$1" -w 10 -D DOCKER-USER -j "$2" 2> /dev/null || :
        "$1" -w 10 -F "$2"
        "$1" -w 10 -X "$2"
    fi
}
"""

LAN_RETURN = """
# Set before: "boot" when systemd-networkd starts, "now" when nobody has confirmed a change in time.
: "${moment:?}"

# Makes the files below /run by which bridges are on interfaces of the host those that are permanent.
# No error ends it: whatever can be returned to the old state is.
lan_return() { # permanent files, those below /run, mark of an unconfirmed change, what it becomes
    local permanent=$1 runtime=$2 name gone=()
    shopt -s nullglob
    if [ "$moment" = boot ]; then
        # systemd-networkd was started again meanwhile.
        if [ -e "$3" ]; then return; fi
        copy_permanent "$permanent" "$runtime"
        return
    fi
    # Whoever takes the mark away decides.
    if ! mv -T -- "$3" "$4"; then return; fi
    copy_permanent "$permanent" "$runtime"
    for name in "${gone[@]}"; do ip link delete dev "$name"; done
    networkctl reload || restart_networkd
    for name in $(lan_names "$permanent"); do await_lan_bridge "$name" || restart_networkd; done
    echo "nobody has confirmed the change of the bridges onto interfaces of this host in time; it is taken back"
}

restart_networkd() {
    systemctl restart systemd-networkd.service
}

# Sets gone to the bridges that are to be deleted.
copy_permanent() { # permanent files, those below /run
    local file name
    install -d -m 0755 -- "$2"
    # Drop-ins of these files are the operator's.
    for file in "$2"/00-microvm-*.network "$2"/50-microvm-*.netdev; do
        name=$(lan_name "$file")
        if is_whole_lan "$1" "$name"; then continue; fi
        case $file in *.netdev) gone+=("$name") ;; esac
        rm -f -- "$file"
    done
    for name in $(lan_names "$1"); do
        copy_changed "$1" "$2" "50-microvm-$name.netdev"
        copy_changed "$1" "$2" "00-microvm-$name.network"
        # Without its bridge, the interface waits in vain: it keeps the configuration of the operator then.
        if [ -f "$2/50-microvm-$name.netdev" ] && [ -f "$2/00-microvm-$name.network" ]; then
            copy_changed "$1" "$2" "00-microvm-$name+port.network"
        else
            rm -f -- "$2/00-microvm-$name+port.network"
        fi
    done
}

copy_changed() { # permanent files, those below /run, name of the file
    if cmp -s -- "$1/$3" "$2/$3"; then return; fi
    install -m 0644 -T -- "$1/$3" "$2/$3.partial" && mv -fT -- "$2/$3.partial" "$2/$3"
}

lan_name() { # file
    local name=${1##*/??-microvm-}
    name=${name%.network} name=${name%.netdev}
    echo "${name%+port}"
}

# Those of which all files are there: a run that was killed leaves some.
lan_names() { # directory
    local file name
    for file in "$1"/50-microvm-*.netdev; do
        name=$(lan_name "$file")
        if is_whole_lan "$1" "$name"; then echo "$name"; fi
    done
}

is_whole_lan() { # directory, name
    [ -e "$1/00-microvm-$2.network" ] && [ -e "$1/00-microvm-$2+port.network" ] && [ -e "$1/50-microvm-$2.netdev" ]
}

await_lan_bridge() { # name
    local tries=50
    until [ -e "/sys/class/net/$1/bridge" ]; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ]; then return 1; fi
        sleep 0.1
    done
}
"""

WATCH_RULES = """
# Loads rules whenever one of their tables has been deleted, as the kernel reports it; between two reports nothing runs.
watch_rules() { # file, name of its tables, directory of the files that it includes, whose lock protects them
    local rules=$1 table=$2 taps=$3 report
    set -euo pipefail
    exec {reports}< <(exec nft monitor tables 2>&1)
    await_reports "$reports" "${table}_watch"
    while :; do
        if ! are_loaded "$table"; then
            flock "$taps" nft -f "$rules"
            echo "somebody had deleted the rules of the networks of MicroVMs; they are loaded again"
        fi
        load_macvtaps "$taps"
        # Reports may be lost where there are too many. What nft says then is about no table.
        while :; do
            read -r report <&"$reports"
            case $report in
                "delete table "*" $table" | "destroy table "*" $table") break ;;
                "delete table netdev microvm_"* | "destroy table netdev microvm_"*) break ;;
                "add table "* | "delete table "* | "destroy table "*) ;;
                *) break ;;
            esac
        done
    done
}

# Each macvtap has a table of its own. Who deletes one with its file, or replaces it, holds the lock.
load_macvtaps() { # directory of the files
    local file tap
    {
        flock 9
        for file in "$1"/*.netdev; do
            tap=${file##*/} tap=${tap%.netdev}
            if [ ! -e "$file" ] || [ ! -e "/sys/class/net/$tap" ]; then continue; fi
            if nft --terse list table netdev "microvm_$tap" > /dev/null 2>&1; then continue; fi
            nft -f "$file"
            echo "somebody had deleted the rules of $tap; they are loaded again"
        done
    } 9< "$1"
}

are_loaded() { # name
    nft --terse list table inet "$1" > /dev/null 2>&1 && nft --terse list table bridge "$1" > /dev/null 2>&1
}
"""
