# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

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
