# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# The guest's systemd reports that it is up by a connection to this socket. It waits for its end, so that comes at once.
relay_notifications() { # socket, escaped for socat
    if [ -n "${NOTIFY_SOCKET:-}" ]; then
        socat -t 0 -T 0.5 "UNIX-LISTEN:$1,fork" "UNIX-SENDTO:$NOTIFY_SOCKET" &
    fi
}
