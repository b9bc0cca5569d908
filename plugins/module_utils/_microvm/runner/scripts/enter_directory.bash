# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

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
