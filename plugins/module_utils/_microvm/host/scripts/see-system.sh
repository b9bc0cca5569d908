# shellcheck shell=sh
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs in a guest: prints its host name, and whether it sees the program ACTIVATION.
cat /etc/hostname 2>/dev/null || uname -n
[ ! -x "$1" ] || echo seen
