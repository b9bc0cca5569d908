# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

set_initial_balloon() { # microvm-balloon, MiB
    (
        tries=0
        until [ "$tries" -ge 100 ] || "$1" "$2" 2>/dev/null; do
            sleep 0.1
            tries=$((tries + 1))
        done
    ) &
}
