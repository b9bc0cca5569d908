# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
#
# Lets the SSH server have the host key that the host gives its guest, and beside it the one that the guest has. A guest
# that has neither makes one. Systemd before 254 leaves credentials where the initrd has put them. Run as
# `provide-host-key [ROOT]`.

set -eu
root=${1:-}
own=/etc/ssh/ssh_host_ed25519_key
settings=$root/run/microvm-ssh-host-key/sshd_config
umask 077

given=
for directory in /run/credentials/@system /run/credentials/@initrd; do
    if [ -z "$given" ] && [ -s "$root$directory/microvm.ssh_host_key" ]; then
        given=$directory/microvm.ssh_host_key
    fi
done
[ -n "$given" ] || [ -e "$root$own" ] || ssh-keygen -q -t ed25519 -N "" -f "$root$own"

mkdir -p "${settings%/*}"
for key in $given $own; do
    if [ -e "$root$key" ]; then
        echo "HostKey $key"
    fi
done > "$settings"
