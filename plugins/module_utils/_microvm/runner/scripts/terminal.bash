# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

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
