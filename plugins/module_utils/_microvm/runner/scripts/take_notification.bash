# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# The relay of the guest's notification is a unit of its own; systemd takes one only from this unit's processes.
take_notification() { # socket
    if [ -n "${NOTIFY_SOCKET:-}" ]; then
        socat -u "UNIX-RECV:$1" "UNIX-SENDTO:$NOTIFY_SOCKET" &
    fi
}
