#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Prepares a MicroVM's working directory, as the MicroVM's user: a package names the sockets of its shares relative to
# that directory, but they are in one of root's. Usage: microvm-prepare NAME

set -euo pipefail

state=@STATE_DIRECTORY@/$1

for file in "$state/@CURRENT_LINK@"/share/microvm/virtiofs/*/socket; do
    if [ ! -e "$file" ]; then continue; fi
    socket=$(cat "$file")
    case $socket in /*) continue ;; esac
    # A hypervisor may have left anything there.
    chmod -R u+rwX -- "$socket" 2> /dev/null || true
    rm -rf -- "$socket"
    mkdir -p -- "$(dirname -- "$socket")"
    ln -sT -- "$state/@SOCKET_DIRECTORY@/$socket" "$socket"
done
