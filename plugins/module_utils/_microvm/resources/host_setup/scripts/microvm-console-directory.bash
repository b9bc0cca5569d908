#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Gives a MicroVM's console a small file system of its own: its directory belongs to the hypervisor's user, who could
# fill the host's /run otherwise. As root, outside of the sandbox. Usage: microvm-console-directory mount|unmount NAME

set -euo pipefail

readonly SIZE=2M FILES=64

directory=@CONSOLE_DIRECTORY@/$2
owner=$(stat --format 'uid=%u,gid=%g' "$directory" 2>/dev/null) || owner=

# Commands of a unit have a mount namespace of their own, whose mounts nobody else sees. A killed start may have left a
# mount; somebody may still look at the former console.
# shellcheck disable=SC2016 # the inner shell expands them
exec nsenter --target 1 --mount -- sh -c '
    while umount --lazy "$2" 2>/dev/null; do :; done
    if [ "$1" = mount ]; then exec mount -t tmpfs -o "$3" microvm-console "$2"; fi
' sh "$1" "$directory" "size=$SIZE,nr_inodes=$FILES,mode=0700,nosuid,nodev,noexec,$owner"
