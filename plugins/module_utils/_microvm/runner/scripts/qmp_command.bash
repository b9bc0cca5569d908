# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Of a hypervisor that negotiates no capabilities, and takes what has come by then for one command.
qmp_command() { # address for socat, command of the QEMU Machine Protocol
    local answer
    answer=$(printf '%s\n' "$2" | socat -t 1 - "$1") || return
    if [[ "$answer" == *'"error"'* ]]; then
        echo "$answer" >&2
        return 1
    fi
}
