# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# The words that the declared program prints; none of them is expanded.
# shellcheck disable=SC2034 # for the hypervisor's command line
read_extra_arguments() { # program
    local printed
    printed=$("$1")
    read -r -d '' -a extra_arguments <<< "$printed" || true
}
