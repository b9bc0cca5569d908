# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

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
