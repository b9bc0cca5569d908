# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# The kernel unpacks one archive after the other. The archive has a name for a moment only, in memory, and for nobody
# else; then only the hypervisor can open it.

begin_initrd() { # MicroVM
    # Remove what a killed start has left.
    find /dev/shm -maxdepth 1 -user "$(id -u)" -name "microvm.$1.????????" -exec rm -rf {} +
    initrd_directory=$(mktemp -d "/dev/shm/microvm.$1.XXXXXXXX")
    trap 'rm -rf "$initrd_directory"' EXIT
    mkdir -p "$initrd_directory/.extra/system_credentials"
}

add_credential() { # file, name
    (umask 077 && cat "$1" > "$initrd_directory/.extra/system_credentials/$2.cred")
}

join_initrd() { # initial RAM disk that the credentials are appended to
    (umask 077 && cat "$1" > "$initrd_directory/initrd")
    # An archive begins at a multiple of four.
    truncate -s %512 "$initrd_directory/initrd"
    (
        cd "$initrd_directory" || exit
        find .extra -print0 | cpio --quiet --create --format=newc --null --owner=0:0
    ) >> "$initrd_directory/initrd"
}

end_initrd() { # when it is open
    rm -rf "$initrd_directory"
    trap - EXIT
}
