# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set before: "boot" when systemd-networkd starts, "now" when nobody has confirmed a change in time.
: "${moment:?}"

# Makes the files below /run by which bridges are on interfaces of the host those that are permanent.
# No error ends it: whatever can be returned to the old state is.
lan_return() { # permanent files, those below /run, mark of an unconfirmed change, what it becomes
    local permanent=$1 runtime=$2 name gone=()
    shopt -s nullglob
    if [ "$moment" = boot ]; then
        # systemd-networkd was started again meanwhile.
        if [ -e "$3" ]; then return; fi
        copy_permanent "$permanent" "$runtime"
        return
    fi
    # Whoever takes the mark away decides.
    if ! mv -T -- "$3" "$4"; then return; fi
    copy_permanent "$permanent" "$runtime"
    for name in "${gone[@]}"; do ip link delete dev "$name"; done
    networkctl reload || restart_networkd
    for name in $(lan_names "$permanent"); do await_lan_bridge "$name" || restart_networkd; done
    echo "nobody has confirmed the change of the bridges onto interfaces of this host in time; it is taken back"
}

restart_networkd() {
    systemctl restart systemd-networkd.service
}

# Sets gone to the bridges that are to be deleted.
copy_permanent() { # permanent files, those below /run
    local file name
    install -d -m 0755 -- "$2"
    # Drop-ins of these files are the operator's.
    for file in "$2"/00-microvm-*.network "$2"/50-microvm-*.netdev; do
        name=$(lan_name "$file")
        if is_whole_lan "$1" "$name"; then continue; fi
        case $file in *.netdev) gone+=("$name") ;; esac
        rm -f -- "$file"
    done
    for name in $(lan_names "$1"); do
        copy_changed "$1" "$2" "50-microvm-$name.netdev"
        copy_changed "$1" "$2" "00-microvm-$name.network"
        # Without its bridge, the interface waits in vain: it keeps the configuration of the operator then.
        if [ -f "$2/50-microvm-$name.netdev" ] && [ -f "$2/00-microvm-$name.network" ]; then
            copy_changed "$1" "$2" "00-microvm-$name+port.network"
        else
            rm -f -- "$2/00-microvm-$name+port.network"
        fi
    done
}

copy_changed() { # permanent files, those below /run, name of the file
    if cmp -s -- "$1/$3" "$2/$3"; then return; fi
    install -m 0644 -T -- "$1/$3" "$2/$3.partial" && mv -fT -- "$2/$3.partial" "$2/$3"
}

lan_name() { # file
    local name=${1##*/??-microvm-}
    name=${name%.network} name=${name%.netdev}
    echo "${name%+port}"
}

# Those of which all files are there: a run that was killed leaves some.
lan_names() { # directory
    local file name
    for file in "$1"/50-microvm-*.netdev; do
        name=$(lan_name "$file")
        if is_whole_lan "$1" "$name"; then echo "$name"; fi
    done
}

is_whole_lan() { # directory, name
    [ -e "$1/00-microvm-$2.network" ] && [ -e "$1/00-microvm-$2+port.network" ] && [ -e "$1/50-microvm-$2.netdev" ]
}

await_lan_bridge() { # name
    local tries=50
    until [ -e "/sys/class/net/$1/bridge" ]; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ]; then return 1; fi
        sleep 0.1
    done
}
