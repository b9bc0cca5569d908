# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

varlink_parameters() { # JSON, process; prints the JSON with the process
    echo "${1%\}}, \"leader\": $2}"
}

# Varlink takes the number of the process as it is, and the vsock by which `ssh machine/NAME` reaches the guest
# (systemd 257 and newer); D-Bus is there with every version.
register_machine() { # MicroVM, process, JSON for Varlink, octets of the machine id after their number
    local name=$1 leader=$2 parameters varlink=/run/systemd/machine/io.systemd.Machine
    parameters=$(varlink_parameters "$3" "$leader")
    shift 3
    if [ -S "$varlink" ] && command -v varlinkctl >/dev/null &&
        varlinkctl call "$varlink" io.systemd.Machine.Register "$parameters" >/dev/null; then
        return
    fi
    busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager \
        RegisterMachine sayssus "$name" "$@" microvm.fleet vm "$leader" ''
}
