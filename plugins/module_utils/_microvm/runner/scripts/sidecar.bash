# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

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
