# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Of a hypervisor without a power button. The script defines ask, over the guest's vsock. GUEST_ASKED says yes or no
# where root has tried that before, since nobody else can.
end_guest() { # file that record_process has written, seconds
    local end=$((SECONDS + $2))
    case ${GUEST_ASKED:-} in
        yes) ;;
        no) return 1 ;;
        *) ask || return 1 ;;
    esac
    while is_running "$1"; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "the guest has not ended within $2 seconds" >&2
            return 1
        fi
        sleep 0.2
    done
}
