# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

remove_tap() { # name, user
    if [ "$(cat "/sys/class/net/$1/owner" 2>/dev/null)" = "$(id -u "$2")" ]; then ip link delete dev "$1"; fi
}
