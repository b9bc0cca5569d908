# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
#
# Makes the guest's store of Nix of the host's, which is mounted as a share already, and loads the database. A guest
# that was given no such store has its own. Run as `mount-nix-store [ROOT]`.

set -eu
root=${1:-}
store=$root/nix/store
export HOME=/root

# Prints the file of a credential. Systemd before 254 leaves credentials where the initrd has put them.
given() {
    for directory in /run/credentials/@system /run/credentials/@initrd; do
        if [ -s "$root$directory/$1" ]; then
            echo "$root$directory/$1"
            return 0
        fi
    done
    return 1
}

settings=$(given microvm.nix_store) || exit 0
lower="" writable="" registration=""
while read -r key value; do
    case $key in
        lower) lower=$root$value ;;
        writable) writable=$root$value ;;
    esac
done < "$settings"
if file=$(given microvm.nix_registration); then
    read -r path < "$file"
    registration=$lower/${path##*/}
    [ -f "$registration" ] || { echo "the host's store has no ${path##*/}, which is to be registered" >&2; exit 1; }
fi

# Prints the paths of a registration. Each has lines with its hash, size, deriver and number of references after it, and
# the references.
registered() {
    while read -r path && read -r _ && read -r _ && read -r _ && read -r count; do
        echo "$path"
        while [ "$count" -gt 0 ]; do
            read -r _
            count=$((count - 1))
        done
    done < "$1"
}

# Makes the upper directory of the store, to which Nix wants this owner; the host's may have another one.
store_directory() {
    mkdir -p "$1"
    chown root:nixbld "$1"
    chmod 1775 "$1"
}

if [ -z "$writable" ]; then
    # Nix expects these even where it cannot write.
    store_directory "$root/run/microvm-nix-store"
    mkdir -p "$root/run/microvm-nix-store/.links"
    mount -t overlay -o "ro,lowerdir=$root/run/microvm-nix-store:$lower" overlay "$store"
else
    mkdir -p "$writable"
    # An overlay takes no other overlay as its upper layer, such as the guest's root.
    if [ "$(stat -f -c %T "$writable")" = overlayfs ]; then
        mount -t tmpfs -o mode=0755 tmpfs "$writable"
    fi
    store_directory "$writable/store"
    mkdir -p "$writable/work" "$writable/var"
    # Whatever a collection of garbage in the guest has hidden of the host's store is there again.
    find "$writable/store" -maxdepth 1 -type c -delete
    if [ -n "$registration" ]; then
        # The host's is registered, and not what the guest may have built under the same name.
        registered "$registration" | while read -r path; do
            rm -rf "$writable/store/${path##*/}"
        done
    fi
    mount -t overlay -o "lowerdir=$lower,upperdir=$writable/store,workdir=$writable/work" overlay "$store"
    # The database says what is in the upper layer, so it is kept with it.
    mkdir -p "$root/nix/var/nix"
    mount --bind "$writable/var" "$root/nix/var/nix"
    # Of what it had from the host at an earlier boot, some may be gone; Nix names what still refers to that.
    if [ -e "$writable/var/db/db.sqlite" ]; then
        nix-store --verify || echo "parts of the guest's store refer to what the host has no more" >&2
    fi
fi
# The guest's own garbage collector leaves what is registered now, and may take what was registered at an earlier boot.
roots=$root/nix/var/nix/gcroots/microvm-registration
rm -rf "$roots"
if [ -n "$registration" ]; then
    nix-store --load-db < "$registration"
    mkdir -p "$roots"
    registered "$registration" | xargs -r ln -s -t "$roots"
fi
