# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

credential_file() { # name, path; prints the path of systemd's copy where the unit has one
    local copy=${CREDENTIALS_DIRECTORY:-}/$1
    if [ -n "${CREDENTIALS_DIRECTORY:-}" ] && [ -e "$copy" ]; then echo "$copy"; else echo "$2"; fi
}
