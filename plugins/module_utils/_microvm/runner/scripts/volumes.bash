# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

ext_bytes() { # image; prints the size of its file system, or nothing where it is none of ext2, ext3, ext4
    local field value count=0 size=0
    while IFS=: read -r field value; do
        case $field in
            'Block count') count=$((value)) ;;
            'Block size') size=$((value)) ;;
        esac
    done < <(dumpe2fs -h "$1" 2>/dev/null)
    if [ $((count * size)) -gt 0 ]; then echo $((count * size)); fi
}

# Completes what a killed start has left undone: the file system is asked, not the image's size.
grow_volume() { # image, MiB, mkfs
    local image=$1 bytes=$(($2 * 1024 * 1024)) taken status=0
    if [ "$(stat -L -c %s "$image")" -lt "$bytes" ]; then
        echo "growing $image to $2 MiB"
        truncate -s "$bytes" "$image"
    fi
    case $3 in mkfs.ext[234]) taken=$(ext_bytes "$image") ;; *) return ;; esac
    # Less than a group of blocks may be left over.
    if [ -z "$taken" ] || [ $((bytes - taken)) -lt $((1024 * 1024)) ]; then return; fi
    e2fsck -f -p "$image" || status=$?
    if [ "$status" -gt 1 ]; then
        echo "the file system of $image has errors, and is not grown; check it with e2fsck" >&2
        return
    fi
    resize2fs "$image"
    sync "$image"
}

# The image is formatted under another name and then given its own: a start that is killed leaves no half image, and
# an image that exists is never formatted. Copies on write make a file system inside of a file slow, so btrfs is asked
# for none.
create_volume() { # image, MiB, mkfs and its arguments
    local image=$1 size=$2 partial=$1.partial
    if [ -f "$image" ] && [ -w "$image" ]; then grow_volume "$image" "$size" "$3"; fi
    shift 2
    if [ -e "$image" ]; then return; fi
    if [ -L "$image" ]; then
        echo "$image is a link that leads nowhere" >&2
        exit 1
    fi
    echo "creating $image: $size MiB, $1"
    rm -f -- "$partial"
    (umask 077 && : > "$partial")
    chattr +C "$partial" 2>/dev/null || true
    truncate -s "${size}M" "$partial"
    "$@" "$partial"
    sync "$partial"
    mv -n "$partial" "$image"
    if [ -e "$partial" ]; then
        echo "$image was made by somebody else meanwhile" >&2
        exit 1
    fi
    sync "$(dirname "$image")"
}
