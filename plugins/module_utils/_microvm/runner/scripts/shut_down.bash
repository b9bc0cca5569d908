# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

shut_down() { # file that record_process has written, seconds; calls request, which asks the guest to power off
    local fifths=0 timeout=$2
    while is_running "$1"; do
        if [ "$fifths" -ge $((5 * timeout)) ]; then
            echo "the guest has not ended within $timeout seconds" >&2
            exit 1
        fi
        # Again and again: the first request is lost on a guest that is still booting.
        if [ $((fifths % 15)) -eq 0 ]; then request >/dev/null 2>&1 || true; fi
        sleep 0.2
        fifths=$((fifths + 1))
    done
}
