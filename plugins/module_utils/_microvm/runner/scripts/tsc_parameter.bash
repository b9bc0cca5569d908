# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# A kernel without KVM's clock measures the processor's frequency against a timer, and gets it wrong under load.
# Where the frequency changes, /proc/cpuinfo shows the moment's and only base_frequency is the clock's.
tsc_parameter() { # prints a blank and the kernel's parameter, or nothing where the frequency is not known
    local cpufreq=/sys/devices/system/cpu/cpu0/cpufreq frequency=
    if [ -r "$cpufreq/base_frequency" ]; then
        frequency=$(cat "$cpufreq/base_frequency")
    elif [ ! -e "$cpufreq" ] && [ -r /proc/cpuinfo ]; then
        frequency=$(sed -n '/^cpu MHz/{s/[^0-9]//gp;q;}' /proc/cpuinfo)
    fi
    echo "${frequency:+ tsc_early_khz=$frequency}"
}
