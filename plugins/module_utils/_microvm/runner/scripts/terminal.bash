# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# The hypervisor asks for a terminal, which a unit has not.
# shellcheck disable=SC2034 # for the hypervisor's command line
provide_terminal() { # command that runs another on a terminal
    terminal=()
    if [ ! -t 0 ]; then terminal=("$@"); fi
}
