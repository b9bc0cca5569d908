# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

http_request() { # address for socat, method and path, body
    local answer body=$3
    answer=$({
        printf '%s\r\n' "$2 HTTP/1.1" 'Host: localhost' 'Accept: application/json' 'Content-Type: application/json' \
            "Content-Length: ${#body}" ''
        printf '%s' "$body"
    } | socat -t 1 - "$1") || return
    if [[ ! "$answer" =~ ^HTTP/1.[01]\ 2 ]]; then
        echo "$answer" >&2
        return 1
    fi
}
